-- What `bulkhead index calibrate` measured of the installed index, one row for each model: constants and figures,
-- nothing of a document. Whoever may write the index may write it; queries are planned by it.
set local role bulkhead_owner;
set local search_path = bulkhead, public;

create table index_calibration (
  fingerprint text primary key,
  measured_at timestamptz(3) not null,
  body jsonb not null
);
grant select on index_calibration to bulkhead_retrieve, bulkhead_indexer, bulkhead_admin;
grant insert, update, delete on index_calibration to bulkhead_indexer;
