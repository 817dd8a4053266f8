-- Roles are cluster-wide, so each is made only where it is missing.
-- bulkhead_owner   owns schema and tables; row-level security is forced on it too
-- bulkhead_kernel  owns the SECURITY DEFINER functions that change or resolve policy
-- bulkhead_epoch   owns the triggers that raise the policy epoch, for whoever changes policy, an operator in psql too
-- bulkhead_search  owns the one search function and may read only the index tables
-- bulkhead_ledger  owns append_receipts and may only add to the audit tables
-- the rest         one role per process role; nobody logs in as any of them
-- bulkhead_app     what an `all` process drops to: no rights of its own, member of the process roles
do $$
declare
  r text;
begin
  foreach r in array array['bulkhead_owner', 'bulkhead_kernel', 'bulkhead_epoch', 'bulkhead_search', 'bulkhead_ledger',
    'bulkhead_retrieve', 'bulkhead_ingest', 'bulkhead_indexer', 'bulkhead_admin', 'bulkhead_audit'] loop
    if not exists (select 1 from pg_roles where rolname = r) then
      execute format('create role %I nologin noinherit nosuperuser nobypassrls nocreatedb nocreaterole', r);
    end if;
  end loop;
  if not exists (select 1 from pg_roles where rolname = 'bulkhead_app') then
    create role bulkhead_app nologin noinherit nosuperuser nobypassrls nocreatedb nocreaterole;
  end if;
  -- managed servers lend no superuser: who migrates must be a member to make things in these roles' names
  if not (select rolsuper from pg_roles where rolname = current_user) then
    execute format('grant bulkhead_owner, bulkhead_kernel, bulkhead_epoch, bulkhead_search, bulkhead_ledger to %I',
      current_user);
  end if;
end
$$;

grant bulkhead_retrieve, bulkhead_ingest, bulkhead_indexer, bulkhead_admin, bulkhead_audit to bulkhead_app;

create schema bulkhead authorization bulkhead_owner;
revoke all on schema bulkhead from public;
grant usage on schema bulkhead to bulkhead_kernel, bulkhead_epoch, bulkhead_search, bulkhead_ledger, bulkhead_retrieve,
  bulkhead_ingest, bulkhead_indexer, bulkhead_admin, bulkhead_audit;
revoke create on schema public from public;
do $$ begin execute format('revoke temporary on database %I from public', current_database()); end $$;
