-- Stage 4 in one function, so that its plan is kept: with the policies of 0005 written out, planning it takes
-- longer than running it. It has no rights of its own: row-level security applies to whoever calls it.
set local role bulkhead_owner;
set local search_path = bulkhead, public;

-- The chunks among these that the caller may read, in reading order, and the classes they hang from up to the
-- root, found by walking parents and not by the flattened tree, which is what is being checked. Null where none.
create function hydrate(p_chunks bigint[], out passages json, out classes json)
language plpgsql stable security invoker set search_path = bulkhead, pg_temp set jit = off
-- one plan for all: it looks a few rows up by key, however many there are
set plan_cache_mode = force_generic_plan set random_page_cost = 1.1 as $$
begin
  with recursive
  passage as materialized (
    select c.id as chunk, d.id as document, d.version, d.class_id as class, k.path as container, c.ordinal, c.text,
      c.heading_path, c.start_offset, c.end_offset, d.title, d.source, d.external_id, d.media_type,
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
          from entry e where e.class_id = k.id)))
      from walk join access_class k on k.id = walk.id)
  into passages, classes;
end
$$;

revoke all on function hydrate from public;
grant execute on function hydrate to bulkhead_retrieve;
reset role;
