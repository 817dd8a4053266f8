-- Credentials that were taken back: everything issued to a user or a client until an instant, a session or a key for good.
-- With an epoch of its own, so that a session that ends makes nobody's visible set be computed again.
set local role bulkhead_owner;
set local search_path = bulkhead, public;

create table revocation (
  tenant_id int not null references tenant,
  kind text not null check (kind in ('user', 'session', 'client', 'key')),
  -- '<issuer>|<id>', compared byte by byte
  id text collate "C" not null check (octet_length(id) between 1 and 1200),
  -- whatever was issued at this instant or before it is refused
  not_before timestamptz not null,
  reason text not null check (char_length(reason) between 1 and 200),
  revoked_at timestamptz not null,
  primary key (tenant_id, kind, id),
  check (kind in ('user', 'client') or not_before = 'infinity')
);
create table revocation_epoch (
  tenant_id int primary key references tenant,
  counter bigint not null default 0
);

do $$
declare
  t text;
begin
  foreach t in array array['revocation', 'revocation_epoch'] loop
    execute format('alter table %I enable row level security', t);
    execute format('alter table %I force row level security', t);
    execute format('create policy kernel_%s on %I for select to bulkhead_kernel using (tenant_id = (select ctx_tenant()))', t, t);
    execute format('create policy ledger_read on %I for select to bulkhead_ledger using (true)', t);
  end loop;
end
$$;

grant select, insert, update (not_before, reason, revoked_at) on revocation to bulkhead_kernel;
create policy kernel_add on revocation for insert to bulkhead_kernel with check (tenant_id = (select ctx_tenant()));
create policy kernel_change on revocation for update to bulkhead_kernel
  using (tenant_id = (select ctx_tenant())) with check (tenant_id = (select ctx_tenant()));
-- who was locked out and why is for those who administer the directory
grant select on revocation to bulkhead_admin;
create policy admin_read_revocation on revocation for select to bulkhead_admin
  using (tenant_id = (select ctx_tenant()) and (select holds_right((select ctx_root()), 'administer')));

-- FOR SHARE asks for the right to update one column; the policies let no update through.
grant select, update (counter) on revocation_epoch to bulkhead_kernel, bulkhead_ledger;
create policy kernel_lock on revocation_epoch for update to bulkhead_kernel
  using (tenant_id = (select ctx_tenant())) with check (false);
create policy ledger_lock on revocation_epoch for update to bulkhead_ledger using (true) with check (false);
grant select on revocation to bulkhead_ledger;
grant select (tenant_id, counter), insert (tenant_id), update (counter) on revocation_epoch to bulkhead_epoch;
create policy epoch_counter on revocation_epoch to bulkhead_epoch using (true) with check (true);

grant create on schema bulkhead to bulkhead_kernel, bulkhead_epoch, bulkhead_ledger;
reset role;
set local role bulkhead_epoch;
set local search_path = bulkhead, public;

insert into revocation_epoch (tenant_id) select tenant_id from policy_epoch;

create function begin_revocation_epoch() returns trigger
language plpgsql security definer set search_path = bulkhead, pg_temp as $$
begin
  insert into revocation_epoch (tenant_id) values (new.id);
  return null;
end
$$;

-- A revocation that cannot raise the epoch does not happen.
create function raise_revocation_epoch() returns trigger
language plpgsql security definer set search_path = bulkhead, pg_temp as $$
declare
  v_tenant int;
begin
  for v_tenant in select distinct tenant_id from changed order by tenant_id loop
    update revocation_epoch set counter = counter + 1 where tenant_id = v_tenant;
    if not found then raise exception 'tenant % has no revocation epoch', v_tenant using errcode = '55000'; end if;
  end loop;
  return null;
end
$$;
revoke all on function begin_revocation_epoch, raise_revocation_epoch from public;
grant execute on function begin_revocation_epoch, raise_revocation_epoch to bulkhead_owner;

reset role;
set local role bulkhead_owner;
set local search_path = bulkhead, public;
create trigger revocation_epoch after insert on tenant for each row execute function begin_revocation_epoch();
create trigger epoch_insert after insert on revocation referencing new table as changed
  for each statement execute function raise_revocation_epoch();
create trigger epoch_update after update on revocation referencing new table as changed
  for each statement execute function raise_revocation_epoch();
create trigger epoch_delete after delete on revocation referencing old table as changed
  for each statement execute function raise_revocation_epoch();

reset role;
set local role bulkhead_kernel;
set local search_path = bulkhead, public;

-- What a principal's credentials are revoked by: {"kind", "id"}; null for one that has none. It is written into the
-- statements that call it, hence no settings of its own.
create function credential_of(p_principal text) returns jsonb
language sql stable parallel safe as $$
  select case split_part(p_principal, ':', 1)
    when 'user' then jsonb_build_object('kind', 'user', 'id', substr(p_principal, 6))
    when 'service' then jsonb_build_object('kind', 'client', 'id', substr(p_principal, 9)) end
$$;

-- Whether one of [{"kind", "id", "issuedAt": ms}, …] is revoked. A list that is none, or names nobody, counts as revoked.
create function is_revoked(p_tenant int, p_revocable jsonb) returns boolean
language plpgsql stable set search_path = bulkhead, pg_temp
set plan_cache_mode = force_generic_plan set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off as $$
begin
  if jsonb_typeof(p_revocable) is distinct from 'array' or p_revocable = '[]'
      or p_revocable @? '$[*] ? (@.type() != "object")' then
    return true;
  end if;
  return exists (
    select 1 from jsonb_to_recordset(p_revocable) as c (kind text, id text, "issuedAt" double precision)
    left join revocation r on r.tenant_id = p_tenant and r.kind = c.kind and r.id = c.id
    where c.kind is null or c.id is null or coalesce(c."issuedAt", 0) <= ms(r.not_before));
end
$$;

-- For a change that rests on the caller's credentials, in its own transaction: none of them is revoked before that is
-- over. Comes after locks on the policy and before those on the audit.
create function lock_credentials(p_revocable jsonb) returns boolean
language plpgsql security definer set search_path = bulkhead, pg_temp as $$
begin
  perform 1 from revocation_epoch where tenant_id = ctx_tenant() for share;
  return not is_revoked(ctx_tenant(), p_revocable);
end
$$;

-- The row, with a time that every record written before is older than. A later revocation reaches further; for good is
-- for good.
create function store_revocation(p_kind text, p_id text, p_reason text, p_issued_until timestamptz)
returns table (not_before timestamptz, revoked_at timestamptz, is_new boolean)
language plpgsql set search_path = bulkhead, pg_temp as $$
#variable_conflict use_column
declare
  v_now timestamptz;
begin
  perform 1 from revocation_epoch e where e.tenant_id = ctx_tenant() for update;
  v_now := clock_timestamp();
  insert into revocation as r (tenant_id, kind, id, not_before, reason, revoked_at)
    values (ctx_tenant(), p_kind, p_id,
      case when p_kind in ('user', 'client') then least(coalesce(p_issued_until, v_now), v_now) else 'infinity' end, p_reason, v_now)
    on conflict (tenant_id, kind, id) do update
      set not_before = excluded.not_before, reason = excluded.reason, revoked_at = excluded.revoked_at
      where r.not_before < excluded.not_before;
  return query select r.not_before, r.revoked_at, r.revoked_at = v_now
    from revocation r where r.tenant_id = ctx_tenant() and r.kind = p_kind and r.id = p_id;
end
$$;

-- For a person. Needs `administer` at the root, unless it takes back what is the caller's own: everything issued to
-- them, or a credential that they came with, p_own, which only the process can know. No service that acts for somebody
-- has anything of its own here.
create function revoke_credential(p_kind text, p_id text, p_reason text, p_own jsonb)
returns table (not_before timestamptz, revoked_at timestamptz, is_new boolean)
language plpgsql security definer set search_path = bulkhead, pg_temp as $$
begin
  if not coalesce(ctx_actor() is null and (
      (p_kind = 'session' and p_own @> jsonb_build_array(jsonb_build_object('kind', p_kind, 'id', p_id)))
      or exists (select 1 from principal p where p.tenant_id = ctx_tenant() and p.id = any (ctx_principals())
        and credential_of(p.key) = jsonb_build_object('kind', p_kind, 'id', p_id))), false) then
    perform require_right(ctx_root(), 'administer');
  end if;
  return query select * from store_revocation(p_kind, p_id, p_reason, null);
end
$$;

-- For what an identity provider says by itself, in a context without a caller. It gives nothing to anybody.
create function revoke_on_signal(p_kind text, p_id text, p_reason text, p_issued_until timestamptz)
returns table (not_before timestamptz, revoked_at timestamptz, is_new boolean)
language plpgsql security definer set search_path = bulkhead, pg_temp as $$
begin
  if cardinality(ctx_principals()) > 0 then
    raise exception 'a person does not revoke as a signal' using errcode = '42501';
  end if;
  return query select * from store_revocation(p_kind, p_id, p_reason, p_issued_until);
end
$$;

-- The end of a session, for the processes that keep sessions.
create function end_session(p_id text, p_reason text)
returns table (not_before timestamptz, revoked_at timestamptz, is_new boolean)
language sql security definer set search_path = bulkhead, pg_temp as $$
  select * from store_revocation('session', p_id, p_reason, null)
$$;

drop function authorize(text, text, text[], text);

-- As in 0031 but for the revocations, which are read in the statement that reads the epoch.
create function authorize(p_tenant text, p_user text, p_token_groups text[], p_actor text, p_revocable jsonb) returns json
language plpgsql security definer set search_path = bulkhead, pg_temp set jit = off
-- one plan for all, by key: planning takes longer than running, and the planner cannot know that few rows are met
set plan_cache_mode = force_generic_plan set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off as $$
declare
  v_now timestamptz := clock();
  v_tenant int;
  v_result json;
  v_revocable jsonb := coalesce(p_revocable, '[]');
  v_name text;
  v_own jsonb;
begin
  select id into v_tenant from tenant where name = p_tenant;
  if v_tenant is null then return null; end if;
  perform set_config('bulkhead.tenant', v_tenant::text, true);
  -- whoever calls, and whoever acts for them, whatever the process says of their credentials; one without a time of issue
  -- counts as older than any revocation
  foreach v_name in array array[p_user, p_actor] loop
    v_own := credential_of(v_name);
    if v_own is not null and jsonb_typeof(v_revocable) = 'array' and not v_revocable @> jsonb_build_array(v_own) then
      v_revocable := v_revocable || (v_own || '{"issuedAt": 0}');
    end if;
  end loop;
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
    -- one step into an index each; a null counts for nothing
    select least(
      (select min(valid_from) from membership where tenant_id = v_tenant and valid_from > v_now),
      (select min(valid_until) from membership where tenant_id = v_tenant and valid_until > v_now),
      (select min(valid_from) from clearance where tenant_id = v_tenant and valid_from > v_now),
      (select min(valid_until) from clearance where tenant_id = v_tenant and valid_until > v_now),
      (select min(valid_from) from entry where tenant_id = v_tenant and valid_from > v_now),
      (select min(valid_until) from entry where tenant_id = v_tenant and valid_until > v_now)))
  select json_build_object(
    'now', ms(v_now),
    'tenant', v_tenant,
    'incarnation', p.incarnation, 'counter', p.counter, 'watermark', p.watermark,
    'revoked', is_revoked(v_tenant, v_revocable), 'revocable', v_revocable,
    'revocationEpoch', (select r.counter from revocation_epoch r where r.tenant_id = v_tenant),
    'scheme', (select s.digest from level_scheme s where s.singleton),
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

revoke all on function credential_of, is_revoked, lock_credentials, store_revocation, revoke_credential, revoke_on_signal,
  end_session, authorize from public;
grant execute on function authorize to bulkhead_retrieve, bulkhead_ingest, bulkhead_admin, bulkhead_audit;
grant execute on function lock_credentials to bulkhead_ingest, bulkhead_admin;
grant execute on function revoke_credential, revoke_on_signal to bulkhead_admin;
grant execute on function end_session to bulkhead_retrieve;
grant execute on function is_revoked to bulkhead_ledger;

reset role;
set local role bulkhead_ledger;
set local search_path = bulkhead, public;

-- As in 0009, and no credential of the caller is revoked by now.
create or replace function guard_holds(p_tenant int, p_guard jsonb) returns boolean
language sql stable set search_path = bulkhead, pg_temp as $$
  select case
    when p_guard = 'null' then true
    when jsonb_typeof(p_guard) = 'object' and jsonb_typeof(p_guard->'documents') = 'array' then
      exists (select 1 from policy_epoch e where e.tenant_id = p_tenant
        and e.incarnation = (p_guard->>'incarnation')::uuid and e.counter = (p_guard->>'counter')::bigint)
      and not exists (select 1 from jsonb_array_elements(p_guard->'documents') g
        where not exists (select 1 from document d where d.id = (g->>0)::uuid and d.tenant_id = p_tenant
          and d.class_id = (g->>1)::int and d.version = (g->>2)::int))
      and not is_revoked(p_tenant, p_guard->'revocable')
    else false
  end
$$;

-- As in 0009, with the epoch of revocations between that of the policy and the documents.
create or replace function lock_guarded(p_items jsonb) returns void
language plpgsql set search_path = bulkhead, pg_temp as $$
begin
  perform 1 from policy_epoch where tenant_id in (
    select (i->>'tenant')::int from jsonb_array_elements(p_items) i where jsonb_typeof(i->'guard') = 'object')
    order by tenant_id for share;
  perform 1 from revocation_epoch where tenant_id in (
    select (i->>'tenant')::int from jsonb_array_elements(p_items) i where jsonb_typeof(i->'guard') = 'object')
    order by tenant_id for share;
  perform 1 from document where id in (
    select (g->>0)::uuid from jsonb_array_elements(p_items) i, jsonb_array_elements(i->'guard'->'documents') g)
    order by id for share;
end
$$;

reset role;
set local role bulkhead_owner;
set local search_path = bulkhead, public;
revoke create on schema bulkhead from bulkhead_kernel, bulkhead_epoch, bulkhead_ledger;
reset role;
