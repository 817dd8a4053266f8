-- What a process that may take one role only needs from behind another's tables, each as the least that answers it.
set local role bulkhead_owner;
set local search_path = bulkhead, public;

-- names and their order, as in the configuration
grant select on sensitivity_level to bulkhead_indexer;
grant select (tenant_id, document_id, operation, last_error) on outbox to bulkhead_kernel;

grant create on schema bulkhead to bulkhead_kernel, bulkhead_ledger;
reset role;
set local role bulkhead_kernel;
set local search_path = bulkhead, public;

-- Those among these versions that readers or the index do not have yet, of documents that the caller may manage.
create function index_pending(p_documents uuid[], p_versions int[]) returns table (id uuid, has_failed boolean)
language sql stable security definer set search_path = bulkhead, pg_temp as $$
  select d.id, bool_or(o.last_error is not null)
  from unnest(p_documents, p_versions) as w (id, version)
  join document d on d.id = w.id
  join outbox o on o.document_id = w.id
  where d.tenant_id = ctx_tenant() and o.tenant_id = ctx_tenant() and holds_right(d.container_id, 'ingest')
    and (o.operation = 'move' or d.version < w.version)
  group by d.id
$$;

-- The effective rank of each class of the context's tenant: what is masked before embedding hangs on it, and who
-- embeds again sees no label, no entry and no principal.
create function class_ranks() returns table (id int, rank smallint)
language sql stable security definer set search_path = bulkhead, pg_temp as $$
  select a.class_id, max(c.rank) from class_ancestor a join access_class c on c.id = a.ancestor_id
  where a.tenant_id = ctx_tenant() and c.rank is not null group by a.class_id
$$;

-- Every tenant, for work on the index as a whole.
create function tenants() returns table (id int, name text)
language sql stable security definer set search_path = bulkhead, pg_temp as $$
  select t.id, t.name from tenant t order by t.id
$$;

-- The rights that the caller holds on the root container.
create function root_rights() returns text[]
language sql stable security definer set search_path = bulkhead, pg_temp as $$
  select coalesce(array_agg(r), '{}') from unnest(array['ingest', 'label', 'grant', 'audit', 'administer']) r
  where holds_right((select c.id from access_class c where c.tenant_id = ctx_tenant() and c.path = '/'), r)
$$;

revoke all on function index_pending, class_ranks, tenants, root_rights from public;
grant execute on function index_pending to bulkhead_ingest;
grant execute on function class_ranks, tenants to bulkhead_indexer;
grant execute on function root_rights to bulkhead_admin, bulkhead_audit;

reset role;
set local role bulkhead_ledger;
set local search_path = bulkhead, public;
-- work on the index by whoever runs the service is recorded like any other
grant execute on function append_audit, audit_heads, add_checkpoints to bulkhead_indexer;

-- Whether this login may add to the chains of the writer. The login counts, which SECURITY DEFINER and `set role` leave
-- as it is: one that may take a single role writes only under names that begin with that role and a dash.
create function may_write_as(p_writer text) returns boolean
language plpgsql stable set search_path = bulkhead, pg_temp as $$
declare
  v_roles constant text[] := array['retrieve', 'ingest', 'indexer', 'admin', 'audit'];
  v_role constant text := split_part(p_writer, '-', 1);
begin
  if v_role = any (v_roles) and p_writer like v_role || '-%'
    and pg_has_role(session_user, ('bulkhead_' || v_role)::name, 'member') then
    return true;
  end if;
  return (select bool_and(pg_has_role(session_user, ('bulkhead_' || r)::name, 'member')) from unnest(v_roles) r);
end
$$;

create function refuse_foreign_chain() returns trigger
language plpgsql set search_path = bulkhead, pg_temp as $$
begin
  if not may_write_as(new.writer) then
    raise exception 'this login may not write as %', new.writer using errcode = '42501';
  end if;
  return new;
end
$$;

create function refuse_foreign_checkpoint() returns trigger
language plpgsql set search_path = bulkhead, pg_temp as $$
begin
  if not may_write_as((select c.writer from audit_chain c where c.id = new.chain_id)) then
    raise exception 'this login may not sign this chain' using errcode = '42501';
  end if;
  return new;
end
$$;
revoke all on function may_write_as, refuse_foreign_chain, refuse_foreign_checkpoint from public;
grant execute on function refuse_foreign_chain, refuse_foreign_checkpoint to bulkhead_owner;

reset role;
set local role bulkhead_owner;
set local search_path = bulkhead, public;
revoke create on schema bulkhead from bulkhead_kernel, bulkhead_ledger;
-- triggers, so that they hold whatever way a row takes
create trigger own_chain before insert or update on audit_chain for each row execute function refuse_foreign_chain();
create trigger own_checkpoint before insert on audit_checkpoint for each row execute function refuse_foreign_checkpoint();
