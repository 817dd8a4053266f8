-- Text at rest, for levels that ask for it. The chunk's text and headings are then a ciphertext under a data key of
-- (tenant, level), its terms are keyed hashes, and data keys are kept wrapped by a key that the database never sees.
set local role bulkhead_owner;
set local search_path = bulkhead, public;

create table data_key (
  id uuid primary key,
  tenant_id int not null references tenant,
  -- by name: a level's rank may change, and its rows stay sealed under its key
  level text not null,
  purpose text not null check (purpose in ('text', 'terms')),
  -- names the key-encryption key
  key_id text not null,
  wrapped bytea not null,
  state text not null default 'current' check (state in ('current', 'old')),
  -- messages sealed, counted ahead
  messages bigint not null default 0,
  created_at timestamptz(3) not null default now(),
  retired_at timestamptz(3),
  check ((state = 'old') = (retired_at is not null))
);
create unique index data_key_one_current on data_key (tenant_id, level, purpose) where state = 'current';

-- A sealed row has its text in `sealed` and nowhere else.
alter table chunk add column data_key_id uuid, add column sealed bytea;
alter table chunk add constraint chunk_data_key foreign key (data_key_id) references data_key not valid;
alter table chunk add constraint chunk_sealed_only check (
  (data_key_id is null) = (sealed is null) and (sealed is null or (text = '' and heading_path = '{}'))) not valid;
create index chunk_by_data_key on chunk (data_key_id) where data_key_id is not null;
alter table chunk_embedding add column term_key_id uuid;
alter table chunk_embedding add constraint chunk_embedding_term_key foreign key (term_key_id) references data_key not valid;
create index chunk_embedding_by_term_key on chunk_embedding (term_key_id) where term_key_id is not null;

-- The levels that ask for encryption, as the configuration last said.
create table encrypted_level (level text primary key);

-- What may be sealed otherwise than its level asks: everything below a class, or one document. Hints, kept until
-- the rows were looked at; the rows themselves say what is to be done.
create table seal_queue (
  id bigint generated always as identity primary key,
  tenant_id int not null references tenant,
  class_id int references access_class,
  document_id uuid,
  -- how far a class was worked through
  after_document uuid not null default '00000000-0000-0000-0000-000000000000',
  created_at timestamptz(3) not null default now(),
  check ((class_id is null) <> (document_id is null))
);
create index seal_queue_by_document on seal_queue (document_id) where document_id is not null;

do $$
declare
  t text;
begin
  foreach t in array array['data_key', 'seal_queue'] loop
    execute format('alter table %I enable row level security', t);
    execute format('alter table %I force row level security', t);
    execute format('create policy indexer_%s on %I to bulkhead_indexer using (true) with check (true)', t, t);
    execute format('create policy epoch_%s on %I to bulkhead_epoch using (true) with check (true)', t, t);
  end loop;
end
$$;
grant select on data_key to bulkhead_retrieve, bulkhead_ingest, bulkhead_indexer, bulkhead_epoch;
grant insert, update (state, retired_at, messages) on data_key to bulkhead_ingest, bulkhead_indexer;
grant update (key_id, wrapped), delete on data_key to bulkhead_indexer;
create policy retrieve_data_key on data_key for select to bulkhead_retrieve using (tenant_id = (select ctx_tenant()));
create policy ingest_data_key on data_key to bulkhead_ingest
  using (tenant_id = (select ctx_tenant())) with check (tenant_id = (select ctx_tenant()));
grant select, insert, update, delete on seal_queue to bulkhead_indexer;
grant select, insert on seal_queue to bulkhead_epoch;
grant select, insert, delete on encrypted_level to bulkhead_indexer;
grant select on encrypted_level to bulkhead_epoch;
grant update (text, heading_path, data_key_id, sealed) on chunk to bulkhead_indexer;
grant update (terms, weights, term_key_id) on chunk_embedding to bulkhead_indexer;
grant insert on outbox to bulkhead_indexer;

-- The triggers and look-ups below see the tree and which key a row names, and no text, entry or principal.
grant select (id, tenant_id, class_id) on document to bulkhead_epoch;
grant select (id, tenant_id, rank, parent_id, path) on access_class to bulkhead_epoch;
grant select (class_id, ancestor_id, tenant_id) on class_ancestor to bulkhead_epoch;
grant select (id, tenant_id, document_id, data_key_id) on chunk to bulkhead_epoch;
grant select (chunk_id, term_key_id) on chunk_embedding to bulkhead_epoch;
grant select on sensitivity_level to bulkhead_epoch;
create policy epoch_document on document for select to bulkhead_epoch using (true);
create policy epoch_ancestor on class_ancestor for select to bulkhead_epoch using (true);
create policy epoch_chunk on chunk for select to bulkhead_epoch using (true);
create policy epoch_embedding on chunk_embedding for select to bulkhead_epoch using (true);

grant create on schema bulkhead to bulkhead_epoch;
reset role;
set local role bulkhead_epoch;
set local search_path = bulkhead, public;

create function encryption_in_use() returns boolean
language sql stable security definer set search_path = bulkhead, pg_temp as $$
  select exists (select 1 from encrypted_level) or exists (select 1 from data_key)
$$;

-- The rank of each document's effective label, now.
create function document_ranks(p_documents uuid[]) returns table (document uuid, tenant int, rank int)
language sql stable security definer set search_path = bulkhead, pg_temp as $$
  select d.id, d.tenant_id, (
    select max(c.rank)::int from class_ancestor a join access_class c on c.id = a.ancestor_id where a.class_id = d.class_id)
  from document d where d.id = any (p_documents)
$$;

-- The next documents at or below a class, by id.
create function documents_below(p_class int, p_after uuid, p_limit int) returns setof uuid
language sql stable security definer set search_path = bulkhead, pg_temp as $$
  select d.id from document d
  where d.id > p_after and d.class_id in (select class_id from class_ancestor where ancestor_id = p_class)
  order by d.id limit p_limit
$$;

-- How many passages of a tenant are sealed otherwise than their level asks, old keys included.
create function passages_to_seal(p_tenant int) returns bigint
language sql stable security definer set search_path = bulkhead, pg_temp as $$
  with effective as materialized (
    select a.class_id, max(c.rank) as rank
    from class_ancestor a join access_class c on c.id = a.ancestor_id where a.tenant_id = p_tenant group by a.class_id),
  wanted as materialized (
    select e.class_id, l.level from effective e join sensitivity_level s on s.rank = e.rank
    left join encrypted_level l on l.level = s.name)
  select count(*) from chunk c
  join document d on d.id = c.document_id join wanted w on w.class_id = d.class_id
  left join data_key k on k.id = c.data_key_id
  where c.tenant_id = p_tenant and (k.level is distinct from w.level or k.state = 'old' or exists (
    select 1 from chunk_embedding e left join data_key t on t.id = e.term_key_id
    where e.chunk_id = c.id and (t.level is distinct from w.level or t.state = 'old')))
$$;

-- One data key for each key that wraps any: whoever needs them tries these at its start.
create function wrapped_key_samples() returns table (id uuid, tenant int, level text, purpose text, key_id text, wrapped bytea, keys bigint)
language sql stable security definer set search_path = bulkhead, pg_temp as $$
  select distinct on (k.key_id) k.id, k.tenant_id, k.level, k.purpose, k.key_id, k.wrapped, count(*) over (partition by k.key_id)
  from data_key k order by k.key_id, k.created_at, k.id
$$;

-- After a change of the configuration: every tenant from its root.
create function queue_everything_for_sealing() returns void
language sql volatile security definer set search_path = bulkhead, pg_temp as $$
  insert into seal_queue (tenant_id, class_id) select c.tenant_id, c.id from access_class c where c.path = '/'
$$;

create function queue_class_for_sealing() returns trigger
language plpgsql security definer set search_path = bulkhead, pg_temp as $$
begin
  if encryption_in_use() then
    insert into seal_queue (tenant_id, class_id) values (new.tenant_id, new.id);
  end if;
  return null;
end
$$;

-- A document that moved, or whose new version was labelled while its container was relabelled: readers wait for
-- nothing, but what is wrong is seen here at the latest, after the write was committed.
create function queue_document_for_sealing() returns trigger
language plpgsql security definer set search_path = bulkhead, pg_temp as $$
begin
  if encryption_in_use() and exists (
      select 1 from document_ranks(array[new.id]) r left join sensitivity_level s on s.rank = r.rank
      left join encrypted_level l on l.level = s.name
      join chunk c on c.document_id = new.id left join data_key k on k.id = c.data_key_id
      where k.level is distinct from l.level) then
    insert into seal_queue (tenant_id, document_id) values (new.tenant_id, new.id);
  end if;
  return null;
end
$$;

revoke all on function encryption_in_use, document_ranks, documents_below, passages_to_seal, wrapped_key_samples,
  queue_everything_for_sealing, queue_class_for_sealing, queue_document_for_sealing from public;
grant execute on function document_ranks, documents_below, passages_to_seal, queue_everything_for_sealing
  to bulkhead_indexer;
grant execute on function wrapped_key_samples to bulkhead_retrieve, bulkhead_ingest, bulkhead_indexer;
grant execute on function queue_class_for_sealing, queue_document_for_sealing to bulkhead_owner;
reset role;
set local role bulkhead_owner;
set local search_path = bulkhead, public;
revoke create on schema bulkhead from bulkhead_epoch;

create trigger seal_relabelled after update of parent_id, level, rank on access_class
  for each row when (old.rank is distinct from new.rank or old.parent_id is distinct from new.parent_id)
  execute function queue_class_for_sealing();
create trigger seal_moved after update of class_id, version on document
  for each row when (old.class_id <> new.class_id or old.version <> new.version)
  execute function queue_document_for_sealing();

-- Stage 4 as in 0020, with what is sealed as it is: it is opened for what is released, and nothing else.
create or replace function hydrate(p_chunks bigint[], out passages json, out classes json)
language plpgsql stable security invoker set search_path = bulkhead, pg_temp set jit = off
set plan_cache_mode = force_generic_plan set random_page_cost = 1.1 as $$
begin
  with recursive
  passage as materialized (
    select c.id as chunk, d.id as document, d.version, d.class_id as class, k.path as container, c.ordinal, c.text,
      c.heading_path, c.data_key_id as data_key, encode(c.sealed, 'base64') as sealed,
      c.start_offset, c.end_offset, d.title, d.source, d.external_id, d.media_type,
      ms(d.content_date) as content_date, ms(d.updated_at) as updated_at
    from chunk c
    join document d on d.id = c.document_id and d.version = c.version
    join access_class k on k.id = d.container_id
    where c.id = any (p_chunks)),
  walk(id) as (
    select class from passage
    union
    select k.parent_id from walk join access_class k on k.id = walk.id where k.parent_id is not null)
  select
    (select json_agg(passage order by document, ordinal) from passage),
    (select json_agg(json_build_object('id', k.id, 'parent', k.parent_id, 'inherits', k.inherits, 'rank', k.rank,
        'compartments', k.compartments, 'entries', (
          select json_agg(json_build_object('principal', e.principal_id, 'effect', e.effect,
            'from', ms(e.valid_from), 'until', ms(e.valid_until)))
          from entry e where e.class_id = k.id)))
      from walk join access_class k on k.id = walk.id)
  into passages, classes;
end
$$;
reset role;
