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
import { toBytes } from './document-writes.ts';
import type { SessionContext } from './session-context.ts';

export interface LiveChunk {
  readonly chunkId: ChunkId;
  readonly documentId: DocumentId;
  readonly version: number;
  readonly classId: ClassId;
}

/** A chunk with what it is embedded from. */
export interface ChunkText extends LiveChunk {
  readonly title: string;
  readonly headingPath: readonly string[];
  readonly text: string;
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

  /** The live version of a document, 0 while it has none; `undefined` for one that is not there. */
  liveVersion(document: DocumentId): Promise<number | undefined> {
    return this.#run(async (trx) => {
      const { rows } = await sql<{ version: number }>`select version from bulkhead.document
        where tenant_id = ${this.#tenant} and id = ${document}::uuid`.execute(trx);
      return rows[0]?.version;
    });
  }

  /** Chunks, of versions that are not live yet too, without an embedding of this model, by id. */
  withoutEmbedding(fingerprint: string, limit: number): Promise<readonly ChunkText[]> {
    return this.#run(async (trx) => {
      const { rows } = await sql<Row & { title: string; heading_path: string[]; text: string }>`
        select c.id as chunk, c.document_id as document, c.version, d.class_id as class, v.title, c.heading_path, c.text
        from bulkhead.chunk c join bulkhead.document d on d.id = c.document_id
        join bulkhead.document_version v on v.document_id = c.document_id and v.version = c.version
        where c.tenant_id = ${this.#tenant} and not exists (
          select 1 from bulkhead.chunk_embedding e where e.chunk_id = c.id and e.fingerprint = ${fingerprint})
        order by c.id limit ${limit}`.execute(trx);
      return rows.map((row) => ({
        ...toChunk(row),
        title: row.title,
        headingPath: row.heading_path,
        text: row.text,
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
    }[],
  ): Promise<void> {
    return this.#run(async (trx) => {
      for (const { chunkId: chunk, embedding, terms } of embeddings)
        await sql`insert into bulkhead.chunk_embedding (chunk_id, fingerprint, tenant_id, embedding, terms, weights)
          select id, ${fingerprint}, tenant_id, ${toBytes(embedding)}::bytea, ${Array.from(terms.ids)}::int[],
            ${Array.from(terms.weights)}::real[]
          from bulkhead.chunk where id = ${chunk}
          on conflict do nothing`.execute(trx);
    });
  }

  #run<T>(work: (trx: Work) => Promise<T>): Promise<T> {
    return this.#database.unitOfWork('indexer', undefined, work);
  }
}

/** The effective rank of each class of the tenant, read as an administrator: the indexer sees no policy. */
export function effectiveRanks(
  database: Database,
  context: SessionContext,
): Promise<ReadonlyMap<ClassId, number>> {
  return database.unitOfWork('admin', context, async (trx) => {
    const { rows } = await sql<{ id: number; rank: number }>`
      select a.class_id as id, max(c.rank) as rank from bulkhead.class_ancestor a
      join bulkhead.access_class c on c.id = a.ancestor_id where c.rank is not null group by a.class_id`.execute(
      trx,
    );
    return new Map(rows.map(({ id, rank }) => [classId(id), rank]));
  });
}

interface Row {
  readonly chunk: number;
  readonly document: string;
  readonly version: number;
  readonly class: number;
}

function toChunk(row: Row): LiveChunk {
  return {
    chunkId: chunkId(row.chunk),
    documentId: documentId(row.document),
    version: row.version,
    classId: classId(row.class),
  };
}
