-- A retrieve process with the index in the database sees which model the live collection is of; no vector, no term.
set local role bulkhead_owner;
grant select on bulkhead.index_collection to bulkhead_retrieve;
reset role;
