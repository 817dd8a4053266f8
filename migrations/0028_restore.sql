-- After a restore the counters of the policy epoch run through numbers that they have been at before, with another
-- policy. A new incarnation tells the two apart wherever something was kept: visible sets, guards of receipts.
set local role bulkhead_owner;
set local search_path = bulkhead, public;
grant create on schema bulkhead to bulkhead_kernel;
reset role;
set local role bulkhead_kernel;
set local search_path = bulkhead, public;

-- Starts a new incarnation of every tenant's policy: [{"tenant", "name", "before", "incarnation"}]. It takes nothing
-- from anybody and gives nothing: at worst, what is cached is computed again.
create function begin_incarnations() returns jsonb
language plpgsql security definer set search_path = bulkhead, pg_temp as $$
declare
  v_context constant text := coalesce(current_setting('bulkhead.tenant', true), '');
  v_tenant record;
  v_before uuid;
  v_after uuid;
  v_begun jsonb := '[]';
begin
  -- in this order every change of policy locks
  for v_tenant in select t.id, t.name from tenant t order by t.id loop
    perform set_config('bulkhead.tenant', v_tenant.id::text, true);
    select e.incarnation into strict v_before from policy_epoch e where e.tenant_id = v_tenant.id for update;
    update policy_epoch set incarnation = gen_random_uuid() where tenant_id = v_tenant.id
      returning incarnation into v_after;
    v_begun := v_begun || jsonb_build_object('tenant', v_tenant.id, 'name', v_tenant.name, 'before', v_before,
      'incarnation', v_after);
  end loop;
  perform set_config('bulkhead.tenant', v_context, true);
  return v_begun;
end
$$;
revoke all on function begin_incarnations from public;
grant execute on function begin_incarnations to bulkhead_admin;

reset role;
set local role bulkhead_owner;
set local search_path = bulkhead, public;
revoke create on schema bulkhead from bulkhead_kernel;
reset role;
