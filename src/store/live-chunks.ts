/** What the index ought to hold, read in the role `indexer`: ids, classes, versions, and the texts to embed. */
import { sql } from 'kysely';
import {
  type ChunkId,
  type ClassId,
  chunkId,
  classId,
  type DocumentId,
  documentId,
  type TenantId,
} from '../policy/ids.ts';
import type { Database, Work } from './database.ts';
import { type SealedChunk, toBytes } from './document-writes.ts';
import { livePoints, type StoredPoint } from './index-content.ts';
import { nobodyIn } from './session-context.ts';

export interface LiveChunk {
  readonly chunkId: ChunkId;
  readonly documentId: DocumentId;
  readonly version: number;
  readonly classId: ClassId;
}

/** A chunk with what it is embedded from. */
export interface ChunkText extends LiveChunk {
  readonly title: string;
  readonly ordinal: number;
  /** Empty, as the text is, while the chunk is sealed. */
  readonly headingPath: readonly string[];
  readonly text: string;
  readonly sealed: SealedChunk | undefined;
}

export class LiveChunks {
  readonly #database: Database;
  readonly #tenant: TenantId;

  private constructor(database: Database, tenant: TenantId) {
    this.#database = database;
    this.#tenant = tenant;
  }

  static of(database: Database, tenant: TenantId): LiveChunks {
    return new LiveChunks(database, tenant);
  }

  /** The chunks of live versions by id, from the first after `after`. */
  list(after: number, limit: number): Promise<readonly LiveChunk[]> {
    return this.#run(async (trx) => {
      const { rows } = await sql<Row>`
        select c.id as chunk, c.document_id as document, c.version, d.class_id as class
        from bulkhead.chunk c join bulkhead.document d on d.id = c.document_id and d.version = c.version
        where c.tenant_id = ${this.#tenant} and c.id > ${after} order by c.id limit ${limit}`.execute(trx);
      return rows.map(toChunk);
    });
  }

  /** The points of live versions in one model's space, by chunk id, from the first after `after`. */
  points(fingerprint: string, after: number, limit: number): Promise<readonly StoredPoint[]> {
    return this.#run((trx) => livePoints(trx, this.#tenant, fingerprint, after, limit));
  }

  /** The live version of each document, 0 while it has none; those that are not there are missing. */
  liveVersions(documents: readonly DocumentId[]): Promise<ReadonlyMap<DocumentId, number>> {
    return this.#run(async (trx) => {
      const { rows } = await sql<{ id: string; version: number }>`select id, version from bulkhead.document
        where tenant_id = ${this.#tenant} and id = any (${[...new Set(documents)]}::uuid[])`.execute(trx);
      return new Map(rows.map(({ id, version }) => [documentId(id), version]));
    });
  }

  /** Those among these ids that no chunk has, or one of a version before the live one: none will be live again. */
  outdated(chunks: readonly ChunkId[]): Promise<readonly ChunkId[]> {
    return this.#run(async (trx) => {
      const { rows } = await sql<{ id: number }>`select x.id from unnest(${[...chunks]}::bigint[]) x(id)
        where not exists (select 1 from bulkhead.chunk c join bulkhead.document d on d.id = c.document_id
          where c.id = x.id and c.version >= d.version)`.execute(trx);
      return rows.map(({ id }) => chunkId(id));
    });
  }

  /** Chunks of versions newer than the live one for which the outbox has nothing to do: that is never so in order. */
  unpublished(): Promise<readonly LiveChunk[]> {
    return this.#run(async (trx) => {
      const { rows } = await sql<Row>`
        select c.id as chunk, c.document_id as document, c.version, d.class_id as class
        from bulkhead.document d
        join bulkhead.document_version v on v.document_id = d.id and v.version > d.version
        join bulkhead.chunk c on c.document_id = v.document_id and c.version = v.version
        where d.tenant_id = ${this.#tenant}
          and not exists (select 1 from bulkhead.outbox o where o.document_id = d.id)
        order by c.id`.execute(trx);
      return rows.map(toChunk);
    });
  }

  /** How many chunks are live. */
  count(): Promise<number> {
    return this.#run(async (trx) => {
      const { rows } = await sql<{ n: number }>`select coalesce(sum(chunk_count), 0)::bigint as n
        from bulkhead.document where tenant_id = ${this.#tenant}`.execute(trx);
      return rows[0]?.n ?? 0;
    });
  }

  /** Chunks, of versions that are not live yet too, without an embedding of this model, by id. */
  withoutEmbedding(fingerprint: string, limit: number): Promise<readonly ChunkText[]> {
    return this.#run(async (trx) => {
      const { rows } = await sql<TextRow>`
        select c.id as chunk, c.document_id as document, c.version, d.class_id as class, v.title, c.ordinal,
          c.heading_path, c.text, c.data_key_id as data_key, c.sealed
        from bulkhead.chunk c join bulkhead.document d on d.id = c.document_id
        join bulkhead.document_version v on v.document_id = c.document_id and v.version = c.version
        where c.tenant_id = ${this.#tenant} and not exists (
          select 1 from bulkhead.chunk_embedding e where e.chunk_id = c.id and e.fingerprint = ${fingerprint})
        order by c.id limit ${limit}`.execute(trx);
      return rows.map((row) => ({
        ...toChunk(row),
        title: row.title,
        ordinal: row.ordinal,
        headingPath: row.heading_path,
        text: row.text,
        sealed: toSealed(row),
      }));
    });
  }

  countWithoutEmbedding(fingerprint: string): Promise<number> {
    return this.#run(async (trx) => {
      const { rows } = await sql<{ n: number }>`select count(*) as n from bulkhead.chunk c
        where c.tenant_id = ${this.#tenant} and not exists (
          select 1 from bulkhead.chunk_embedding e where e.chunk_id = c.id and e.fingerprint = ${fingerprint})`.execute(
        trx,
      );
      return rows[0]?.n ?? 0;
    });
  }

  /** Whether a tenant besides these has live passages that this model has not embedded. */
  static othersWithout(
    database: Database,
    fingerprint: string,
    tenants: readonly TenantId[],
  ): Promise<boolean> {
    return database.unitOfWork('indexer', undefined, async (trx) => {
      const { rows } = await sql<{ found: boolean }>`select exists (
        select 1 from bulkhead.chunk c join bulkhead.document d on d.id = c.document_id and d.version = c.version
        where c.tenant_id <> all (${[...tenants]}::int[]) and not exists (
          select 1 from bulkhead.chunk_embedding e where e.chunk_id = c.id and e.fingerprint = ${fingerprint})) as found`.execute(
        trx,
      );
      return rows[0]?.found ?? false;
    });
  }

  /** A chunk that was deleted meanwhile is passed over. */
  addEmbeddings(
    fingerprint: string,
    embeddings: readonly {
      readonly chunkId: ChunkId;
      readonly embedding: Float32Array;
      readonly terms: { readonly ids: ArrayLike<number>; readonly weights: ArrayLike<number> };
      readonly termKey?: string | undefined;
    }[],
  ): Promise<void> {
    return this.#run(async (trx) => {
      for (const { chunkId: chunk, embedding, terms, termKey } of embeddings)
        await sql`insert into bulkhead.chunk_embedding (chunk_id, fingerprint, tenant_id, embedding, terms, weights, term_key_id)
          select id, ${fingerprint}, tenant_id, ${toBytes(embedding)}::bytea, ${Array.from(terms.ids)}::int[],
            ${Array.from(terms.weights)}::real[], ${termKey ?? null}::uuid
          from bulkhead.chunk where id = ${chunk}
          on conflict do nothing`.execute(trx);
    });
  }

  #run<T>(work: (trx: Work) => Promise<T>): Promise<T> {
    return this.#database.unitOfWork('indexer', undefined, work);
  }
}

/** The effective rank of each class of the tenant: all that the indexer learns of its labels. */
export function effectiveRanks(database: Database, tenant: TenantId): Promise<ReadonlyMap<ClassId, number>> {
  return database.unitOfWork('indexer', nobodyIn(tenant), async (trx) => {
    const { rows } = await sql<{ id: number; rank: number }>`
      select id, rank from bulkhead.class_ranks()`.execute(trx);
    return new Map(rows.map(({ id, rank }) => [classId(id), rank]));
  });
}

interface Row {
  readonly chunk: number;
  readonly document: string;
  readonly version: number;
  readonly class: number;
}

interface TextRow extends Row, SealedRow {
  readonly title: string;
  readonly ordinal: number;
  readonly heading_path: string[];
  readonly text: string;
}

export interface SealedRow {
  readonly data_key: string | null;
  readonly sealed: Uint8Array | null;
}

export function toSealed({ data_key, sealed }: SealedRow): SealedChunk | undefined {
  return data_key === null || sealed === null ? undefined : { dataKey: data_key, bytes: sealed };
}

function toChunk(row: Row): LiveChunk {
  return {
    chunkId: chunkId(row.chunk),
    documentId: documentId(row.document),
    version: row.version,
    classId: classId(row.class),
  };
}
