set local role bulkhead_owner;
set local search_path = bulkhead, public;

do $$
declare
  t text;
begin
  foreach t in array array['tenant', 'policy_epoch', 'principal', 'directory_account', 'directory_group',
    'directory_source', 'membership', 'clearance', 'access_class', 'class_block', 'class_ancestor', 'entry',
    'role_binding', 'actor_ceiling', 'document', 'document_tombstone', 'document_version', 'chunk', 'chunk_embedding', 'outbox'] loop
    execute format('alter table %I enable row level security', t);
    execute format('alter table %I force row level security', t);
  end loop;
end
$$;

-- retrieve ------------------------------------------------------------------------------------------------
-- Policy rows of the caller's principals only; the shape of the tree and its labels within the tenant.
grant select on policy_epoch, clearance, access_class, class_ancestor, entry, actor_ceiling, document, chunk,
  document_version to bulkhead_retrieve;
grant select on sensitivity_level to bulkhead_retrieve, bulkhead_admin, bulkhead_kernel, bulkhead_ingest, bulkhead_audit;

create policy retrieve_epoch on policy_epoch for select to bulkhead_retrieve
  using (tenant_id = (select ctx_tenant()));
create policy retrieve_clearance on clearance for select to bulkhead_retrieve
  using (tenant_id = (select ctx_tenant()) and principal_id = any ((select ctx_principals())::int[]));
create policy retrieve_class on access_class for select to bulkhead_retrieve
  using (tenant_id = (select ctx_tenant()));
create policy retrieve_ancestor on class_ancestor for select to bulkhead_retrieve
  using (tenant_id = (select ctx_tenant()));
create policy retrieve_entry on entry for select to bulkhead_retrieve
  using (tenant_id = (select ctx_tenant())
    and (principal_id = any ((select ctx_principals())::int[])
      or principal_id = any ((select ctx_actor_principals())::int[])));
create policy retrieve_ceiling on actor_ceiling for select to bulkhead_retrieve
  using (tenant_id = (select ctx_tenant()) and principal_id = (select ctx_actor()));

-- The second enforcer. Each row's class is looked up; nothing here lists the visible set (which would cost
-- twenty times more) and nothing is shared with it but the tables.
create policy retrieve_document on document for select to bulkhead_retrieve using (
  tenant_id = (select ctx_tenant())
  and version > 0
  and exists (
    select 1 from class_ancestor a join entry e on e.class_id = a.ancestor_id
    where a.class_id = document.class_id and a.allows_pass and e.effect = 'allow'
      and e.principal_id = any ((select ctx_principals())::int[])
      and (e.valid_from is null or e.valid_from <= (select ctx_now()))
      and (e.valid_until is null or e.valid_until > (select ctx_now())))
  and not exists (
    select 1 from class_ancestor a join entry e on e.class_id = a.ancestor_id
    where a.class_id = document.class_id and e.effect = 'deny'
      and (e.principal_id = any ((select ctx_principals())::int[])
        or e.principal_id = any ((select ctx_actor_principals())::int[]))
      and (e.valid_from is null or e.valid_from <= (select ctx_now()))
      and (e.valid_until is null or e.valid_until > (select ctx_now())))
  and exists (
    select 1 from clearance k
    where k.principal_id = any ((select ctx_principals())::int[])
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
create policy retrieve_chunk on chunk for select to bulkhead_retrieve using (
  tenant_id = (select ctx_tenant())
  and exists (select 1 from document d where d.id = chunk.document_id and d.version = chunk.version));
create policy retrieve_version on document_version for select to bulkhead_retrieve using (
  tenant_id = (select ctx_tenant())
  and exists (select 1 from document d where d.id = document_version.document_id and d.version = document_version.version));

-- kernel: the functions of 0006 and 0007, each of which checks the caller's right itself ------------------------------
grant select, insert, update on policy_epoch, access_class, class_block to bulkhead_kernel;
grant select, insert, update, delete on class_ancestor, entry to bulkhead_kernel;
grant select on tenant, principal, directory_account, directory_source, membership, clearance, role_binding,
  actor_ceiling to bulkhead_kernel;
grant select, update on document to bulkhead_kernel;
grant select on chunk to bulkhead_kernel;
grant insert on outbox to bulkhead_kernel;
grant usage on sequence class_block_seq to bulkhead_kernel;
do $$
declare
  t text;
begin
  foreach t in array array['policy_epoch', 'access_class', 'class_block', 'class_ancestor', 'entry',
    'principal', 'directory_account', 'directory_source', 'membership', 'clearance', 'role_binding',
    'actor_ceiling', 'document', 'chunk', 'outbox'] loop
    execute format('create policy kernel_%s on %I to bulkhead_kernel using (tenant_id = (select ctx_tenant())) with check (tenant_id = (select ctx_tenant()))', t, t);
  end loop;
end
$$;
-- a tenant is looked up by name before there is a context
create policy kernel_tenant on tenant for select to bulkhead_kernel using (true);

-- epoch: every tenant's counter, whatever the context of the one who changes policy ---------------------------------
grant select (tenant_id, counter), update (counter) on policy_epoch to bulkhead_epoch;
grant select (id, tenant_id, kind, created_xid) on access_class to bulkhead_epoch;
create policy epoch_counter on policy_epoch to bulkhead_epoch using (true);
create policy epoch_class on access_class for select to bulkhead_epoch using (true);
