-- Keys of services, and credentials that are limited to some of their subject's rights.
set local role bulkhead_owner;
set local search_path = bulkhead, public;

-- What the caller's credential is for: '*' is whatever its subject may, else a list. Unset and empty are nothing.
create function ctx_allows(p_right text) returns boolean language sql stable parallel safe
  as $$ select case current_setting('bulkhead.rights', true) when '*' then true
    else coalesce(p_right = any (nullif(current_setting('bulkhead.rights', true), '')::text[]), false) end $$;
revoke all on function ctx_allows from public;
grant execute on function ctx_allows to bulkhead_kernel;

create table api_key (
  id text primary key check (id ~ '^[a-z2-7]{16}$'),
  tenant_id int not null references tenant,
  -- whose rights it uses
  service_id int not null references principal,
  -- of a key with limits: the principal that holds them as an actor's ceiling, shared by the keys that follow it
  actor_id int references principal,
  -- SHA-256 of the secret. A hash that is slow by design is for what people choose: nobody guesses 256 random bits,
  -- however fast they try.
  secret_hash bytea not null check (octet_length(secret_hash) = 32),
  name text not null,
  rights text[] not null check (cardinality(rights) > 0
    and rights <@ array['read', 'ingest', 'label', 'grant', 'audit', 'administer']),
  created_by int not null references principal,
  created_at timestamptz(3) not null default now(),
  expires_at timestamptz(3) not null,
  last_used_at timestamptz(3),
  revoked_at timestamptz(3),
  replaces text unique references api_key,
  check (expires_at - created_at <= interval '366 days')
);
create index api_key_by_tenant on api_key (tenant_id, id);
create index api_key_by_maker on api_key (created_by);
alter table api_key enable row level security;
alter table api_key force row level security;

-- Nobody reads a hash but the function that compares one.
grant select (id, tenant_id, service_id, actor_id, name, rights, created_by, created_at, expires_at, last_used_at,
  revoked_at, replaces) on api_key to bulkhead_admin;
grant insert (id, tenant_id, service_id, actor_id, secret_hash, name, rights, created_by, expires_at, replaces)
  on api_key to bulkhead_admin;
grant update (expires_at, revoked_at) on api_key to bulkhead_admin;
create policy admin_read_api_key on api_key for select to bulkhead_admin
  using (tenant_id = (select ctx_tenant()) and (select holds_right((select ctx_root()), 'administer')));
create policy admin_add_api_key on api_key for insert to bulkhead_admin
  with check (tenant_id = (select ctx_tenant()) and (select holds_right((select ctx_root()), 'administer'))
    and created_by = any ((select ctx_principals())::int[])
    and exists (select 1 from principal p where p.id = service_id and p.kind = 'service')
    and (actor_id is null or exists (select 1 from principal p where p.id = actor_id and p.kind = 'service')));
create policy admin_change_api_key on api_key for update to bulkhead_admin
  using (tenant_id = (select ctx_tenant()) and (select holds_right((select ctx_root()), 'administer')))
  with check (tenant_id = (select ctx_tenant()));

-- A key ends earlier than it was made for, or as it was; what is revoked stays so.
create function refuse_longer_key() returns trigger
language plpgsql set search_path = bulkhead, pg_temp as $$
begin
  if new.expires_at > old.expires_at or (old.revoked_at is not null and new.revoked_at is distinct from old.revoked_at) then
    raise exception 'a key only ends earlier' using errcode = '42501';
  end if;
  return new;
end
$$;
revoke all on function refuse_longer_key from public;
create trigger api_key_ends before update of expires_at, revoked_at on api_key
  for each row execute function refuse_longer_key();

grant select, update (last_used_at) on api_key to bulkhead_kernel;
-- a key is looked up before there is a context
create policy kernel_api_key on api_key for select to bulkhead_kernel using (true);
create policy kernel_use_api_key on api_key for update to bulkhead_kernel using (true);

grant create on schema bulkhead to bulkhead_kernel;
reset role;
set local role bulkhead_kernel;
set local search_path = bulkhead, public;

-- As in 0014, within what the credential is for.
create or replace function holds_right(p_container int, p_right text) returns boolean
language plpgsql stable security definer set search_path = bulkhead, pg_temp as $$
begin
  return ctx_allows(p_right) and exists (
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
create or replace function containers_with(p_right text) returns setof int
language plpgsql stable security definer set search_path = bulkhead, pg_temp as $$
begin
  if not ctx_allows(p_right) then return; end if;
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

-- Whose the key is, for who presents the hash of its secret. Null for an unknown id, another secret, an expired and a
-- revoked key alike. Both hashes are hashed again with a nonce, so that the time of the comparison says nothing of them.
create function find_api_key(p_id text, p_hash bytea) returns json
language plpgsql security definer set search_path = bulkhead, pg_temp as $$
declare
  v_nonce constant bytea := uuid_send(gen_random_uuid());
  v_context constant text := coalesce(current_setting('bulkhead.tenant', true), '');
  v_now constant timestamptz := clock();
  v_key api_key;
  v_result json;
begin
  select * into v_key from api_key where id = p_id;
  perform set_config('bulkhead.tenant', coalesce(v_key.tenant_id::text, ''), true);
  select json_build_object('tenant', t.name, 'service', s.key,
      'actor', (select a.key from principal a where a.id = v_key.actor_id), 'rights', v_key.rights,
      'createdAt', ms(v_key.created_at), 'expiresAt', ms(v_key.expires_at),
      'remaining', ms(v_key.expires_at) - ms(v_now),
      'isUseKnown', coalesce(v_key.last_used_at > v_now - interval '1 minute', false))
    into v_result
    from tenant t join principal s on s.tenant_id = t.id
    where t.id = v_key.tenant_id and s.id = v_key.service_id;
  perform set_config('bulkhead.tenant', v_context, true);
  if sha256(v_nonce || p_hash) = sha256(v_nonce || coalesce(v_key.secret_hash, ''::bytea))
    and v_key.revoked_at is null and v_key.expires_at > v_now then
    return v_result;
  end if;
  return null;
end
$$;

-- Whom the caller can act as or stands for, besides what their principals say: the services and limits of keys that work
-- and that they made, and so have seen; and whoever made the key that they came with, p_keys, with the keys of those.
create function held_principals(p_keys text[]) returns setof int
language sql stable security definer set search_path = bulkhead, pg_temp as $$
  -- who made the keys, who made a key of whoever did, and so on
  with recursive makers(id) as (
    select k.created_by from api_key k where k.tenant_id = ctx_tenant() and k.id = any (p_keys)
    union
    select k.created_by from makers m join api_key k on k.service_id = m.id and k.tenant_id = ctx_tenant()),
  held(id) as (
    (select p.id from principal p where p.id = any (ctx_principals()) and p.kind in ('user', 'service')
     union select id from makers)
    union
    select v.id from held h join api_key k on k.created_by = h.id
      and k.tenant_id = ctx_tenant() and k.revoked_at is null and k.expires_at > ctx_now(),
      lateral (values (k.service_id), (k.actor_id)) v (id)
    where v.id is not null)
  select id from held
$$;

-- When a key was last used, to the minute. It waits for nobody: the next use will be noted, too.
create function touch_api_key(p_id text) returns void
language sql volatile security definer set search_path = bulkhead, pg_temp as $$
  update api_key set last_used_at = clock() where id = (
    select k.id from api_key k where k.id = p_id and k.revoked_at is null
      and (k.last_used_at is null or k.last_used_at <= clock() - interval '1 minute')
    for update skip locked)
$$;

revoke all on function find_api_key, touch_api_key, held_principals from public;
grant execute on function find_api_key, touch_api_key to bulkhead_retrieve, bulkhead_ingest, bulkhead_admin,
  bulkhead_audit;
grant execute on function held_principals to bulkhead_admin;
reset role;
set local role bulkhead_owner;
set local search_path = bulkhead, public;
revoke create on schema bulkhead from bulkhead_kernel;
reset role;
