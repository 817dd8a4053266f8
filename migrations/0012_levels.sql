-- The levels come from the configuration and belong to every tenant, so a change of them is a change of every
-- tenant's policy. It is made without a tenant's context, in which the triggers of 0006 raise nothing.
set local role bulkhead_owner;
set local search_path = bulkhead, public;
grant create on schema bulkhead to bulkhead_kernel;
reset role;
set local role bulkhead_kernel;
set local search_path = bulkhead, public;

create function raise_epoch_of_level() returns trigger
language plpgsql security definer set search_path = bulkhead, pg_temp as $$
declare
  v_before text := coalesce(current_setting('bulkhead.tenant', true), '');
  v_tenant int;
begin
  if not exists (select 1 from changed) then return null; end if;
  for v_tenant in select id from tenant order by id loop
    perform set_config('bulkhead.tenant', v_tenant::text, true);
    perform raise_epoch(v_tenant);
  end loop;
  perform set_config('bulkhead.tenant', v_before, true);
  return null;
end
$$;

reset role;
set local role bulkhead_owner;
set local search_path = bulkhead, public;
revoke create on schema bulkhead from bulkhead_kernel;
create trigger epoch_insert after insert on sensitivity_level referencing new table as changed
  for each statement execute function raise_epoch_of_level();
create trigger epoch_update after update on sensitivity_level referencing new table as changed
  for each statement execute function raise_epoch_of_level();
create trigger epoch_delete after delete on sensitivity_level referencing old table as changed
  for each statement execute function raise_epoch_of_level();
reset role;
set local role bulkhead_kernel;
set local search_path = bulkhead, public;
revoke all on function raise_epoch_of_level from public;
reset role;
