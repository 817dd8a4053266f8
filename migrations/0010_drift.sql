-- Tells lag from drift: when the index proposes a passage that row-level security or decide() drops, has the
-- document changed since, or do the enforcers disagree? Ids, classes and versions only.
set local role bulkhead_owner;
set local search_path = bulkhead, public;
grant create on schema bulkhead to bulkhead_kernel;
reset role;
set local role bulkhead_kernel;
set local search_path = bulkhead, public;

create function probe_documents(p_documents uuid[]) returns table (id uuid, class_id int, version int, changed_at double precision)
language sql stable security definer set search_path = bulkhead, pg_temp as $$
  select d.id, d.class_id, d.version, ms(d.updated_at) from document d
  where d.tenant_id = ctx_tenant() and d.id = any (p_documents)
$$;
revoke all on function probe_documents from public;
grant execute on function probe_documents to bulkhead_retrieve;
reset role;
set local role bulkhead_owner;
set local search_path = bulkhead, public;
revoke create on schema bulkhead from bulkhead_kernel;
