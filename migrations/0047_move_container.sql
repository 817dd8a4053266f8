-- A container moves below another one, with everything below it: classes keep their ids, entries and labels stay where
-- they were written, and no document and no vector is touched.
set local role bulkhead_owner;
set local search_path = bulkhead, public;
grant create on schema bulkhead to bulkhead_kernel;
reset role;
set local role bulkhead_kernel;
set local search_path = bulkhead, public;

-- What is inherited changes, and who holds rights there: needs `grant` and `label` on the container, `administer` on its
-- parent, and all three on each container that it leaves and on p_to (docs/decisions/0024).
create function move_container(p_class int, p_to int) returns void
language plpgsql security definer set search_path = bulkhead, pg_temp as $$
declare
  v_from int;
  v_old text;
  v_new text;
begin
  -- nobody hangs a class below it, or moves what it is to hang below, until it has moved
  perform 1 from policy_epoch where tenant_id = ctx_tenant() for update;
  perform require_right(p_class, 'grant'), require_right(p_class, 'label');
  perform require_right(p_to, 'grant'), require_right(p_to, 'label'), require_right(p_to, 'administer');
  select parent_id, path into v_from, v_old from access_class where id = p_class and kind = 'container';
  if v_from is null then raise exception 'no container that moves' using errcode = '22023'; end if;
  perform require_right(v_from, 'administer');
  -- what these say is shed, and their administrators lose it
  perform require_right(o.ancestor_id, r)
    from class_ancestor o, unnest(array['administer', 'grant', 'label']) r
    where o.class_id = v_from
      and not exists (select 1 from class_ancestor n where n.class_id = p_to and n.ancestor_id = o.ancestor_id);
  select case path when '/' then '' else path end || '/' || substring(v_old from '[^/]+$') into v_new
    from access_class where id = p_to and kind = 'container';
  if v_new is null then raise exception 'no container to move to' using errcode = '22023'; end if;
  if exists (select 1 from class_ancestor where class_id = p_to and ancestor_id = p_class) then
    raise exception 'a container does not move below itself' using errcode = '22023';
  end if;
  if v_from = p_to then return; end if;

  -- the one row that says where it hangs; its trigger raises the epoch, and 0026's has the texts sealed by their new level
  update access_class set parent_id = p_to, path = v_new where id = p_class;
  update access_class c set path = v_new || substr(c.path, length(v_old) + 1)
    from class_ancestor below
    where below.ancestor_id = p_class and c.id = below.class_id and c.id <> p_class and c.kind = 'container';

  -- links to what is above in both places are kept: often all but a few
  delete from class_ancestor up using class_ancestor below
    where below.ancestor_id = p_class and up.class_id = below.class_id
      and up.ancestor_id in (
        select ancestor_id from class_ancestor where class_id = v_from
        except select ancestor_id from class_ancestor where class_id = p_to);
  -- an allow gets from above to below when it passes on both sides of the container and through it
  insert into class_ancestor as up (class_id, ancestor_id, tenant_id, allows_pass)
    select below.class_id, above.ancestor_id, c.tenant_id, below.allows_pass and c.inherits and above.allows_pass
    from access_class c
    join class_ancestor below on below.ancestor_id = c.id
    join class_ancestor above on above.class_id = p_to
    where c.id = p_class
  on conflict (class_id, ancestor_id) do update set allows_pass = excluded.allows_pass
    where up.allows_pass <> excluded.allows_pass;
end
$$;

revoke all on function move_container from public;
grant execute on function move_container to bulkhead_admin;
reset role;
set local role bulkhead_owner;
set local search_path = bulkhead, public;
revoke create on schema bulkhead from bulkhead_kernel;
reset role;
