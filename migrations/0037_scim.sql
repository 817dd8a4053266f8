-- The directory as provisioning clients keep it (SCIM, RFC 7643 and 7644). A client is bound by configuration to one
-- source and one issuer; its units of work say which, and the policies here let them write accounts of that source and
-- issuer, groups of that source and memberships between them. Everything else still takes `administer` at the root.
set local role bulkhead_owner;
set local search_path = bulkhead, public;

create function ctx_directory_source() returns text language sql stable parallel safe
  as $$ select nullif(current_setting('bulkhead.directory_source', true), '') $$;
create function ctx_directory_issuer() returns text language sql stable parallel safe
  as $$ select nullif(current_setting('bulkhead.directory_issuer', true), '') $$;

create table scim_user (
  id uuid primary key,
  tenant_id int not null references tenant,
  source text not null,
  principal_id int not null unique references principal,
  user_name text not null,
  -- letter case aside; a column, since an index on lower() is not used behind row-level security
  user_name_key text not null generated always as (lower(user_name)) stored,
  external_id text,
  display_name text,
  -- null when the client took it back: then nobody says that the account may be used
  active boolean,
  -- name, emails and the rest, by the names of RFC 7643
  attributes jsonb not null,
  version int not null default 1,
  created_at timestamptz(3) not null,
  modified_at timestamptz(3) not null
);
create unique index scim_user_by_name on scim_user (tenant_id, source, user_name_key);
create index scim_user_by_external_id on scim_user (tenant_id, source, external_id);
create index scim_user_by_creation on scim_user (tenant_id, source, created_at, id);

create table scim_group (
  id uuid primary key,
  tenant_id int not null references tenant,
  source text not null,
  principal_id int not null unique references principal,
  display_name text not null,
  display_name_key text not null generated always as (lower(display_name)) stored,
  external_id text,
  version int not null default 1,
  created_at timestamptz(3) not null,
  modified_at timestamptz(3) not null
);
create index scim_group_by_name on scim_group (tenant_id, source, display_name_key);
create index scim_group_by_external_id on scim_group (tenant_id, source, external_id);
create index scim_group_by_creation on scim_group (tenant_id, source, created_at, id);

-- the primary key begins with the member
create index membership_by_group on membership (group_id, member_id);
create index directory_account_by_source on directory_account (tenant_id, source);

grant select, insert, update, delete on scim_user, scim_group to bulkhead_admin;
do $$
declare
  t text;
begin
  foreach t in array array['scim_user', 'scim_group'] loop
    execute format('alter table %I enable row level security', t);
    execute format('alter table %I force row level security', t);
    execute format('create policy scim_%s on %I to bulkhead_admin using (tenant_id = (select ctx_tenant()) and source = (select ctx_directory_source())) with check (tenant_id = (select ctx_tenant()) and source = (select ctx_directory_source()))', t, t);
  end loop;
end
$$;

-- Whether a principal is a group of the source, or an account that the source vouches for.
create function is_of_directory_source(p_principal int) returns boolean language sql stable as $$
  select exists (
    select 1 from bulkhead.principal p where p.id = p_principal and p.kind = 'group'
      and starts_with(p.key, 'group:' || bulkhead.ctx_directory_source() || '|'))
    or exists (
      select 1 from bulkhead.directory_account a where a.principal_id = p_principal
        and a.source = bulkhead.ctx_directory_source())
$$;
revoke all on function ctx_directory_source, ctx_directory_issuer, is_of_directory_source from public;
grant execute on function ctx_directory_source, ctx_directory_issuer, is_of_directory_source to bulkhead_admin;

create policy scim_add_principal on principal for insert to bulkhead_admin
  with check (tenant_id = (select ctx_tenant())
    and (kind = 'user' and starts_with(key, 'user:' || (select ctx_directory_issuer()) || '|')
      or kind = 'group' and starts_with(key, 'group:' || (select ctx_directory_source()) || '|')));

create policy scim_add_account on directory_account for insert to bulkhead_admin
  with check (tenant_id = (select ctx_tenant()) and source = (select ctx_directory_source())
    and exists (select 1 from principal p where p.id = directory_account.principal_id and p.kind = 'user'
      and starts_with(p.key, 'user:' || (select ctx_directory_issuer()) || '|')));
create policy scim_change_account on directory_account for update to bulkhead_admin
  using (tenant_id = (select ctx_tenant()) and source = (select ctx_directory_source()))
  with check (tenant_id = (select ctx_tenant()) and source = (select ctx_directory_source())
    and exists (select 1 from principal p where p.id = directory_account.principal_id and p.kind = 'user'
      and starts_with(p.key, 'user:' || (select ctx_directory_issuer()) || '|')));

create policy scim_add_group on directory_group for insert to bulkhead_admin
  with check (tenant_id = (select ctx_tenant()) and is_of_directory_source(principal_id));
create policy scim_change_group on directory_group for update to bulkhead_admin
  using (tenant_id = (select ctx_tenant()) and is_of_directory_source(principal_id))
  with check (tenant_id = (select ctx_tenant()) and is_of_directory_source(principal_id));

create policy scim_add_member on membership for insert to bulkhead_admin
  with check (tenant_id = (select ctx_tenant())
    and exists (select 1 from principal g where g.id = membership.group_id and g.kind = 'group'
      and starts_with(g.key, 'group:' || (select ctx_directory_source()) || '|'))
    and is_of_directory_source(member_id));
-- who leaves the source leaves every group: a key that comes back later finds no memberships
create policy scim_drop_member on membership for delete to bulkhead_admin
  using (tenant_id = (select ctx_tenant())
    and (is_of_directory_source(group_id) or is_of_directory_source(member_id)));

create policy scim_add_source on directory_source for insert to bulkhead_admin
  with check (tenant_id = (select ctx_tenant()) and source = (select ctx_directory_source()));
create policy scim_change_source on directory_source for update to bulkhead_admin
  using (tenant_id = (select ctx_tenant()) and source = (select ctx_directory_source()))
  with check (tenant_id = (select ctx_tenant()) and source = (select ctx_directory_source()));

grant execute on function ctx_directory_source to bulkhead_kernel;
grant create on schema bulkhead to bulkhead_kernel;
reset role;
set local role bulkhead_kernel;
set local search_path = bulkhead, public;

-- Whatever was issued to an account of the source until now: when it is enabled again, or its subject comes back, a token
-- or session from before does not.
create function revoke_provisioned(p_principal text, p_reason text) returns void
language plpgsql security definer set search_path = bulkhead, pg_temp as $$
begin
  if not exists (
      select 1 from directory_account a join principal p on p.id = a.principal_id
      where p.tenant_id = ctx_tenant() and p.key = p_principal and p.kind = 'user' and a.source = ctx_directory_source()) then
    raise exception 'no account of this source' using errcode = '42501';
  end if;
  perform 1 from store_revocation('user', substr(p_principal, 6), p_reason, null);
end
$$;
revoke all on function revoke_provisioned from public;
grant execute on function revoke_provisioned to bulkhead_admin;

reset role;
set local role bulkhead_owner;
set local search_path = bulkhead, public;
revoke create on schema bulkhead from bulkhead_kernel;
reset role;
