-- What the levels ask, and not only their names and order: two processes that differ in it decide differently. One row,
-- written by who may change the levels, compared by everybody else at every request.
set local role bulkhead_owner;
set local search_path = bulkhead, public;

create table level_scheme (
  singleton boolean primary key default true check (singleton),
  -- SHA-256 of all that the configuration says about levels and compartments
  digest text not null check (digest ~ '^[0-9a-f]{64}$')
);
grant select on level_scheme to bulkhead_retrieve, bulkhead_ingest, bulkhead_indexer, bulkhead_admin, bulkhead_audit,
  bulkhead_kernel;
grant insert, update (digest) on level_scheme to bulkhead_admin;

-- no rank needs to move for a decision to change: whatever was authorized before is not released after
create trigger epoch_insert after insert on level_scheme referencing new table as changed
  for each statement execute function raise_epoch_of_level();
create trigger epoch_update after update on level_scheme referencing new table as changed
  for each statement execute function raise_epoch_of_level();
create trigger epoch_delete after delete on level_scheme referencing old table as changed
  for each statement execute function raise_epoch_of_level();

grant create on schema bulkhead to bulkhead_kernel;
reset role;
set local role bulkhead_kernel;
set local search_path = bulkhead, public;

-- As in 0030 but for the scheme, which is read in the statement that reads the epoch.
create or replace function authorize(p_tenant text, p_user text, p_token_groups text[], p_actor text) returns json
language plpgsql security definer set search_path = bulkhead, pg_temp set jit = off
-- one plan for all, by key: planning takes longer than running, and the planner cannot know that few rows are met
set plan_cache_mode = force_generic_plan set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off as $$
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

reset role;
set local role bulkhead_owner;
set local search_path = bulkhead, public;
revoke create on schema bulkhead from bulkhead_kernel;
reset role;
