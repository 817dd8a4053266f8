/** The tables as kysely sees them; migrations/*.sql is the truth. bigint and numeric arrive as numbers. */
import type { ColumnType, Generated } from 'kysely';

type Timestamp = ColumnType<Date, Date | string, Date | string>;
type NullableTimestamp = ColumnType<Date | null, Date | string | null | undefined, Date | string | null>;

interface TenantScoped {
  tenant_id: number;
}

interface Validity {
  valid_from: NullableTimestamp;
  valid_until: NullableTimestamp;
}

export interface Schema {
  tenant: { id: Generated<number>; name: string };
  policy_epoch: TenantScoped & { incarnation: string; counter: number; watermark: number };
  sensitivity_level: { name: string; rank: number };
  principal: TenantScoped & { id: Generated<number>; kind: string; key: string };
  directory_account: TenantScoped & {
    principal_id: number;
    source: string;
    display_name: string;
    email: string | null;
    status: Generated<'active' | 'disabled'>;
  };
  directory_group: TenantScoped & { principal_id: number; display_name: string };
  directory_source: TenantScoped & { source: string; as_of: Timestamp; kept: Generated<boolean> };
  membership: TenantScoped & Validity & { group_id: number; member_id: number };
  clearance: TenantScoped &
    Validity & {
      id: Generated<number>;
      principal_id: number;
      level: string;
      rank: number;
      compartments: string[];
    };
  access_class: TenantScoped & {
    id: number;
    parent_id: number | null;
    kind: 'container' | 'adhoc';
    path: string | null;
    inherits: boolean;
    level: string | null;
    rank: number | null;
    compartments: string[];
    intern_key: string | null;
    seq: number;
  };
  class_ancestor: TenantScoped & { class_id: number; ancestor_id: number; allows_pass: boolean };
  entry: TenantScoped &
    Validity & {
      id: Generated<number>;
      class_id: number;
      principal_id: number;
      effect: 'allow' | 'deny';
    };
  role_binding: TenantScoped &
    Validity & {
      id: Generated<number>;
      container_id: number;
      principal_id: number;
      right_name: string;
    };
  actor_ceiling: TenantScoped & {
    principal_id: number;
    level: string;
    rank: number;
    compartments: string[];
    containers: number[];
  };
  document: TenantScoped & {
    id: string;
    container_id: number;
    class_id: number;
    source: string;
    external_id: string;
    version: Generated<number>;
    chunk_count: Generated<number>;
    title: string;
    media_type: string;
    content_date: NullableTimestamp;
    content_hash: Uint8Array;
    created_at: Generated<Date>;
    updated_at: Generated<Date>;
  };
  document_version: TenantScoped & {
    document_id: string;
    version: number;
    title: string;
    media_type: string;
    content_date: NullableTimestamp;
    content_hash: Uint8Array;
    chunk_count: number;
    submitted_by: number;
    submitted_at: Generated<Date>;
    batch: string | null;
    parser: string;
    fingerprint: string;
  };
  chunk: TenantScoped & {
    id: Generated<number>;
    document_id: string;
    version: number;
    ordinal: number;
    text: string;
    heading_path: string[];
    start_offset: number;
    end_offset: number;
    tokens: number;
    data_key_id: string | null;
    sealed: Uint8Array | null;
  };
  chunk_embedding: TenantScoped & {
    chunk_id: number;
    fingerprint: string;
    embedding: Uint8Array;
    terms: number[];
    weights: number[];
    term_key_id: string | null;
  };
  outbox: TenantScoped & {
    id: Generated<number>;
    document_id: string;
    operation: 'publish' | 'move' | 'remove';
    attempts: Generated<number>;
    last_error: string | null;
    not_before: Generated<Date>;
    created_at: Generated<Date>;
  };
  index_collection: {
    id: Generated<number>;
    fingerprint: string;
    dimension: number;
    live: Generated<boolean>;
  };
  index_vector: TenantScoped & {
    collection_id: number;
    chunk_id: number;
    class_id: number;
    document_id: string;
    version: number;
    embedding: string;
  };
}
