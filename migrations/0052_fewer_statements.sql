-- What an answer costs the database, once more (docs/decisions/0030): a receipt is checked and chained in half as many
-- statements, and an answer's passages are read in one message, not three.
set local role bulkhead_owner;
set local search_path = bulkhead, public;
grant create on schema bulkhead to bulkhead_ledger;

-- As `hydrate`, with the caller's settings. They end with the transaction: with the statement, where it is sent alone, as
-- it is. To be called in no transaction that has settings of its own.
-- @param p_context names and values
create function hydrate_as(p_context json, p_chunks bigint[], out passages json, out classes json)
language plpgsql security invoker set search_path = bulkhead, pg_temp as $$
begin
  perform set_config(c.key, c.value, true) from json_each_text(p_context) c where starts_with(c.key, 'bulkhead.');
  -- a statement of its own, which begins when the settings are there
  select h.passages, h.classes into passages, classes from hydrate(p_chunks) h;
end
$$;
revoke all on function hydrate_as from public;
grant execute on function hydrate_as to bulkhead_retrieve;

reset role;
set local role bulkhead_ledger;
set local search_path = bulkhead, public;

-- Adds the items whose guard holds to the writer's chain of their tenant, in order; results in the order of the items.
-- An item: tenant, kind, id, body (the text that is hashed), guard (null, or as ReleaseGuard of src/audit/receipt.ts).
-- Locks are taken in one order everywhere: policy epoch, revocation epoch, documents by id, chains by tenant.
create or replace function append_audit(p_writer text, p_items jsonb) returns jsonb
language plpgsql security definer set search_path = bulkhead, pg_temp
set plan_cache_mode = force_generic_plan set jit = off
-- a few rows by key, whatever the statistics of a small table say: read whole, it is locked no faster
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
declare
  v_is_foreign boolean;
  v_guarded int[];
  v_standing int[];
  v_tenants int[];
  v_tenant int;
  v_chain int;
  v_seq bigint;
  v_prev bytea;
  v_hash bytea;
  v_at timestamptz(3);
  v_item record;
  v_results jsonb[] := array_fill('{"status": "moved"}'::jsonb, array[jsonb_array_length(p_items)]);
begin
  select bool_or((i->>'tenant')::int <> ctx_tenant()),
      array_agg(distinct (i->>'tenant')::int) filter (where jsonb_typeof(i->'guard') = 'object')
    into v_is_foreign, v_guarded
    from jsonb_array_elements(p_items) i;
  if v_is_foreign then
    raise exception 'a record of another tenant' using errcode = '42501';
  end if;

  if v_guarded is not null then
    perform 1 from policy_epoch e join revocation_epoch r on r.tenant_id = e.tenant_id
      where e.tenant_id = any (v_guarded) order by e.tenant_id for share;
  end if;

  -- This statement began when the epochs were locked, and so sees the latest of them and of what they guard. A document
  -- that is being changed is waited for, and held only if it is afterwards what the decision saw.
  with asked as materialized (
    select i.ord::int as ord, (i.item->>'tenant')::int as tenant, i.item->'guard' as guard
    from jsonb_array_elements(p_items) with ordinality as i (item, ord)),
  named as materialized (
    select a.ord, a.tenant, (g->>0)::uuid as id, (g->>1)::int as class, (g->>2)::int as version
    from asked a, jsonb_array_elements(a.guard->'documents') g),
  -- met by its key alone: a class may hold any number of documents
  held as materialized (
    select n.ord from named n join document d on d.id = n.id
    where d.tenant_id = n.tenant and d.class_id = n.class and d.version = n.version
    order by d.id for share of d),
  standing as (
    select a.ord, a.tenant from asked a
    where a.guard = 'null' or (
      jsonb_typeof(a.guard->'documents') = 'array'
      -- both rows, or nothing was locked
      and exists (select 1 from policy_epoch e join revocation_epoch r on r.tenant_id = e.tenant_id
        where e.tenant_id = a.tenant and e.incarnation = (a.guard->>'incarnation')::uuid and e.counter = (a.guard->>'counter')::bigint)
      and (select count(*) from held h where h.ord = a.ord) = jsonb_array_length(a.guard->'documents')
      and not is_revoked_for_ledger(a.tenant, a.guard->'revocable')))
  select array_agg(s.ord order by s.ord), array_agg(distinct s.tenant) into v_standing, v_tenants from standing s;

  foreach v_tenant in array coalesce(v_tenants, '{}') loop
    v_chain := null;
    select c.id, c.last_seq, c.last_hash into v_chain, v_seq, v_hash from audit_chain c
      where c.writer = p_writer and c.tenant_id = v_tenant for no key update;
    if v_chain is null then
      insert into audit_chain (writer, tenant_id) values (p_writer, v_tenant) on conflict do nothing;
      select c.id, c.last_seq, c.last_hash into strict v_chain, v_seq, v_hash from audit_chain c
        where c.writer = p_writer and c.tenant_id = v_tenant for no key update;
    end if;
    -- a clock that was set back does not make a record older than the one before it
    v_at := greatest(date_trunc('milliseconds', clock_timestamp()),
      (select r.at from audit_record r where r.chain_id = v_chain and r.seq = v_seq));
    for v_item in
      select i.ord::int as ord, item->>'kind' as kind, item->>'id' as id, item->>'body' as body
      from jsonb_array_elements(p_items) with ordinality as i (item, ord)
      where i.ord = any (v_standing) and (item->>'tenant')::int = v_tenant order by i.ord
    loop
      v_seq := v_seq + 1;
      v_prev := v_hash;
      v_hash := audit_hash(v_prev, v_seq, v_at, v_item.kind, v_item.id, v_item.body);
      insert into audit_record (chain_id, seq, tenant_id, at, kind, id, body, prev_hash, hash)
        values (v_chain, v_seq, v_tenant, v_at, v_item.kind, v_item.id, v_item.body, v_prev, v_hash);
      v_results[v_item.ord] := jsonb_build_object('status', 'appended', 'chain', v_chain, 'seq', v_seq,
        'hash', encode(v_hash, 'hex'), 'at', ms(v_at)::bigint);
    end loop;
    update audit_chain set last_seq = v_seq, last_hash = v_hash where id = v_chain;
  end loop;
  return to_jsonb(v_results);
end
$$;

drop function lock_guarded;
drop function guard_holds;
drop function lock_chains;
drop function extend_chain;

reset role;
set local role bulkhead_owner;
set local search_path = bulkhead, public;
revoke create on schema bulkhead from bulkhead_ledger;
reset role;
