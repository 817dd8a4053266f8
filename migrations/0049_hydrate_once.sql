-- A document's policy was evaluated twice for each passage of an answer: once for the row of the document, and once more
-- within the policy of its chunk. Half of what hydration took was the second. Now a role that nobody can become reads a
-- chunk's text for one function, which hands out no chunk without the row of its document, and that row has passed the
-- policy. What `bulkhead_retrieve` may read itself is as it was (docs/decisions/0026).
do $$
begin
  if not exists (select 1 from pg_roles where rolname = 'bulkhead_reader') then
    create role bulkhead_reader nologin noinherit nosuperuser nobypassrls nocreatedb nocreaterole;
  end if;
  if not (select rolsuper from pg_roles where rolname = current_user) then
    execute format('grant bulkhead_reader to %I', current_user);
  end if;
end
$$;

set local role bulkhead_owner;
set local search_path = bulkhead, public;
grant usage, create on schema bulkhead to bulkhead_reader;
grant select on chunk, document, access_class, class_ancestor, entry, clearance, actor_ceiling to bulkhead_reader;
grant execute on function ctx_tenant, ctx_principals, ctx_principal_set, ctx_actor, ctx_actor_principal_set, ctx_now,
  ctx_max_rank, ms to bulkhead_reader;

-- One text of each policy, for both.
alter policy retrieve_document on document to bulkhead_retrieve, bulkhead_reader;
alter policy retrieve_class on access_class to bulkhead_retrieve, bulkhead_reader;
alter policy retrieve_ancestor on class_ancestor to bulkhead_retrieve, bulkhead_reader;
alter policy retrieve_entry on entry to bulkhead_retrieve, bulkhead_reader;
alter policy retrieve_clearance on clearance to bulkhead_retrieve, bulkhead_reader;
alter policy retrieve_ceiling on actor_ceiling to bulkhead_retrieve, bulkhead_reader;
create policy reader_chunk on chunk for select to bulkhead_reader using (tenant_id = (select ctx_tenant()));

drop function hydrate(bigint[]);
reset role;
set local role bulkhead_reader;
set local search_path = bulkhead, public;

-- As in 0043. A chunk comes back only with its document, in the version that is live: without that row, nothing does.
create function hydrate(p_chunks bigint[], out passages json, out classes json)
language plpgsql stable security definer set search_path = bulkhead, pg_temp set jit = off
set plan_cache_mode = force_generic_plan set random_page_cost = 1.1 set work_mem = '256kB' as $$
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
revoke all on function hydrate from public;
grant execute on function hydrate to bulkhead_retrieve;
reset role;
set local role bulkhead_owner;
set local search_path = bulkhead, public;
revoke create on schema bulkhead from bulkhead_reader;
reset role;

-- A recursive union clears a hash table as large as `work_mem` lets a wrong estimate make it, at every call: a quarter of
-- what it took to authorize somebody. It grows past this where a caller is in thousands of groups.
set local role bulkhead_kernel;
set local search_path = bulkhead, public;
alter function authorize(text, text, text[], text, jsonb) set work_mem = '256kB';
reset role;
