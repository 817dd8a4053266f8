-- The embedded vector index: closed to every role but the owner of the search function and the indexer.
set local role bulkhead_owner;
set local search_path = bulkhead, public;

create table index_collection (
  id smallint generated always as identity primary key,
  fingerprint text not null unique,
  dimension int not null,
  live boolean not null default false
);
create unique index index_collection_one_live on index_collection (live) where live;

create table index_vector (
  collection_id smallint not null references index_collection,
  chunk_id bigint not null,
  tenant_id int not null,
  class_id int not null,
  document_id uuid not null,
  version int not null,
  embedding vector not null,
  primary key (chunk_id, collection_id)
);
-- vectors stay in the row: a detour through TOAST doubles an exact scan
alter table index_vector alter column embedding set storage main;
create index index_vector_by_class on index_vector (tenant_id, class_id);
create index index_vector_by_document on index_vector (document_id);

create table index_posting (
  term int not null,
  class_id int not null,
  chunk_id bigint not null,
  weight real not null,
  tenant_id int not null,
  collection_id smallint not null,
  document_id uuid not null
);
create index index_posting_by_term on index_posting (collection_id, tenant_id, term) include (class_id, chunk_id, weight);
create index index_posting_by_document on index_posting (document_id);
