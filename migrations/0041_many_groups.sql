-- A caller in thousands of groups: whether an entry names one of them is found by halving, in a multirange, and not by
-- reading the list for each entry; and of a class's allows as many come back as a decision needs.
set local role bulkhead_owner;
set local search_path = bulkhead, public;

-- `bulkhead.principals` and `bulkhead.actor_principals` again, as ranges; unset and empty give null as there.
create function ctx_principal_set() returns int4multirange language sql stable parallel safe
  as $$ select nullif(current_setting('bulkhead.principal_set', true), '')::int4multirange $$;
create function ctx_actor_principal_set() returns int4multirange language sql stable parallel safe
  as $$ select nullif(current_setting('bulkhead.actor_principal_set', true), '')::int4multirange $$;

revoke all on function ctx_principal_set, ctx_actor_principal_set from public;
grant execute on function ctx_principal_set, ctx_actor_principal_set to bulkhead_retrieve;

alter policy retrieve_entry on entry using (
  tenant_id = (select ctx_tenant())
  and (principal_id <@ (select ctx_principal_set())
    or principal_id <@ (select ctx_actor_principal_set())));

-- As in 0005 but for the principals.
alter policy retrieve_document on document using (
  tenant_id = (select ctx_tenant())
  and version > 0
  and exists (
    select 1 from class_ancestor a join entry e on e.class_id = a.ancestor_id
    where a.class_id = document.class_id and a.allows_pass and e.effect = 'allow'
      and e.principal_id <@ (select ctx_principal_set())
      and (e.valid_from is null or e.valid_from <= (select ctx_now()))
      and (e.valid_until is null or e.valid_until > (select ctx_now())))
  and not exists (
    select 1 from class_ancestor a join entry e on e.class_id = a.ancestor_id
    where a.class_id = document.class_id and e.effect = 'deny'
      and (e.principal_id <@ (select ctx_principal_set())
        or e.principal_id <@ (select ctx_actor_principal_set()))
      and (e.valid_from is null or e.valid_from <= (select ctx_now()))
      and (e.valid_until is null or e.valid_until > (select ctx_now())))
  and exists (
    select 1 from clearance k
    where k.principal_id <@ (select ctx_principal_set())
      and (k.valid_from is null or k.valid_from <= (select ctx_now()))
      and (k.valid_until is null or k.valid_until > (select ctx_now()))
      and not exists (
        select 1 from class_ancestor a join access_class c on c.id = a.ancestor_id
        where a.class_id = document.class_id
          and (c.rank > k.rank or not c.compartments <@ k.compartments)))
  -- a label at all, and none above what the session's strength admits; a missing setting compares as null
  and (
    select max(c.rank) from class_ancestor a join access_class c on c.id = a.ancestor_id
    where a.class_id = document.class_id) <= (select ctx_max_rank())
  and ((select ctx_actor()) is null or exists (
    select 1 from actor_ceiling l
    where l.principal_id = (select ctx_actor())
      and exists (select 1 from class_ancestor a
        where a.class_id = document.class_id and a.ancestor_id = any (l.containers))
      and not exists (
        select 1 from class_ancestor a join access_class c on c.id = a.ancestor_id
        where a.class_id = document.class_id
          and (c.rank > l.rank or not c.compartments <@ l.compartments))))
);

-- As in 0026 but for the entries. One allow that is valid now decides as much as a thousand; every deny counts.
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
              and valid_at(valid_from, valid_until, (select ctx_now())) limit 4)) e)))
      from walk join access_class k on k.id = walk.id)
  into passages, classes;
end
$$;
reset role;
