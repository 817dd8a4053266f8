set local role bulkhead_owner;
set local search_path = bulkhead, public;

create table tenant (
  id int generated always as identity primary key,
  name text not null unique check (name ~ '^[a-z0-9][a-z0-9-]{0,62}$')
);

-- Every change of entries, clearances, memberships, tree or levels raises the counter in its transaction;
-- a restore changes the incarnation; interning raises only the watermark.
create table policy_epoch (
  tenant_id int primary key references tenant,
  incarnation uuid not null default gen_random_uuid(),
  counter bigint not null default 0,
  watermark bigint not null default 0
);

create table sensitivity_level (
  name text primary key,
  rank smallint not null check (rank >= 0),
  unique (name, rank),
  unique (rank) deferrable initially deferred
);

create table principal (
  id int generated always as identity primary key,
  tenant_id int not null references tenant,
  kind text not null check (kind in ('user', 'group', 'service', 'everyone')),
  key text not null,
  unique (tenant_id, key)
);

create table directory_account (
  principal_id int primary key references principal,
  tenant_id int not null references tenant,
  source text not null,
  display_name text not null,
  email text,
  status text not null default 'active' check (status in ('active', 'disabled'))
);

create table directory_group (
  principal_id int primary key references principal,
  tenant_id int not null references tenant,
  display_name text not null
);

-- When each directory source was last known to be current.
create table directory_source (
  tenant_id int not null references tenant,
  source text not null,
  as_of timestamptz(3) not null,
  primary key (tenant_id, source)
);

create table membership (
  tenant_id int not null references tenant,
  group_id int not null references principal,
  member_id int not null references principal,
  valid_from timestamptz(3),
  valid_until timestamptz(3),
  primary key (member_id, group_id),
  check (member_id <> group_id)
);

create table clearance (
  id int generated always as identity primary key,
  tenant_id int not null references tenant,
  principal_id int not null references principal,
  level text not null,
  rank smallint not null,
  compartments text[] not null default '{}',
  valid_from timestamptz(3),
  valid_until timestamptz(3),
  foreign key (level, rank) references sensitivity_level (name, rank) on update cascade
);
create index clearance_by_principal on clearance (principal_id);

create table access_class (
  id int primary key,
  tenant_id int not null references tenant,
  parent_id int references access_class,
  kind text not null check (kind in ('container', 'adhoc')),
  -- containers have a path; '/' is the tenant's root and the only class without a parent
  path text,
  inherits boolean not null default true,
  level text,
  rank smallint,
  compartments text[] not null default '{}',
  -- of ad-hoc classes: what they were interned by
  intern_key text,
  seq bigint not null,
  created_xid xid8 not null default pg_current_xact_id(),
  foreign key (level, rank) references sensitivity_level (name, rank) on update cascade,
  check ((level is null) = (rank is null)),
  check ((kind = 'container') = (path is not null)),
  check ((kind = 'adhoc') = (intern_key is not null)),
  check ((parent_id is null) = (path is not null and path = '/')),
  unique (tenant_id, path),
  unique (tenant_id, parent_id, intern_key)
);
create index access_class_by_seq on access_class (tenant_id, seq);
create index access_class_by_parent on access_class (parent_id);

-- Class ids are handed out in blocks, one container's at a time, so that a subtree is nearly contiguous.
create sequence class_block_seq as int increment by 64 minvalue 64;
create table class_block (
  container_id int primary key,
  tenant_id int not null references tenant,
  next_id int not null,
  end_id int not null
);

-- The tree, flattened; the class itself is its own ancestor. Grants are never flattened.
create table class_ancestor (
  class_id int not null references access_class,
  ancestor_id int not null references access_class,
  tenant_id int not null references tenant,
  -- false once a class between the two does not inherit: allows stop there, denies and labels do not
  allows_pass boolean not null,
  primary key (class_id, ancestor_id)
);
create index class_ancestor_down on class_ancestor (ancestor_id, class_id) include (allows_pass);

create table entry (
  id bigint generated always as identity primary key,
  tenant_id int not null references tenant,
  class_id int not null references access_class,
  principal_id int not null references principal,
  effect text not null check (effect in ('allow', 'deny')),
  valid_from timestamptz(3),
  valid_until timestamptz(3),
  unique nulls not distinct (class_id, principal_id, effect, valid_from, valid_until)
);
create index entry_by_principal on entry (principal_id, class_id);

create table role_binding (
  id bigint generated always as identity primary key,
  tenant_id int not null references tenant,
  container_id int not null references access_class,
  principal_id int not null references principal,
  right_name text not null,
  valid_from timestamptz(3),
  valid_until timestamptz(3),
  check (right_name ~ '^(ingest|label|grant|audit|administer|unmask:[a-z-]+)$'),
  unique nulls not distinct (container_id, principal_id, right_name, valid_from, valid_until)
);
create index role_binding_by_principal on role_binding (principal_id);

-- How far an admin lets a service act for people.
create table actor_ceiling (
  principal_id int primary key references principal,
  tenant_id int not null references tenant,
  level text not null,
  rank smallint not null,
  compartments text[] not null default '{}',
  containers int[] not null default '{}',
  foreign key (level, rank) references sensitivity_level (name, rank) on update cascade
);

create table document (
  id uuid primary key,
  tenant_id int not null references tenant,
  container_id int not null references access_class,
  class_id int not null references access_class,
  source text not null,
  external_id text not null,
  -- 0 until the first version is in the index; readers see only the live version
  version int not null default 0,
  chunk_count int not null default 0,
  title text not null,
  media_type text not null,
  content_date timestamptz(3),
  content_hash bytea not null,
  created_at timestamptz(3) not null default now(),
  updated_at timestamptz(3) not null default now(),
  unique (tenant_id, source, container_id, external_id)
);
-- The access of a deleted document, for when it comes again: deleting must not be a way to shed a label.
create table document_tombstone (
  tenant_id int not null references tenant,
  source text not null,
  container_id int not null references access_class,
  external_id text not null,
  class_id int not null references access_class,
  primary key (container_id, source, external_id)
);

create index document_by_class on document (class_id);
create index document_by_container on document (container_id);

-- One row a version, the newest first in line for the index; lineage says where it came from.
create table document_version (
  document_id uuid not null references document on delete cascade,
  version int not null,
  tenant_id int not null references tenant,
  title text not null,
  media_type text not null,
  content_date timestamptz(3),
  content_hash bytea not null,
  chunk_count int not null,
  submitted_by int not null references principal,
  submitted_at timestamptz(3) not null default now(),
  batch text,
  parser text not null,
  fingerprint text not null,
  primary key (document_id, version)
);

create table chunk (
  id bigint generated always as identity primary key,
  tenant_id int not null references tenant,
  document_id uuid not null references document on delete cascade,
  version int not null,
  ordinal int not null,
  text text not null,
  heading_path text[] not null default '{}',
  start_offset int not null,
  end_offset int not null,
  tokens int not null,
  unique (document_id, version, ordinal)
);

-- What the index is built from: the embedding and the term weights of each chunk, per model fingerprint.
create table chunk_embedding (
  chunk_id bigint not null references chunk on delete cascade,
  fingerprint text not null,
  tenant_id int not null references tenant,
  embedding bytea not null,
  terms int[] not null,
  weights real[] not null,
  primary key (chunk_id, fingerprint)
);

create table outbox (
  id bigint generated always as identity primary key,
  tenant_id int not null references tenant,
  document_id uuid not null,
  operation text not null check (operation in ('publish', 'move', 'remove')),
  attempts int not null default 0,
  last_error text,
  not_before timestamptz(3) not null default now(),
  created_at timestamptz(3) not null default now()
);
create index outbox_by_document on outbox (document_id, id);
