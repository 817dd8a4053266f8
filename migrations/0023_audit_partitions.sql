-- The audit log as a table partitioned by range of seq: old records can be moved, detached or kept on slower disks, and
-- an append touches the newest partition of its chain only. By seq and not by time, because then (chain_id, seq) stays
-- the one key, and a chain's last record is found in one partition. What was one table becomes the first partition: no
-- record is copied or changed.
set local role bulkhead_owner;
set local search_path = bulkhead, public;

alter table audit_record rename to audit_record_0;
alter index audit_record_pkey rename to audit_record_0_pkey;
alter index audit_record_by_id rename to audit_record_0_by_id;
alter index audit_record_by_time rename to audit_record_0_by_time;
-- append_audit alone adds records, to chains that it has locked; as a constraint of every partition it would ask for
-- a lock on all chains whenever one is added
alter table audit_record_0 drop constraint audit_record_chain_id_tenant_id_fkey;
drop policy ledger_read on audit_record_0;
drop policy ledger_add on audit_record_0;
drop policy audit_read on audit_record_0;
revoke all on audit_record_0 from bulkhead_audit, bulkhead_ledger;

-- the constraints go by the names that those of the first partition have
create table audit_record (
  chain_id int not null,
  seq bigint not null constraint audit_record_seq_check check (seq > 0),
  tenant_id int not null,
  at timestamptz(3) not null,
  -- neither may hold a line break, which separates the parts of what is hashed
  kind text not null constraint audit_record_kind_check check (kind ~ '^[a-z][a-z0-9_.-]*$'),
  id text not null constraint audit_record_id_check check (id ~ '^[A-Za-z0-9_-]{16,64}$'),
  body text not null,
  prev_hash bytea not null constraint audit_record_prev_hash_check check (octet_length(prev_hash) = 32),
  hash bytea not null constraint audit_record_hash_check check (octet_length(hash) = 32),
  primary key (chain_id, seq)
) partition by range (seq);
create index audit_record_by_id on audit_record (tenant_id, id);
create index audit_record_by_time on audit_record (tenant_id, at);

-- Records of one chain in one partition.
create function audit_partition_size() returns bigint language sql immutable parallel safe as $$ select 16777216::bigint $$;

-- The first holds whatever there was.
do $$
declare
  v_end bigint := (select (coalesce(max(last_seq), 0) / audit_partition_size() + 1) * audit_partition_size() from audit_chain);
begin
  execute format('alter table audit_record attach partition audit_record_0 for values from (1) to (%s)', v_end);
end
$$;

create trigger append_only before update or delete or truncate on audit_record
  for each statement execute function refuse_audit_change();
alter table audit_record enable row level security;
alter table audit_record force row level security;
revoke update, delete, truncate on audit_record from bulkhead_owner;
grant select on audit_record to bulkhead_audit;
grant select, insert on audit_record to bulkhead_ledger;
create policy ledger_read on audit_record for select to bulkhead_ledger using (true);
create policy ledger_add on audit_record for insert to bulkhead_ledger with check (true);
create policy audit_read on audit_record for select to bulkhead_audit using (tenant_id = (select ctx_tenant()));

-- Adds partitions until they reach past p_seq. A partition is closed to everybody by itself: it has row-level security
-- and no policy, no grant, and a trigger of its own, since a statement that names it is none on audit_record. It is made
-- apart and then attached, which stops no append.
create function extend_audit_partitions(p_seq bigint) returns void
language plpgsql security definer set search_path = bulkhead, pg_temp as $$
declare
  v_from bigint;
  v_name text;
begin
  loop
    select max((regexp_match(pg_get_expr(c.relpartbound, c.oid), 'TO \(''?(\d+)'))[1]::bigint) into v_from
      from pg_inherits i join pg_class c on c.oid = i.inhrelid where i.inhparent = 'audit_record'::regclass;
    exit when v_from > p_seq;
    v_name := 'audit_record_' || v_from;
    execute format('create table %I (like audit_record including defaults including constraints including indexes)', v_name);
    execute format('alter table %I enable row level security', v_name);
    execute format('alter table %I force row level security', v_name);
    execute format('revoke update, delete, truncate on %I from bulkhead_owner', v_name);
    execute format('create trigger append_only before update or delete or truncate on %I for each statement execute function refuse_audit_change()', v_name);
    execute format('alter table audit_record attach partition %I for values from (%s) to (%s)',
      v_name, v_from, v_from + audit_partition_size());
  end loop;
end
$$;
revoke all on function audit_partition_size, extend_audit_partitions from public;
grant execute on function audit_partition_size, extend_audit_partitions to bulkhead_ledger;
select extend_audit_partitions(coalesce(max(last_seq), 0) + 2 * audit_partition_size()) from audit_chain;

grant create on schema bulkhead to bulkhead_ledger;
reset role;
set local role bulkhead_ledger;
set local search_path = bulkhead, public;

-- Every so many records and seconds a writer's checkpoint comes by here, in a transaction that holds nothing else, and
-- sees to it that two partitions are ready ahead of every chain. Whoever does that at the moment keeps no other waiting;
-- without a partition an append fails, and nothing is released.
create function prepare_audit_partitions() returns void
language plpgsql set search_path = bulkhead, pg_temp as $$
begin
  if pg_try_advisory_xact_lock(hashtext('bulkhead audit partitions')) then
    perform extend_audit_partitions(coalesce(max(last_seq), 0) + 2 * audit_partition_size()) from audit_chain;
  end if;
exception when lock_not_available or deadlock_detected then
  raise warning 'audit partitions could not be made ready yet: %', sqlerrm;
end
$$;
revoke all on function prepare_audit_partitions from public;

-- As in 0009.
create or replace function add_checkpoints(p_checkpoints jsonb) returns void
language plpgsql security definer set search_path = bulkhead, pg_temp as $$
begin
  if exists (
      select 1 from jsonb_to_recordset(p_checkpoints) as k (chain int, seq bigint, hash text)
      where not exists (select 1 from audit_record r
        where r.chain_id = k.chain and r.seq = k.seq and r.hash = decode(k.hash, 'hex'))) then
    raise exception 'a checkpoint of no record' using errcode = '22023';
  end if;
  perform prepare_audit_partitions();
  insert into audit_checkpoint (chain_id, seq, hash, at, key_id, signature)
    select chain, seq, decode(hash, 'hex'), to_timestamp(at / 1000.0), key, decode(signature, 'hex')
    from jsonb_to_recordset(p_checkpoints)
      as k (chain int, seq bigint, hash text, at double precision, key text, signature text)
    on conflict do nothing;
end
$$;

reset role;
set local role bulkhead_owner;
set local search_path = bulkhead, public;
revoke create on schema bulkhead from bulkhead_ledger;
reset role;
