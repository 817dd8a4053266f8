-- What ingest, indexer and admin may see and change.
set local role bulkhead_owner;
set local search_path = bulkhead, public;

create function ctx_root() returns int language sql stable
  as $$ select id from bulkhead.access_class where tenant_id = bulkhead.ctx_tenant() and path = '/' $$;

-- ingest: documents of the containers in which the caller holds `ingest` ---------------------------------------------
grant select, insert, update, delete on document, document_version, chunk, chunk_embedding to bulkhead_ingest;
grant select, insert, update on document_tombstone to bulkhead_ingest;
grant insert on outbox to bulkhead_ingest;
grant select on access_class, class_ancestor, entry, principal, role_binding, policy_epoch to bulkhead_ingest;

create policy ingest_document on document to bulkhead_ingest
  using (tenant_id = (select ctx_tenant()) and holds_right(container_id, 'ingest'))
  with check (tenant_id = (select ctx_tenant()) and holds_right(container_id, 'ingest')
    -- a document sits in its container's class or in one interned below it, never in somebody else's
    and exists (select 1 from access_class c where c.id = class_id
      and (c.id = container_id or (c.kind = 'adhoc' and c.parent_id = container_id))));
create policy ingest_tombstone on document_tombstone to bulkhead_ingest
  using (tenant_id = (select ctx_tenant()) and holds_right(container_id, 'ingest'))
  with check (tenant_id = (select ctx_tenant()) and holds_right(container_id, 'ingest'));
create policy ingest_version on document_version to bulkhead_ingest
  using (tenant_id = (select ctx_tenant()) and exists (select 1 from document d where d.id = document_id))
  with check (tenant_id = (select ctx_tenant()) and exists (select 1 from document d where d.id = document_id));
create policy ingest_chunk on chunk to bulkhead_ingest
  using (tenant_id = (select ctx_tenant()) and exists (select 1 from document d where d.id = document_id))
  with check (tenant_id = (select ctx_tenant()) and exists (select 1 from document d where d.id = document_id));
create policy ingest_embedding on chunk_embedding to bulkhead_ingest
  using (tenant_id = (select ctx_tenant()) and exists (select 1 from chunk c where c.id = chunk_id))
  with check (tenant_id = (select ctx_tenant()) and exists (select 1 from chunk c where c.id = chunk_id));
create policy ingest_outbox on outbox for insert to bulkhead_ingest with check (tenant_id = (select ctx_tenant()));
create policy ingest_class on access_class for select to bulkhead_ingest using (tenant_id = (select ctx_tenant()));
create policy ingest_ancestor on class_ancestor for select to bulkhead_ingest using (tenant_id = (select ctx_tenant()));
-- own entries of ad-hoc classes are read to keep them when a document is replaced
create policy ingest_entry on entry for select to bulkhead_ingest using (tenant_id = (select ctx_tenant()));
create policy ingest_principal on principal for select to bulkhead_ingest using (tenant_id = (select ctx_tenant()));
create policy ingest_binding on role_binding for select to bulkhead_ingest
  using (tenant_id = (select ctx_tenant()) and principal_id = any ((select ctx_principals())::int[]));
create policy ingest_epoch on policy_epoch for select to bulkhead_ingest using (tenant_id = (select ctx_tenant()));

-- indexer: chunks and vectors of every tenant, no policy -------------------------------------------------------------
grant select on document, document_version, chunk, chunk_embedding, outbox to bulkhead_indexer;
grant update (version, chunk_count, title, media_type, content_date, content_hash, updated_at) on document to bulkhead_indexer;
grant delete on chunk, document_version to bulkhead_indexer;
grant insert, delete on chunk_embedding to bulkhead_indexer;
grant update, delete on outbox to bulkhead_indexer;
do $$
declare
  t text;
begin
  foreach t in array array['document', 'document_version', 'chunk', 'chunk_embedding', 'outbox'] loop
    execute format('create policy indexer_%s on %I to bulkhead_indexer using (true) with check (true)', t, t);
  end loop;
end
$$;

-- admin: policy, directory, document metadata; no chunk text ---------------------------------------------------------
grant select on tenant, policy_epoch, principal, directory_account, directory_group, directory_source, membership,
  clearance, access_class, class_ancestor, entry, role_binding, actor_ceiling to bulkhead_admin;
grant select on document to bulkhead_admin;
grant insert on principal, directory_account, directory_group, directory_source, membership, clearance, entry,
  role_binding, actor_ceiling to bulkhead_admin;
grant update on directory_account, directory_group, directory_source, membership, actor_ceiling to bulkhead_admin;
grant update (inherits, level, rank, compartments) on access_class to bulkhead_admin;
grant delete on membership, clearance, entry, role_binding, actor_ceiling to bulkhead_admin;
grant insert, update, delete on sensitivity_level to bulkhead_admin;
do $$
declare
  t text;
begin
  foreach t in array array['policy_epoch', 'access_class', 'class_ancestor', 'document', 'principal', 'directory_account',
    'directory_group', 'directory_source', 'membership', 'clearance', 'entry', 'role_binding', 'actor_ceiling'] loop
    execute format('create policy admin_read_%s on %I for select to bulkhead_admin using (tenant_id = (select ctx_tenant()))', t, t);
  end loop;
  foreach t in array array['principal', 'directory_account', 'directory_group', 'directory_source', 'membership',
    'clearance', 'actor_ceiling'] loop
    execute format('create policy admin_add_%s on %I for insert to bulkhead_admin with check (tenant_id = (select ctx_tenant()) and holds_right((select ctx_root()), ''administer''))', t, t);
  end loop;
  foreach t in array array['directory_account', 'directory_group', 'directory_source', 'membership', 'actor_ceiling'] loop
    execute format('create policy admin_change_%s on %I for update to bulkhead_admin using (tenant_id = (select ctx_tenant()) and holds_right((select ctx_root()), ''administer'')) with check (tenant_id = (select ctx_tenant()))', t, t);
  end loop;
  foreach t in array array['membership', 'clearance', 'actor_ceiling'] loop
    execute format('create policy admin_drop_%s on %I for delete to bulkhead_admin using (tenant_id = (select ctx_tenant()) and holds_right((select ctx_root()), ''administer''))', t, t);
  end loop;
end
$$;
create policy admin_tenant on tenant for select to bulkhead_admin using (id = (select ctx_tenant()));
create policy admin_relabel on access_class for update to bulkhead_admin
  using (tenant_id = (select ctx_tenant()) and kind = 'container' and (holds_right(id, 'label') or holds_right(id, 'grant')))
  with check (tenant_id = (select ctx_tenant()));
create policy admin_grant on entry for insert to bulkhead_admin
  with check (tenant_id = (select ctx_tenant()) and holds_right(class_id, 'grant'));
create policy admin_revoke on entry for delete to bulkhead_admin
  using (tenant_id = (select ctx_tenant()) and holds_right(class_id, 'grant'));
create policy admin_bind on role_binding for insert to bulkhead_admin
  with check (tenant_id = (select ctx_tenant()) and holds_right(container_id, 'administer'));
create policy admin_unbind on role_binding for delete to bulkhead_admin
  using (tenant_id = (select ctx_tenant()) and holds_right(container_id, 'administer'));

-- every tenant's cached visible sets rest on the order of levels
grant select on policy_epoch to bulkhead_owner;
reset role;
set local role bulkhead_owner;
grant create on schema bulkhead to bulkhead_kernel;
reset role;
set local role bulkhead_kernel;
set local search_path = bulkhead, public;

-- A tenant with its root container, its `everyone` and its first administrator. Refused when the name is taken.
create function create_tenant(p_name text, p_admin_key text, p_admin_source text, p_admin_name text, p_root_level text) returns int
language plpgsql security definer set search_path = bulkhead, pg_temp as $$
declare
  v_tenant int;
  v_root int;
  v_admin int;
begin
  insert into tenant (name) values (p_name) returning id into v_tenant;
  perform set_config('bulkhead.tenant', v_tenant::text, true);
  insert into policy_epoch (tenant_id) values (v_tenant);
  insert into principal (tenant_id, kind, key) values (v_tenant, 'everyone', 'everyone');
  v_root := add_class(null, 'container', '/', true, p_root_level, '{}', null);
  insert into principal (tenant_id, kind, key) values (v_tenant, split_part(p_admin_key, ':', 1), p_admin_key)
    returning id into v_admin;
  insert into directory_account (principal_id, tenant_id, source, display_name)
    values (v_admin, v_tenant, p_admin_source, p_admin_name);
  insert into directory_source (tenant_id, source, as_of) values (v_tenant, p_admin_source, now());
  insert into role_binding (tenant_id, container_id, principal_id, right_name)
    select v_tenant, v_root, v_admin, r from unnest(array['administer', 'ingest', 'label', 'grant', 'audit']) r;
  return v_tenant;
end
$$;
reset role;
set local role bulkhead_owner;
set local search_path = bulkhead, public;
revoke create on schema bulkhead from bulkhead_kernel;
grant insert on tenant, principal, directory_account, directory_source, role_binding to bulkhead_kernel;
create policy kernel_add_tenant on tenant for insert to bulkhead_kernel with check (true);

-- Functions are callable by nobody until granted.
reset role;
do $$
declare
  f regprocedure;
begin
  for f in select p.oid::regprocedure from pg_proc p join pg_namespace n on n.oid = p.pronamespace where n.nspname = 'bulkhead' loop
    execute format('revoke all on function %s from public', f);
  end loop;
end
$$;
set local role bulkhead_owner;
set local search_path = bulkhead, public;
grant execute on function ctx_tenant, ctx_principals, ctx_actor, ctx_actor_principals, ctx_now, ctx_max_rank, ctx_root,
  valid_at, ms, clock to bulkhead_kernel, bulkhead_search, bulkhead_ledger, bulkhead_retrieve, bulkhead_ingest,
  bulkhead_indexer, bulkhead_admin, bulkhead_audit;
reset role;
set local role bulkhead_kernel;
set local search_path = bulkhead, public;
grant execute on function authorize to bulkhead_retrieve, bulkhead_ingest, bulkhead_admin, bulkhead_audit;
grant execute on function holds_right to bulkhead_owner, bulkhead_ingest, bulkhead_admin, bulkhead_audit;
grant execute on function intern_class to bulkhead_ingest, bulkhead_admin;
grant execute on function move_document to bulkhead_ingest, bulkhead_admin;
grant execute on function create_container to bulkhead_ingest, bulkhead_admin;
grant execute on function create_tenant to bulkhead_admin;
reset role;
set local role bulkhead_epoch;
set local search_path = bulkhead, public;
grant execute on function raise_epoch_of_new, raise_epoch_of_entry, raise_epoch_of_class to bulkhead_owner;
reset role;
