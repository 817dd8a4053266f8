-- What a change of policy by a person needs besides the tables: the epoch's lock, and the one change of the tree
-- that reaches further than its own row.
set local role bulkhead_owner;
set local search_path = bulkhead, public;
grant create on schema bulkhead to bulkhead_kernel;
reset role;
set local role bulkhead_kernel;
set local search_path = bulkhead, public;

-- Changes of one tenant's policy come one after the other: each takes this lock before it looks at anything, and
-- then knows whether the rights that it was allowed by still stand.
create function lock_policy() returns table (incarnation uuid, counter bigint)
language sql volatile security definer set search_path = bulkhead, pg_temp as $$
  select e.incarnation, e.counter from policy_epoch e where e.tenant_id = ctx_tenant() for update
$$;

-- Whether allows from above reach a container, here and in the flattened tree. Needs `grant` there.
create function set_inherits(p_class int, p_inherits boolean) returns void
language plpgsql security definer set search_path = bulkhead, pg_temp as $$
begin
  perform require_right(p_class, 'grant');
  update access_class set inherits = p_inherits
    where id = p_class and kind = 'container' and inherits <> p_inherits;
  if not found then return; end if;
  -- an allow gets from above to below when it passes on both sides of the container and through it
  update class_ancestor up set allows_pass = below.allows_pass and p_inherits and above.allows_pass
    from access_class c
    join class_ancestor above on above.class_id = c.parent_id
    join class_ancestor below on below.ancestor_id = c.id
    where c.id = p_class and up.class_id = below.class_id and up.ancestor_id = above.ancestor_id;
end
$$;

revoke all on function lock_policy, set_inherits from public;
grant execute on function lock_policy, set_inherits to bulkhead_admin;
reset role;
set local role bulkhead_owner;
set local search_path = bulkhead, public;
revoke create on schema bulkhead from bulkhead_kernel;
-- the row alone would part `decide`, which reads it, from the visible set and row-level security, which do not
revoke update (inherits) on access_class from bulkhead_admin;
drop policy admin_relabel on access_class;
create policy admin_relabel on access_class for update to bulkhead_admin
  using (tenant_id = (select ctx_tenant()) and kind = 'container' and holds_right(id, 'label'))
  with check (tenant_id = (select ctx_tenant()));
