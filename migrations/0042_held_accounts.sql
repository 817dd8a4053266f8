-- An account that a person here or a signal disabled is enabled by a person alone. Its source goes on saying that it is
-- active, with every change and when it makes it anew: that is what the source knows, and not what was decided here.
set local role bulkhead_owner;
set local search_path = bulkhead, public;

-- of a disabled account; what was disabled before this could only be by a person
alter table directory_account add column held boolean not null default true;

create function keep_held_account() returns trigger
language plpgsql set search_path = bulkhead, pg_temp as $$
declare
  v_by_source boolean := ctx_directory_source() is not null;
  v_was_disabled boolean := tg_op = 'UPDATE' and old.status = 'disabled';
begin
  if new.status = 'active' and v_by_source and v_was_disabled and old.held then
    new.status := 'disabled';
  elsif new.status = 'active' then
    new.held := false;
  else
    new.held := not v_by_source or (v_was_disabled and old.held);
  end if;
  return new;
end
$$;
revoke all on function keep_held_account from public;
create trigger held_account before insert or update of status on directory_account
  for each row execute function keep_held_account();
reset role;
