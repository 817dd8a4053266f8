-- What crosses the roles goes through functions owned by bulkhead_kernel. Each has a fixed search path and
-- checks the caller's right itself; row-level security holds for their owner too.
set local role bulkhead_owner;
set local search_path = bulkhead, public;
grant create on schema bulkhead to bulkhead_kernel;
reset role;
set local role bulkhead_kernel;
set local search_path = bulkhead, public;

-- The rights of the caller ------------------------------------------------------------------------------------

create function holds_right(p_container int, p_right text) returns boolean
language sql stable security definer set search_path = bulkhead, pg_temp as $$
  select exists (
    select 1 from class_ancestor a join role_binding b on b.container_id = a.ancestor_id
    where a.class_id = p_container and b.right_name = p_right
      and b.principal_id = any ((select ctx_principals())::int[])
      and valid_at(b.valid_from, b.valid_until, (select ctx_now())))
    -- an actor narrows: what it does for a user stays inside its containers
    and ((select ctx_actor()) is null or exists (
      select 1 from class_ancestor a join actor_ceiling l on a.ancestor_id = any (l.containers)
      where a.class_id = p_container and l.principal_id = (select ctx_actor())))
$$;

create function require_right(p_container int, p_right text) returns void
language plpgsql stable security definer set search_path = bulkhead, pg_temp as $$
begin
  if not coalesce(holds_right(p_container, p_right), false) then
    raise exception 'right % is missing', p_right using errcode = '42501';
  end if;
end
$$;

-- Class ids ----------------------------------------------------------------------------------------------------

-- The next id of the container's block; a new block of 64 when it is used up.
create function allocate_class_id(p_tenant int, p_container int) returns int
language plpgsql security definer set search_path = bulkhead, pg_temp as $$
declare
  v_id int;
begin
  update class_block set next_id = next_id + 1
    where container_id = p_container and next_id < end_id returning next_id - 1 into v_id;
  if v_id is null then
    v_id := nextval('class_block_seq');
    insert into class_block (container_id, tenant_id, next_id, end_id) values (p_container, p_tenant, v_id + 1, v_id + 64)
      on conflict (container_id) do update set next_id = excluded.next_id, end_id = excluded.end_id;
  end if;
  return v_id;
end
$$;

-- Raised under the epoch row's lock, so a reader that sees watermark w sees every class up to w.
create function next_seq(p_tenant int) returns bigint
language sql security definer set search_path = bulkhead, pg_temp as $$
  update policy_epoch set watermark = watermark + 1 where tenant_id = p_tenant returning watermark
$$;

create function add_class(p_parent int, p_kind text, p_path text, p_inherits boolean, p_level text,
  p_compartments text[], p_intern_key text) returns int
language plpgsql security definer set search_path = bulkhead, pg_temp as $$
declare
  v_tenant int := ctx_tenant();
  v_seq bigint := next_seq(v_tenant);
  v_id int := allocate_class_id(v_tenant, coalesce(p_parent, -v_tenant));
begin
  insert into access_class (id, tenant_id, parent_id, kind, path, inherits, level, rank, compartments, intern_key, seq)
    values (v_id, v_tenant, p_parent, p_kind, p_path, p_inherits, p_level,
      (select rank from sensitivity_level where name = p_level), p_compartments, p_intern_key, v_seq);
  insert into class_ancestor (class_id, ancestor_id, tenant_id, allows_pass)
    select v_id, v_id, v_tenant, true
    union all
    select v_id, ancestor_id, v_tenant, allows_pass and p_inherits from class_ancestor where class_id = p_parent;
  return v_id;
end
$$;

-- Adds entries given as [{"principal": int, "effect": text, "from": ms|null, "until": ms|null}]. One that names no
-- principal of the tenant fails: a deny that is silently dropped would open what it closes.
create function add_entries(p_class int, p_entries jsonb) returns void
language plpgsql security definer set search_path = bulkhead, pg_temp as $$
begin
  if exists (select 1 from jsonb_to_recordset(p_entries) as e (principal int)
             where not exists (select 1 from principal p where p.id = e.principal)) then
    raise exception 'an entry names no principal' using errcode = '23503';
  end if;
  insert into entry (tenant_id, class_id, principal_id, effect, valid_from, valid_until)
  select ctx_tenant(), p_class, e.principal, e.effect, to_timestamp(e."from" / 1000.0), to_timestamp(e.until / 1000.0)
  from jsonb_to_recordset(p_entries) as e (principal int, effect text, "from" double precision, until double precision)
  on conflict do nothing;
end
$$;

-- The ad-hoc class of (container, own label, inherits, entries), made on first use. Needs `ingest`, `label` or
-- `grant` on the container, and `grant` for an allow entry (docs/decisions/0009). The key is made here, from what
-- the class will say: a caller's key could give one class's name to another.
create function intern_class(p_parent int, p_level text, p_compartments text[], p_inherits boolean,
  p_entries jsonb) returns int
language plpgsql security definer set search_path = bulkhead, pg_temp as $$
declare
  v_id int;
  v_key text := encode(sha256(convert_to(jsonb_build_array(p_level,
    (select coalesce(jsonb_agg(c order by c), '[]') from (select distinct unnest(p_compartments) c) t), p_inherits,
    (select coalesce(jsonb_agg(e order by e), '[]') from (select distinct e from jsonb_array_elements(p_entries) e) t))::text,
    'UTF8')), 'hex');
begin
  if not exists (select 1 from access_class where id = p_parent and kind = 'container') then
    raise exception 'no such container' using errcode = '42501';
  end if;
  if not (coalesce(holds_right(p_parent, 'ingest'), false) or coalesce(holds_right(p_parent, 'label'), false)
      or coalesce(holds_right(p_parent, 'grant'), false)) then
    raise exception 'right ingest, label or grant is missing' using errcode = '42501';
  end if;
  if p_entries @> '[{"effect": "allow"}]' and not exists (
      select 1 from access_class where tenant_id = ctx_tenant() and parent_id = p_parent and intern_key = v_key) then
    perform require_right(p_parent, 'grant');
  end if;
  select id into v_id from access_class
    where tenant_id = ctx_tenant() and parent_id = p_parent and intern_key = v_key;
  if v_id is not null then return v_id; end if;
  perform 1 from policy_epoch where tenant_id = ctx_tenant() for update;
  select id into v_id from access_class
    where tenant_id = ctx_tenant() and parent_id = p_parent and intern_key = v_key;
  if v_id is not null then return v_id; end if;
  v_id := add_class(p_parent, 'adhoc', null, p_inherits, p_level, p_compartments, v_key);
  perform add_entries(v_id, p_entries);
  return v_id;
end
$$;

-- A new container below p_parent. Needs `administer` there.
create function create_container(p_parent int, p_path text, p_inherits boolean, p_level text,
  p_compartments text[], p_entries jsonb) returns int
language plpgsql security definer set search_path = bulkhead, pg_temp as $$
declare
  v_id int;
begin
  perform require_right(p_parent, 'administer');
  v_id := add_class(p_parent, 'container', p_path, p_inherits, p_level, p_compartments, null);
  perform add_entries(v_id, p_entries);
  return v_id;
end
$$;

-- Another class for one document: how its label or entries change. Needs p_right (`label`, `grant` or
-- `ingest`) on the document's container; the class must sit in that container.
create function move_document(p_document uuid, p_class int, p_right text) returns void
language plpgsql security definer set search_path = bulkhead, pg_temp as $$
declare
  v_container int;
begin
  if p_right not in ('label', 'grant', 'ingest') then
    raise exception 'not a right that moves documents' using errcode = '22023';
  end if;
  select container_id into v_container from document where id = p_document for update;
  if v_container is null then raise exception 'no such document' using errcode = 'P0002'; end if;
  perform require_right(v_container, p_right);
  if p_class <> v_container and not exists (
      select 1 from access_class where id = p_class and kind = 'adhoc' and parent_id = v_container) then
    raise exception 'the class is not of this container' using errcode = '22023';
  end if;
  update document set class_id = p_class, updated_at = now() where id = p_document and class_id <> p_class;
  insert into outbox (tenant_id, document_id, operation) values (ctx_tenant(), p_document, 'move');
end
$$;

-- Who is calling ------------------------------------------------------------------------------------------------

-- Everything that the caller's rights rest on, in one round trip: clock, epoch, principals with nested groups
-- resolved, clearances, the actor's ceiling, and the next instant at which any of it may change by itself.
-- Instants are milliseconds. Unknown callers come back with "user": null.
create function authorize(p_tenant text, p_user text, p_token_groups text[], p_actor text) returns json
language plpgsql security definer set search_path = bulkhead, pg_temp as $$
declare
  v_now timestamptz := clock();
  v_tenant int;
  v_result json;
begin
  select id into v_tenant from tenant where name = p_tenant;
  if v_tenant is null then return null; end if;
  perform set_config('bulkhead.tenant', v_tenant::text, true);
  with recursive
  me as (select id from principal where tenant_id = v_tenant and key = p_user),
  it as (select id from principal where tenant_id = v_tenant and key = p_actor),
  user_principals(id) as (
    select id from me
    union select id from principal
      where tenant_id = v_tenant and key = any (p_token_groups || 'everyone'::text) and exists (select 1 from me)
    union select m.group_id from membership m join user_principals u on u.id = m.member_id
      where valid_at(m.valid_from, m.valid_until, v_now)),
  actor_principals(id) as (
    select id from it
    union select m.group_id from membership m join actor_principals u on u.id = m.member_id
      where valid_at(m.valid_from, m.valid_until, v_now)),
  boundary(at) as (
    select min(b) from (
      select unnest(array[valid_from, valid_until]) b from membership
      union all select unnest(array[valid_from, valid_until]) from clearance
      union all select unnest(array[valid_from, valid_until]) from entry
        where valid_from is not null or valid_until is not null
    ) t where b > v_now)
  select json_build_object(
    'now', ms(v_now),
    'tenant', v_tenant,
    'incarnation', p.incarnation, 'counter', p.counter, 'watermark', p.watermark,
    'boundary', (select ms(at) from boundary),
    'user', (select json_build_object('principal', a.principal_id, 'status', a.status, 'displayName', a.display_name,
        'directoryAsOf', (select ms(s.as_of) from directory_source s where s.source = a.source))
      from directory_account a join me on me.id = a.principal_id),
    'principals', (select coalesce(json_agg(id order by id), '[]') from user_principals),
    'clearances', (select coalesce(json_agg(json_build_object('principal', k.principal_id, 'rank', k.rank,
        'compartments', k.compartments, 'from', ms(k.valid_from), 'until', ms(k.valid_until)) order by k.id), '[]')
      from clearance k where k.principal_id in (select id from user_principals)),
    'actor', (select json_build_object('principal', a.principal_id, 'status', a.status,
        'principals', (select json_agg(id order by id) from actor_principals),
        'ceiling', (select json_build_object('rank', l.rank, 'compartments', l.compartments, 'containers', l.containers)
          from actor_ceiling l where l.principal_id = a.principal_id))
      from directory_account a join it on it.id = a.principal_id))
  into v_result from policy_epoch p where p.tenant_id = v_tenant;
  return v_result;
end
$$;

reset role;
set local role bulkhead_owner;
set local search_path = bulkhead, public;
revoke create on schema bulkhead from bulkhead_kernel;
grant create on schema bulkhead to bulkhead_epoch;
reset role;
set local role bulkhead_epoch;
set local search_path = bulkhead, public;

-- The epoch ----------------------------------------------------------------------------------------------------

-- A change of policy that cannot raise the epoch does not happen.
create function raise_epoch(p_tenant int) returns void
language plpgsql security definer set search_path = bulkhead, pg_temp as $$
begin
  update policy_epoch set counter = counter + 1 where tenant_id = p_tenant;
  if not found then raise exception 'tenant % has no policy epoch', p_tenant using errcode = '55000'; end if;
end
$$;

create function raise_epoch_of_new() returns trigger
language plpgsql security definer set search_path = bulkhead, pg_temp as $$
begin
  perform raise_epoch(t.tenant_id) from (select distinct tenant_id from changed) t;
  return null;
end
$$;

-- Entries of an ad-hoc class are what it was interned by, so they never change; entries that come with a new
-- class need no new epoch, since no cached visible set has heard of it.
create function raise_epoch_of_entry() returns trigger
language plpgsql security definer set search_path = bulkhead, pg_temp as $$
begin
  if exists (select 1 from changed e join access_class c on c.id = e.class_id
             where c.kind = 'adhoc' and c.created_xid <> pg_current_xact_id()) then
    raise exception 'entries of an interned class are immutable' using errcode = '55000';
  end if;
  perform raise_epoch(t.tenant_id) from (
    select distinct e.tenant_id from changed e join access_class c on c.id = e.class_id
    where c.created_xid <> pg_current_xact_id()) t;
  return null;
end
$$;

create function raise_epoch_of_class() returns trigger
language plpgsql security definer set search_path = bulkhead, pg_temp as $$
begin
  perform raise_epoch(new.tenant_id);
  return null;
end
$$;

reset role;
set local role bulkhead_owner;
set local search_path = bulkhead, public;
revoke create on schema bulkhead from bulkhead_epoch;

-- Triggers: no change of policy is possible without a new epoch.
do $$
declare
  t text;
begin
  foreach t in array array['membership', 'clearance', 'directory_account', 'actor_ceiling', 'role_binding'] loop
    execute format('create trigger epoch_insert after insert on %I referencing new table as changed for each statement execute function raise_epoch_of_new()', t);
    execute format('create trigger epoch_update after update on %I referencing new table as changed for each statement execute function raise_epoch_of_new()', t);
    execute format('create trigger epoch_delete after delete on %I referencing old table as changed for each statement execute function raise_epoch_of_new()', t);
  end loop;
end
$$;
create trigger epoch_insert after insert on entry referencing new table as changed
  for each statement execute function raise_epoch_of_entry();
create trigger epoch_update after update on entry referencing new table as changed
  for each statement execute function raise_epoch_of_entry();
create trigger epoch_delete after delete on entry referencing old table as changed
  for each statement execute function raise_epoch_of_entry();
create trigger epoch_update after update of parent_id, inherits, level, rank, compartments on access_class
  for each row execute function raise_epoch_of_class();
