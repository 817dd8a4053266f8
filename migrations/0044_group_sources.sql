-- A caller's directory is as old as the oldest source of what the caller's rights rest on: the account, and each group that
-- the directory has the caller in.
set local role bulkhead_owner;
set local search_path = bulkhead, public;

-- Whether somebody provisions or imports it. The source of a tenant's first administrator is there from the beginning, and
-- until then its groups are what administrators make of them here, as current as they are. Of what is there by now nobody
-- can tell, so it counts.
alter table directory_source add column kept boolean not null default true;
alter table directory_source alter column kept set default false;

grant create on schema bulkhead to bulkhead_kernel;
reset role;
set local role bulkhead_kernel;
set local search_path = bulkhead, public;

-- As in 0034 but for `directoryAsOf`. Of a group of a token the token says that the caller is in it, and of `everyone`
-- nobody has to.
create or replace function authorize(p_tenant text, p_user text, p_token_groups text[], p_actor text, p_revocable jsonb) returns json
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
  -- read only where a source is older than the account's own; each group by its key, whatever the planner thinks of them
  group_source(name) as materialized (
    select distinct split_part(substr(k.key, 7), '|', 1) from user_principals u cross join lateral (
      select p.key from principal p
      where p.id = u.id and p.kind = 'group' and p.key <> all (coalesce(p_token_groups, '{}')) offset 0) k),
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
        'directoryAsOf', (select ms(least(s.as_of, (
            select min(g.as_of) from directory_source g
            where g.tenant_id = v_tenant and g.kept and g.as_of < s.as_of and g.source in (select name from group_source))))
          from directory_source s where s.source = a.source))
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
reset role;
