-- The first question of a caller of whom nothing is known: the visible set from what names the caller, container by
-- container, in one statement whose plan is kept; and less to plan in a change of policy (docs/decisions/0025).
set local role bulkhead_owner;
set local search_path = bulkhead, public;

-- the denies of a caller, without the allows
create index entry_denies_by_principal on entry (principal_id) where effect = 'deny';
create index access_class_containers on access_class (parent_id) where kind = 'container';
-- interned classes that say a label of their own: all others have their container's
create index access_class_labelled on access_class (parent_id)
  where kind = 'adhoc' and (rank is not null or compartments <> '{}');

-- The classes that the caller may read: each row has some of them as a binary array (`array_send`), with their effective
-- rank; a class may be in two rows, of the same rank. One row at least, for the epoch. With a watermark, only classes
-- interned after it. Every condition is written here, so that a role whose policies show more reads the same.
create function visible_set(p_above bigint)
returns table (incarnation uuid, counter bigint, watermark bigint, rank smallint, ids bytea)
language plpgsql stable security invoker set search_path = bulkhead, pg_temp set jit = off
-- one plan for all, by key: the planner knows neither how many groups a caller has nor what they open
set plan_cache_mode = force_generic_plan set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off
set random_page_cost = 1.1 as $$
#variable_conflict use_column
declare
  v_tenant int := ctx_tenant();
  v_now timestamptz := ctx_now();
  v_principals int[] := ctx_principals();
  v_principal_set int4multirange := ctx_principal_set();
  v_actor int := ctx_actor();
  v_cap int := coalesce(ctx_max_rank(), -1);
  v_compartments text[];
  v_containers int[];
  v_closed int4multirange;
  v_is_open boolean;
begin
  -- an actor's limits: a rank, compartments, and containers of which one is above
  if v_actor is not null then
    -- one without a ceiling may read nothing
    select least(v_cap, coalesce(max(l.rank), -1)) into v_cap from actor_ceiling l where l.principal_id = v_actor;
    select l.compartments, l.containers into v_compartments, v_containers
      from actor_ceiling l where l.principal_id = v_actor;
  end if;
  select coalesce(range_agg(int4range(e.class_id, e.class_id, '[]')), '{}') into v_closed from entry e
    where e.tenant_id = v_tenant and e.effect = 'deny' and e.principal_id = any (v_principals || ctx_actor_principals())
      and valid_at(e.valid_from, e.valid_until, v_now);
  v_is_open := isempty(v_closed);
  return query
  with recursive
  -- what a label has to be dominated by, alone: a clearance, within the session's strength and the actor's ceiling. Not by
  -- an array: row-level security looks up with one, and two are compared element by element
  held as materialized (
    select distinct least(k.rank, v_cap) as rank, case when v_actor is null then k.compartments
      else array(select unnest(k.compartments) intersect select unnest(v_compartments)) end as compartments
    from clearance k
    where k.tenant_id = v_tenant and k.principal_id <@ v_principal_set
      and valid_at(k.valid_from, k.valid_until, v_now)),
  -- a class that thousands of groups of the caller may read is one class
  opened as materialized (
    select c.*, c.rank is null and c.compartments = '{}' as is_plain from (
      select distinct e.class_id from entry e
      where e.tenant_id = v_tenant and e.effect = 'allow' and e.principal_id = any (v_principals)
        and valid_at(e.valid_from, e.valid_until, v_now)) e
    cross join lateral (
      select k.id, k.parent_id, k.kind, k.rank, k.compartments from access_class k where k.id = e.class_id offset 0) c
    where v_is_open or not c.id <@ v_closed),
  -- the containers that an allow reaches
  walk(id) as (
    select id from opened where kind = 'container'
    union
    select c.id from walk join access_class c on c.parent_id = walk.id and c.kind = 'container' and c.inherits),
  -- Of the whole set each container, with what is opened in it one by one, and each class with a label of its own; else each
  -- new class. Classes that are judged with their container are in `singles`, or are found by it.
  judged as (
    select f.id, bool_or(f.single is null) as passes, array_agg(f.single) filter (where f.single is not null) as singles
    from (select id, null::int as single from walk
      union all
      select parent_id, id from opened where kind = 'adhoc' and is_plain) f
    where p_above is null
    group by f.id
    union all
    select id, true, null from opened where p_above is null and kind = 'adhoc' and not is_plain
    union all
    select c.id, true, null from walk join access_class c on c.parent_id = walk.id and c.kind = 'adhoc' and c.inherits
      and (c.rank is not null or c.compartments <> '{}')
    where p_above is null
    union all
    select n.id, exists (
        select 1 from class_ancestor a join entry e on e.class_id = a.ancestor_id
        where a.class_id = n.id and a.allows_pass and e.effect = 'allow' and e.principal_id <@ v_principal_set
          and valid_at(e.valid_from, e.valid_until, v_now) offset 0), null
    from access_class n where n.tenant_id = v_tenant and n.seq > p_above),
  -- labels, denies and the actor's containers, of the class and all that is above it
  verdict as materialized (
    select j.id, j.passes, j.singles, l.rank, l.is_within
    from judged j cross join lateral (
      select max(c.rank) as rank, array_agg(x.name) filter (where x.name is not null) as compartments,
        v_actor is null or bool_or(a.ancestor_id = any (v_containers)) as is_within
      from class_ancestor a join access_class c on c.id = a.ancestor_id
      left join lateral unnest(c.compartments) as x (name) on true
      where a.class_id = j.id
      having v_is_open or not bool_or(a.ancestor_id <@ v_closed)) l
    where exists (
      select 1 from held h where l.rank <= h.rank and coalesce(l.compartments, '{}') <@ h.compartments)),
  visible(rank, ids) as (
    select v.rank, array_agg(v.id) from verdict v where v.passes and v.is_within group by v.rank
    union all
    -- an interned class has nothing below it: without a word of its own on it, it is as its container is
    select v.rank, case when v.is_within then v.singles
      else array(select id from unnest(v.singles) as s (id) where id = any (v_containers)) end
    from verdict v where v.singles is not null
    union all
    select v.rank, c.ids from verdict v cross join lateral (
      select array_agg(c.id) as ids from access_class c
      where c.parent_id = v.id and c.kind = 'adhoc' and c.inherits and c.rank is null and c.compartments = '{}'
        and (v_is_open or not c.id <@ v_closed) and (v.is_within or c.id = any (v_containers))) c
    where p_above is null and v.passes)
  select p.incarnation, p.counter, p.watermark, v.rank, array_send(v.ids)
  from policy_epoch p left join visible v on cardinality(v.ids) > 0
  where p.tenant_id = v_tenant;
end
$$;
revoke all on function visible_set from public;
grant execute on function visible_set to bulkhead_retrieve, bulkhead_admin;
grant execute on function ctx_principal_set to bulkhead_admin;
grant create on schema bulkhead to bulkhead_kernel;
reset role;
set local role bulkhead_kernel;
set local search_path = bulkhead, public;

-- What every change of policy asks first, with plans that are kept. As in 0015.
create or replace function lock_policy() returns table (incarnation uuid, counter bigint)
language plpgsql volatile security definer set search_path = bulkhead, pg_temp as $$
begin
  return query select e.incarnation, e.counter from policy_epoch e where e.tenant_id = ctx_tenant() for update;
end
$$;

-- As in 0035.
create or replace function held_principals(p_keys text[]) returns setof int
language plpgsql stable security definer set search_path = bulkhead, pg_temp
set plan_cache_mode = force_generic_plan set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off as $$
begin
  return query
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
  select id from held;
end
$$;
reset role;
set local role bulkhead_owner;
set local search_path = bulkhead, public;
revoke create on schema bulkhead from bulkhead_kernel;
reset role;
