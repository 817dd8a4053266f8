-- The documents of an ingest source were admitted row by row with holds_right, and every chunk that is written looks
-- at its document. The same containers, listed once a statement, are a hash lookup. Both functions are plpgsql
-- because it keeps their plans from call to call: planning costs ten times the execution.
set local role bulkhead_owner;
set local search_path = bulkhead, public;
grant create on schema bulkhead to bulkhead_kernel;
reset role;
set local role bulkhead_kernel;
set local search_path = bulkhead, public;

-- As in 0006.
create or replace function holds_right(p_container int, p_right text) returns boolean
language plpgsql stable security definer set search_path = bulkhead, pg_temp as $$
begin
  return exists (
    select 1 from class_ancestor a join role_binding b on b.container_id = a.ancestor_id
    where a.class_id = p_container and b.right_name = p_right
      and b.principal_id = any ((select ctx_principals())::int[])
      and valid_at(b.valid_from, b.valid_until, (select ctx_now())))
    -- an actor narrows: what it does for a user stays inside its containers
    and ((select ctx_actor()) is null or exists (
      select 1 from class_ancestor a join actor_ceiling l on a.ancestor_id = any (l.containers)
      where a.class_id = p_container and l.principal_id = (select ctx_actor())));
end
$$;

-- The containers for which holds_right is true.
create function containers_with(p_right text) returns setof int
language plpgsql stable security definer set search_path = bulkhead, pg_temp as $$
begin
  return query
  select c.id from access_class c
  where c.kind = 'container'
    and exists (
      select 1 from role_binding b join class_ancestor a on a.ancestor_id = b.container_id
      where a.class_id = c.id and b.right_name = p_right
        and b.principal_id = any ((select ctx_principals())::int[])
        and valid_at(b.valid_from, b.valid_until, (select ctx_now())))
    and ((select ctx_actor()) is null or exists (
      select 1 from actor_ceiling l join class_ancestor a on a.ancestor_id = any (l.containers)
      where a.class_id = c.id and l.principal_id = (select ctx_actor())));
end
$$;
revoke all on function containers_with from public;
grant execute on function containers_with to bulkhead_ingest;

reset role;
set local role bulkhead_owner;
set local search_path = bulkhead, public;
revoke create on schema bulkhead from bulkhead_kernel;
drop policy ingest_document on document;
create policy ingest_document on document to bulkhead_ingest
  using (tenant_id = (select ctx_tenant()) and container_id in (select containers_with('ingest')))
  with check (tenant_id = (select ctx_tenant()) and container_id in (select containers_with('ingest')));
