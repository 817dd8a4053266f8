-- The audit log: one hash chain per (writer, tenant), added to by one function and never changed.
set local role bulkhead_owner;
set local search_path = bulkhead, public;

create table audit_chain (
  id int generated always as identity primary key,
  writer text not null check (writer ~ '^[A-Za-z0-9._-]{1,64}$'),
  tenant_id int not null references tenant,
  last_seq bigint not null default 0,
  last_hash bytea not null default decode(repeat('00', 32), 'hex') check (octet_length(last_hash) = 32),
  unique (writer, tenant_id),
  unique (id, tenant_id)
);

-- Nothing refers to this table and its only unique key begins with (chain_id, seq): it can become a table
-- partitioned by range of seq without a change to anything that uses it.
create table audit_record (
  chain_id int not null,
  seq bigint not null check (seq > 0),
  tenant_id int not null,
  at timestamptz(3) not null,
  -- neither may hold a line break, which separates the parts of what is hashed
  kind text not null check (kind ~ '^[a-z][a-z0-9_.-]*$'),
  id text not null check (id ~ '^[A-Za-z0-9_-]{16,64}$'),
  body text not null,
  prev_hash bytea not null check (octet_length(prev_hash) = 32),
  hash bytea not null check (octet_length(hash) = 32),
  primary key (chain_id, seq),
  foreign key (chain_id, tenant_id) references audit_chain (id, tenant_id)
);
create index audit_record_by_id on audit_record (tenant_id, id);
create index audit_record_by_time on audit_record (tenant_id, at);

create table audit_checkpoint (
  chain_id int not null references audit_chain,
  seq bigint not null,
  hash bytea not null,
  at timestamptz(3) not null,
  key_id text not null,
  signature bytea not null,
  primary key (chain_id, seq)
);

-- Nobody changes what was written, the owner and a superuser included (who can only take the triggers away). -----------
create function refuse_audit_change() returns trigger language plpgsql set search_path = bulkhead, pg_temp as $$
begin
  raise exception 'the audit log is append-only' using errcode = '55000';
end
$$;

create function refuse_chain_rewind() returns trigger language plpgsql set search_path = bulkhead, pg_temp as $$
begin
  if new.id = old.id and new.writer = old.writer and new.tenant_id = old.tenant_id and new.last_seq > old.last_seq then
    return new;
  end if;
  raise exception 'an audit chain only grows' using errcode = '55000';
end
$$;
revoke all on function refuse_audit_change, refuse_chain_rewind from public;

-- a statement that hits no row is refused like any other
create trigger append_only before update or delete or truncate on audit_record
  for each statement execute function refuse_audit_change();
create trigger append_only before update or delete or truncate on audit_checkpoint
  for each statement execute function refuse_audit_change();
create trigger append_only before delete or truncate on audit_chain
  for each statement execute function refuse_audit_change();
create trigger grow_only before update on audit_chain for each row execute function refuse_chain_rewind();

do $$
declare
  t text;
begin
  foreach t in array array['audit_chain', 'audit_record', 'audit_checkpoint'] loop
    execute format('alter table %I enable row level security', t);
    execute format('alter table %I force row level security', t);
    execute format('revoke update, delete, truncate on %I from bulkhead_owner', t);
    execute format('grant select on %I to bulkhead_audit', t);
    execute format('grant select, insert on %I to bulkhead_ledger', t);
    execute format('create policy ledger_read on %I for select to bulkhead_ledger using (true)', t);
    execute format('create policy ledger_add on %I for insert to bulkhead_ledger with check (true)', t);
  end loop;
end
$$;
-- foreign keys are checked as the owner, whose lock on a chain asks for the right to update one column
grant update (id) on audit_chain to bulkhead_owner;
create policy audit_read on audit_chain for select to bulkhead_audit using (tenant_id = (select ctx_tenant()));
create policy audit_read on audit_record for select to bulkhead_audit using (tenant_id = (select ctx_tenant()));
create policy audit_read on audit_checkpoint for select to bulkhead_audit
  using (exists (select 1 from audit_chain c where c.id = chain_id and c.tenant_id = (select ctx_tenant())));
grant update (last_seq, last_hash) on audit_chain to bulkhead_ledger;
create policy ledger_extend on audit_chain for update to bulkhead_ledger using (true) with check (true);

-- A batch may hold receipts of several tenants, so the ledger reads without a context: only what a guard names.
-- FOR SHARE asks for the right to update one column; the policies let no update through.
grant select (tenant_id, incarnation, counter), update (counter) on policy_epoch to bulkhead_ledger;
grant select (id, tenant_id, class_id, version), update (version) on document to bulkhead_ledger;
create policy ledger_read on policy_epoch for select to bulkhead_ledger using (true);
create policy ledger_lock on policy_epoch for update to bulkhead_ledger using (true) with check (false);
create policy ledger_read on document for select to bulkhead_ledger using (true);
create policy ledger_lock on document for update to bulkhead_ledger using (true) with check (false);

grant create on schema bulkhead to bulkhead_ledger;
reset role;
set local role bulkhead_ledger;
set local search_path = bulkhead, public;

-- The link between a record and all before it (Haber and Stornetta, "How to time-stamp a digital document", 1991).
create function audit_hash(p_prev bytea, p_seq bigint, p_at timestamptz, p_kind text, p_id text, p_body text) returns bytea
language sql stable set search_path = bulkhead, pg_temp as $$
  select sha256(p_prev || convert_to(
    p_seq || E'\n' || ms(p_at)::bigint || E'\n' || p_kind || E'\n' || p_id || E'\n' || p_body, 'UTF8'))
$$;

-- Does what a receipt rests on still stand? Only a JSON null asks for nothing; a malformed guard does not hold.
create function guard_holds(p_tenant int, p_guard jsonb) returns boolean
language sql stable set search_path = bulkhead, pg_temp as $$
  select case
    when p_guard = 'null' then true
    when jsonb_typeof(p_guard) = 'object' and jsonb_typeof(p_guard->'documents') = 'array' then
      exists (select 1 from policy_epoch e where e.tenant_id = p_tenant
        and e.incarnation = (p_guard->>'incarnation')::uuid and e.counter = (p_guard->>'counter')::bigint)
      and not exists (select 1 from jsonb_array_elements(p_guard->'documents') g
        where not exists (select 1 from document d where d.id = (g->>0)::uuid and d.tenant_id = p_tenant
          and d.class_id = (g->>1)::int and d.version = (g->>2)::int))
    else false
  end
$$;

-- Share locks on all that the guards name, epochs first: a change of policy commits before this, and is then
-- seen, or after the receipt is durable.
create function lock_guarded(p_items jsonb) returns void
language plpgsql set search_path = bulkhead, pg_temp as $$
begin
  perform 1 from policy_epoch where tenant_id in (
    select (i->>'tenant')::int from jsonb_array_elements(p_items) i where jsonb_typeof(i->'guard') = 'object')
    order by tenant_id for share;
  perform 1 from document where id in (
    select (g->>0)::uuid from jsonb_array_elements(p_items) i, jsonb_array_elements(i->'guard'->'documents') g)
    order by id for share;
end
$$;

-- Makes the writer's missing chains and locks them in order of tenant. Identity values are drawn for new chains only.
create function lock_chains(p_writer text, p_tenants int[]) returns void
language plpgsql set search_path = bulkhead, pg_temp as $$
begin
  insert into audit_chain (writer, tenant_id)
    select p_writer, t from unnest(p_tenants) t
    where not exists (select 1 from audit_chain c where c.writer = p_writer and c.tenant_id = t)
    order by t
    on conflict do nothing;
  perform 1 from audit_chain where writer = p_writer and tenant_id = any (p_tenants)
    order by tenant_id for no key update;
end
$$;

-- Adds one tenant's items, in their order, to its locked chain; returns a result for each, by position.
create function extend_chain(p_writer text, p_tenant int, p_items jsonb, p_standing int[], p_now timestamptz)
returns table (ord int, result jsonb)
language plpgsql set search_path = bulkhead, pg_temp as $$
declare
  v_chain int;
  v_seq bigint;
  v_prev bytea;
  v_hash bytea;
  v_at timestamptz(3);
  v_item record;
begin
  select c.id, c.last_seq, c.last_hash into strict v_chain, v_seq, v_hash
    from audit_chain c where c.writer = p_writer and c.tenant_id = p_tenant;
  -- a clock that was set back does not make a record older than the one before it
  v_at := greatest(p_now, (select r.at from audit_record r where r.chain_id = v_chain and r.seq = v_seq));
  for v_item in
    select i.ord::int as ord, item->>'kind' as kind, item->>'id' as id, item->>'body' as body
    from jsonb_array_elements(p_items) with ordinality as i (item, ord)
    where i.ord = any (p_standing) and (item->>'tenant')::int = p_tenant order by i.ord
  loop
    v_seq := v_seq + 1;
    v_prev := v_hash;
    v_hash := audit_hash(v_prev, v_seq, v_at, v_item.kind, v_item.id, v_item.body);
    insert into audit_record (chain_id, seq, tenant_id, at, kind, id, body, prev_hash, hash)
      values (v_chain, v_seq, p_tenant, v_at, v_item.kind, v_item.id, v_item.body, v_prev, v_hash);
    ord := v_item.ord;
    result := jsonb_build_object('status', 'appended', 'chain', v_chain, 'seq', v_seq,
      'hash', encode(v_hash, 'hex'), 'at', ms(v_at)::bigint);
    return next;
  end loop;
  update audit_chain set last_seq = v_seq, last_hash = v_hash where id = v_chain;
end
$$;

-- Appends items [{"tenant", "kind", "id", "body", "guard"}] to the writer's chains and returns one result each, in
-- their order: {"status": "appended", "chain", "seq", "hash", "at"} or {"status": "moved"}, and then nothing was
-- written for it. A guard is null or {"incarnation", "counter", "documents": [[uuid, class, version], …]}. Locks
-- epochs, documents, chains, each ordered: a transaction that changes policy takes the epoch first and calls
-- this last. Within a context, only that tenant's items are accepted.
create function append_audit(p_writer text, p_items jsonb) returns jsonb
language plpgsql security definer set search_path = bulkhead, pg_temp as $$
declare
  v_standing int[];
  v_tenants int[];
  v_now timestamptz;
  v_tenant int;
  v_done record;
  v_results jsonb[] := array_fill('{"status": "moved"}'::jsonb, array[jsonb_array_length(p_items)]);
begin
  if exists (select 1 from jsonb_array_elements(p_items) i where (i->>'tenant')::int <> ctx_tenant()) then
    raise exception 'a record of another tenant' using errcode = '42501';
  end if;
  perform lock_guarded(p_items);
  select coalesce(array_agg(ord::int), '{}'), coalesce(array_agg(distinct (item->>'tenant')::int), '{}')
    into v_standing, v_tenants
    from jsonb_array_elements(p_items) with ordinality as i (item, ord)
    where guard_holds((item->>'tenant')::int, item->'guard');
  perform lock_chains(p_writer, v_tenants);
  v_now := date_trunc('milliseconds', clock_timestamp());
  foreach v_tenant in array v_tenants loop
    for v_done in select * from extend_chain(p_writer, v_tenant, p_items, v_standing, v_now) loop
      v_results[v_done.ord] := v_done.result;
    end loop;
  end loop;
  return to_jsonb(v_results);
end
$$;

-- The writer's chains as they stand, and how far checkpoints cover each:
-- [{"chain", "tenant", "seq", "hash", "covered"}].
create function audit_heads(p_writer text) returns jsonb
language sql stable security definer set search_path = bulkhead, pg_temp as $$
  select coalesce(jsonb_agg(jsonb_build_object('chain', c.id, 'tenant', c.tenant_id, 'seq', c.last_seq,
      'hash', encode(c.last_hash, 'hex'),
      'covered', (select coalesce(max(k.seq), 0) from audit_checkpoint k where k.chain_id = c.id)) order by c.id), '[]')
  from audit_chain c where c.writer = p_writer
$$;

-- Keeps signed checkpoints [{"chain", "seq", "hash", "at", "key", "signature"}] of records that exist.
create function add_checkpoints(p_checkpoints jsonb) returns void
language plpgsql security definer set search_path = bulkhead, pg_temp as $$
begin
  if exists (
      select 1 from jsonb_to_recordset(p_checkpoints) as k (chain int, seq bigint, hash text)
      where not exists (select 1 from audit_record r
        where r.chain_id = k.chain and r.seq = k.seq and r.hash = decode(k.hash, 'hex'))) then
    raise exception 'a checkpoint of no record' using errcode = '22023';
  end if;
  insert into audit_checkpoint (chain_id, seq, hash, at, key_id, signature)
    select chain, seq, decode(hash, 'hex'), to_timestamp(at / 1000.0), key, decode(signature, 'hex')
    from jsonb_to_recordset(p_checkpoints)
      as k (chain int, seq bigint, hash text, at double precision, key text, signature text)
    on conflict do nothing;
end
$$;

revoke all on function audit_hash, guard_holds, lock_guarded, lock_chains, extend_chain, append_audit, audit_heads,
  add_checkpoints from public;
grant execute on function append_audit, audit_heads, add_checkpoints
  to bulkhead_retrieve, bulkhead_ingest, bulkhead_admin, bulkhead_audit;

reset role;
set local role bulkhead_owner;
set local search_path = bulkhead, public;
revoke create on schema bulkhead from bulkhead_ledger;
reset role;
