-- The vector index in the database itself: closed to every role but the owner of the search function and the
-- indexer. Where Qdrant is the index, neither these tables nor the extension are needed (docs/decisions/0004).
create extension if not exists vector;
set local role bulkhead_owner;
set local search_path = bulkhead, public;

create table index_collection (
  id smallint generated always as identity primary key,
  fingerprint text not null unique,
  dimension int not null,
  live boolean not null default false
);
create unique index index_collection_one_live on index_collection (live) where live;

-- No foreign keys here: they cost as much as the insert, and the writer locks its collection instead.
create table index_vector (
  collection_id smallint not null,
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
  -- BM25, document side; bounded so that a score fits the fixed-point sum of search_chunks
  weight real not null check (weight > 0 and weight <= 16),
  tenant_id int not null,
  collection_id smallint not null
);
create index index_posting_by_term on index_posting (collection_id, tenant_id, term, class_id) include (chunk_id, weight);
create index index_posting_by_chunk on index_posting (chunk_id);

-- How many chunks each class has, so that the N of a search costs a sum over classes and not over chunks.
create table index_class_count (
  collection_id smallint not null,
  tenant_id int not null,
  class_id int not null,
  chunks int not null check (chunks >= 0),
  primary key (collection_id, tenant_id, class_id)
);

grant select on index_collection to bulkhead_ingest;
grant select, insert, update, delete on index_collection, index_vector, index_posting to bulkhead_indexer;
