-- The levels come from the configuration and belong to every tenant: a change of them changes every tenant's policy.
set local role bulkhead_owner;
set local search_path = bulkhead, public;
grant create on schema bulkhead to bulkhead_epoch;
reset role;
set local role bulkhead_epoch;
set local search_path = bulkhead, public;

create function raise_epoch_of_level() returns trigger
language plpgsql security definer set search_path = bulkhead, pg_temp as $$
begin
  if not exists (select 1 from changed) then return null; end if;
  update policy_epoch set counter = counter + 1;
  return null;
end
$$;
revoke all on function raise_epoch_of_level from public;
grant execute on function raise_epoch_of_level to bulkhead_owner;

reset role;
set local role bulkhead_owner;
set local search_path = bulkhead, public;
revoke create on schema bulkhead from bulkhead_epoch;
create trigger epoch_insert after insert on sensitivity_level referencing new table as changed
  for each statement execute function raise_epoch_of_level();
create trigger epoch_update after update on sensitivity_level referencing new table as changed
  for each statement execute function raise_epoch_of_level();
create trigger epoch_delete after delete on sensitivity_level referencing old table as changed
  for each statement execute function raise_epoch_of_level();
