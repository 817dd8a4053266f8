-- Proofs of possession (RFC 9449) that were used, until none of them could be accepted for its age any more. One table
-- for all processes and tenants: what one replica has seen, another refuses. A row says nothing of whose it was.
set local role bulkhead_owner;
set local search_path = bulkhead, public;

create table used_proof (
  -- SHA-256 of the proof's key, id, method and address
  id bytea primary key check (octet_length(id) = 32),
  until timestamptz(3) not null
);
create index used_proof_by_until on used_proof (until);
alter table used_proof enable row level security;
alter table used_proof force row level security;

-- It is asked before anybody knows who calls, so no tenant's context applies; only the function below reaches it.
grant select, insert, update, delete on used_proof to bulkhead_kernel;
create policy kernel_used_proof on used_proof to bulkhead_kernel using (true) with check (true);

grant create on schema bulkhead to bulkhead_kernel;
reset role;
set local role bulkhead_kernel;
set local search_path = bulkhead, public;

-- Whether it was new, which it is not from then on; two that ask at once wait for each other. What has expired is taken
-- away two minutes later, so that a process whose clock is behind does not take a proof again.
create function use_proof(p_id bytea, p_until timestamptz, p_now timestamptz) returns boolean
language plpgsql security definer set search_path = bulkhead, pg_temp as $$
begin
  if p_until > p_now + interval '5 minutes' then
    raise exception 'a proof is not remembered for that long' using errcode = '22023';
  end if;
  delete from used_proof where id in (
    select id from used_proof where until < clock() - interval '2 minutes' order by until limit 20 for update skip locked);
  insert into used_proof (id, until) values (p_id, p_until) on conflict (id) do nothing;
  return found;
end
$$;
revoke all on function use_proof(bytea, timestamptz, timestamptz) from public;
grant execute on function use_proof(bytea, timestamptz, timestamptz)
  to bulkhead_retrieve, bulkhead_ingest, bulkhead_admin, bulkhead_audit;

reset role;
set local role bulkhead_owner;
set local search_path = bulkhead, public;
revoke create on schema bulkhead from bulkhead_kernel;
reset role;
