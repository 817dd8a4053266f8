-- Whether what a process read of a caller still holds (docs/decisions/0027): two counters, the watermark of classes, and
-- how current the sources of the directory are, which moves without a change of policy.
set local role bulkhead_owner;
set local search_path = bulkhead, public;
grant create on schema bulkhead to bulkhead_kernel;
reset role;
set local role bulkhead_kernel;
set local search_path = bulkhead, public;

-- Null for a tenant that is not there.
create function tenant_state(p_tenant text) returns json
language plpgsql security definer set search_path = bulkhead, pg_temp set jit = off
set plan_cache_mode = force_generic_plan as $$
declare
  v_tenant int;
begin
  select id into v_tenant from tenant where name = p_tenant;
  if v_tenant is null then return null; end if;
  perform set_config('bulkhead.tenant', v_tenant::text, true);
  return (
    select json_build_object('now', ms(clock()), 'incarnation', p.incarnation, 'counter', p.counter,
      'watermark', p.watermark,
      'revocationEpoch', (select r.counter from revocation_epoch r where r.tenant_id = v_tenant),
      'sources', coalesce((select string_agg(s.source || ' ' || coalesce(ms(s.as_of)::text, '-') || ' ' || s.kept, E'\n' order by s.source)
        from directory_source s where s.tenant_id = v_tenant), ''))
    from policy_epoch p where p.tenant_id = v_tenant);
end
$$;
revoke all on function tenant_state from public;
grant execute on function tenant_state to bulkhead_retrieve;

reset role;
set local role bulkhead_owner;
set local search_path = bulkhead, public;
revoke create on schema bulkhead from bulkhead_kernel;
reset role;
