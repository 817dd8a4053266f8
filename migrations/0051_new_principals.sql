-- A group may be named by somebody's token long before the directory has it. From the moment that it does, an entry can
-- name it, and that of a class interned later raises no epoch: whoever was read before is not known to be in it. So a new
-- principal is a change of policy as a new membership is, and no receipt is written for an answer that began before it.
set local role bulkhead_owner;
set local search_path = bulkhead, public;
create trigger epoch_insert after insert on principal referencing new table as changed
  for each statement execute function raise_epoch_of_new();
reset role;
