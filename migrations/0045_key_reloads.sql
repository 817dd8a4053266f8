-- How often administrators have asked that an issuer's keys be forgotten and fetched anew, for every process to follow:
-- by the issuer's name in the configuration, of no tenant, since several may share one.
set local role bulkhead_owner;
set local search_path = bulkhead, public;

create table key_reload (
  issuer text primary key check (issuer ~ '^[a-z0-9][a-z0-9._-]{0,62}$'),
  requests bigint not null
);
alter table key_reload enable row level security;
alter table key_reload force row level security;

grant select, insert, update (requests) on key_reload to bulkhead_kernel;
create policy kernel_key_reload on key_reload to bulkhead_kernel using (true) with check (true);
grant create on schema bulkhead to bulkhead_kernel;
reset role;
set local role bulkhead_kernel;
set local search_path = bulkhead, public;

-- For a person who administers a tenant. Which issuers are that tenant's is in the configuration, which the process knows.
create function request_key_reload(p_issuer text) returns bigint
language plpgsql security definer set search_path = bulkhead, pg_temp as $$
declare
  v_requests bigint;
begin
  perform require_right(ctx_root(), 'administer');
  insert into key_reload as r (issuer, requests) values (p_issuer, 1)
    on conflict (issuer) do update set requests = r.requests + 1
    returning r.requests into v_requests;
  return v_requests;
end
$$;

create function key_reloads() returns json
language sql stable security definer set search_path = bulkhead, pg_temp as $$
  select coalesce(json_object_agg(issuer, requests), '{}') from key_reload
$$;

revoke all on function request_key_reload, key_reloads from public;
grant execute on function request_key_reload to bulkhead_admin;
-- of those who verify tokens
grant execute on function key_reloads to bulkhead_retrieve, bulkhead_ingest, bulkhead_admin, bulkhead_audit;

reset role;
set local role bulkhead_owner;
set local search_path = bulkhead, public;
revoke create on schema bulkhead from bulkhead_kernel;
reset role;
