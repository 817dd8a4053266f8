-- The outbox for several indexers at once: a lease per document, and what nobody tries any more, to be seen and
-- tried again by an administrator of its tenant.
set local role bulkhead_owner;
set local search_path = bulkhead, public;

-- `mend`: the live version again, because the index may not have it as it is.
alter table outbox drop constraint outbox_operation_check;
alter table outbox add constraint outbox_operation_check check (operation in ('publish', 'move', 'remove', 'mend'));
-- Who works on the document, and until when nobody else does. Only who still has the lease may settle.
alter table outbox add column lease uuid, add column leased_until timestamptz(3);
create index outbox_by_lease on outbox (lease) where lease is not null;

grant insert on outbox to bulkhead_indexer;
grant select on outbox to bulkhead_admin, bulkhead_kernel;
grant update (attempts, not_before, last_error) on outbox to bulkhead_kernel;
create policy admin_read_outbox on outbox for select to bulkhead_admin
  using (tenant_id = (select ctx_tenant()) and holds_right((select ctx_root()), 'administer'));

-- Documents that failed ten times. What reads it sees what its own policy on the outbox lets it see.
create view dead_letter with (security_invoker = true) as
  select document_id as document, tenant_id as tenant, string_agg(distinct operation, ', ') as operation,
    max(attempts) as attempts, (array_agg(last_error order by id) filter (where last_error is not null))[1] as last_error,
    min(created_at) as since
  from outbox group by tenant_id, document_id
  having bool_or(attempts >= 10 and last_error is not null);
grant select on dead_letter to bulkhead_admin, bulkhead_indexer;

-- How far the index is behind, over all tenants: for the readiness of a process, never for a caller. What waits
-- because one document fails is not a lag; what waits for a store that is away is.
create policy backlog_outbox on outbox for select to bulkhead_owner using (true);
create function index_backlog(out documents bigint, out oldest_ms double precision, out dead bigint)
language sql stable security definer set search_path = bulkhead, pg_temp as $$
  select count(distinct document_id),
    coalesce(greatest(0, ms(clock_timestamp()) - ms(min(created_at)
      filter (where attempts = 0 or last_error in ('index_unavailable', 'database_unavailable')))), 0),
    count(distinct document_id) filter (where attempts >= 10 and last_error is not null)
  from outbox
$$;
revoke all on function index_backlog from public;
grant execute on function index_backlog to bulkhead_retrieve, bulkhead_ingest, bulkhead_indexer, bulkhead_admin;

grant create on schema bulkhead to bulkhead_kernel;
reset role;
set local role bulkhead_kernel;
set local search_path = bulkhead, public;

-- All of the tenant's, or those among these documents. Needs `administer` at the root.
create function retry_dead_letters(p_documents uuid[]) returns setof uuid
language plpgsql security definer set search_path = bulkhead, pg_temp as $$
begin
  perform require_right(ctx_root(), 'administer');
  return query
  with retried as (
    update outbox o set attempts = 0, not_before = now(), last_error = null
    where o.tenant_id = ctx_tenant() and (p_documents is null or o.document_id = any (p_documents))
      and exists (select 1 from outbox d where d.document_id = o.document_id
        and d.tenant_id = ctx_tenant() and d.attempts >= 10 and d.last_error is not null)
    returning o.document_id)
  select distinct document_id from retried;
end
$$;
revoke all on function retry_dead_letters from public;
grant execute on function retry_dead_letters to bulkhead_admin;
reset role;
set local role bulkhead_owner;
set local search_path = bulkhead, public;
revoke create on schema bulkhead from bulkhead_kernel;
reset role;
