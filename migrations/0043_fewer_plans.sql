-- What a question costs the database, without a change of what it may see: functions that PostgreSQL can write into the
-- statement that calls them, and plans that are kept where they were made anew for each question.
set local role bulkhead_owner;
set local search_path = bulkhead, public;

-- `extract` from a timestamp with a zone is not immutable, and what is declared to be and calls it is not written in.
create or replace function ms(at timestamptz) returns double precision language sql immutable parallel safe
  as $$ select extract(epoch from at at time zone 'UTC') * 1000 $$;

-- As in 0041, with what is valid now written out: a function of a sub-select is not written in.
create or replace function hydrate(p_chunks bigint[], out passages json, out classes json)
language plpgsql stable security invoker set search_path = bulkhead, pg_temp set jit = off
set plan_cache_mode = force_generic_plan set random_page_cost = 1.1 as $$
begin
  with recursive
  passage as materialized (
    select c.id as chunk, d.id as document, d.version, d.class_id as class, k.path as container, c.ordinal, c.text,
      c.heading_path, c.data_key_id as data_key, encode(c.sealed, 'base64') as sealed,
      c.start_offset, c.end_offset, d.title, d.source, d.external_id, d.media_type,
      ms(d.content_date) as content_date, ms(d.updated_at) as updated_at
    from chunk c
    join document d on d.id = c.document_id and d.version = c.version
    join access_class k on k.id = d.container_id
    where c.id = any (p_chunks)),
  walk(id) as (
    select class from passage
    union
    select k.parent_id from walk join access_class k on k.id = walk.id where k.parent_id is not null)
  select
    (select json_agg(passage order by document, ordinal) from passage),
    (select json_agg(json_build_object('id', k.id, 'parent', k.parent_id, 'inherits', k.inherits, 'rank', k.rank,
        'compartments', k.compartments, 'entries', (
          select json_agg(json_build_object('principal', e.principal_id, 'effect', e.effect,
            'from', ms(e.valid_from), 'until', ms(e.valid_until)))
          from (
            (select * from entry where class_id = k.id and effect = 'deny')
            union all
            -- the user's own: row-level security shows those of an acting service too, which let nobody in
            (select * from entry where class_id = k.id and effect = 'allow'
              and principal_id <@ (select ctx_principal_set())
              and (valid_from is null or valid_from <= (select ctx_now()))
              and (valid_until is null or valid_until > (select ctx_now())) limit 4)) e)))
      from walk join access_class k on k.id = walk.id)
  into passages, classes;
end
$$;
grant create on schema bulkhead to bulkhead_ledger;
reset role;
set local role bulkhead_ledger;
set local search_path = bulkhead, public;

-- As in 0034, for the ledger alone: a plan is kept for one role, and a question asks as two.
create function is_revoked_for_ledger(p_tenant int, p_revocable jsonb) returns boolean language plpgsql stable as $$
begin
  if jsonb_typeof(p_revocable) is distinct from 'array' or p_revocable = '[]'
      or p_revocable @? '$[*] ? (@.type() != "object")' then
    return true;
  end if;
  return exists (
    select 1 from jsonb_to_recordset(p_revocable) as c (kind text, id text, "issuedAt" double precision)
    left join revocation r on r.tenant_id = p_tenant and r.kind = c.kind and r.id = c.id
    where c.kind is null or c.id is null or coalesce(c."issuedAt", 0) <= ms(r.not_before));
end
$$;

-- As in 0034, with plans that are kept.
create or replace function guard_holds(p_tenant int, p_guard jsonb) returns boolean language plpgsql stable as $$
begin
  if p_guard = 'null' then return true; end if;
  if jsonb_typeof(p_guard) is distinct from 'object' or jsonb_typeof(p_guard->'documents') is distinct from 'array' then
    return false;
  end if;
  if not exists (select 1 from policy_epoch e where e.tenant_id = p_tenant
      and e.incarnation = (p_guard->>'incarnation')::uuid and e.counter = (p_guard->>'counter')::bigint) then
    return false;
  end if;
  -- met by its key alone: a class may hold any number of documents
  if exists (select 1 from jsonb_array_elements(p_guard->'documents') g
      left join document d on d.id = (g->>0)::uuid
      where d.id is null or d.tenant_id is distinct from p_tenant
        or d.class_id is distinct from (g->>1)::int or d.version is distinct from (g->>2)::int) then
    return false;
  end if;
  return not is_revoked_for_ledger(p_tenant, p_guard->'revocable');
end
$$;

-- Only `append_audit` calls these, which has said where names are looked up and how plans are made.
alter function audit_hash reset all;
alter function lock_guarded reset all;
alter function lock_chains reset all;
alter function extend_chain reset all;
alter function append_audit set plan_cache_mode = force_generic_plan;
alter function append_audit set jit = off;
-- a few rows by key, whatever the statistics of a small table say: read whole, it is locked no faster
alter function append_audit set enable_seqscan = off;
alter function append_audit set enable_hashjoin = off;
alter function append_audit set enable_mergejoin = off;

revoke all on function is_revoked_for_ledger from public;
reset role;
set local role bulkhead_owner;
set local search_path = bulkhead, public;
revoke create on schema bulkhead from bulkhead_ledger;
reset role;
set local role bulkhead_kernel;
set local search_path = bulkhead, public;
revoke execute on function is_revoked from bulkhead_ledger;
reset role;
