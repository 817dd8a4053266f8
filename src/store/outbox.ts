/** What the index has not heard of yet. Read and settled in the role `indexer`, which sees every tenant. */
import { sql } from 'kysely';
import {
  type ChunkId,
  type ClassId,
  chunkId,
  classId,
  type DocumentId,
  documentId,
  type TenantId,
  tenantId,
} from '../policy/ids.ts';
import type { Database, Work } from './database.ts';
import { fromBytes } from './document-writes.ts';

/** All that is due for one document: it is brought into line with Postgres once, however many rows there are. */
export interface OutboxClaim {
  readonly tenant: TenantId;
  readonly document: DocumentId;
  /** The highest row claimed; a later one is another claim. */
  readonly upTo: number;
  readonly isPublish: boolean;
  readonly isMove: boolean;
  /** How many times before this one it was tried. */
  readonly attempts: number;
}

/** A document as the index should have it: its newest version, live or about to be. */
export interface VersionToIndex {
  readonly tenant: TenantId;
  readonly document: DocumentId;
  readonly class: ClassId;
  readonly liveVersion: number;
  readonly version: number;
  readonly chunkCount: number;
}

export interface StoredPoint {
  readonly tenant: TenantId;
  readonly chunkId: ChunkId;
  readonly documentId: DocumentId;
  readonly version: number;
  readonly classId: ClassId;
  readonly embedding: Float32Array;
  readonly terms: { readonly ids: readonly number[]; readonly weights: readonly number[] };
}

/** A row that failed this often waits for a person, or for the document's next change. */
const MOST_ATTEMPTS = 10;
/** For as long, nobody else takes what was claimed. */
const LEASE_SECONDS = 60;
/** 1 s, 2 s, 4 s … */
const LONGEST_BACK_OFF_SECONDS = 300;

export class Outbox {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /**
   * Takes up to `limit` documents that are due, oldest first.
   * @param takeOver also those that another process holds or that wait after a failure: for start-up, when this
   *   is the only process
   */
  claim(limit: number, takeOver: boolean): Promise<readonly OutboxClaim[]> {
    return this.#run(async (trx) => {
      const { rows } = await sql<{
        tenant: number;
        document: string;
        up_to: number;
        is_publish: boolean;
        is_move: boolean;
        tries: number;
      }>`
        with due as (
          select document_id, min(id) as first from bulkhead.outbox
          group by document_id
          having ${takeOver} or (bool_or(not_before <= now())
            and not bool_or(not_before > now() and attempts < ${MOST_ATTEMPTS}))
          order by first limit ${limit}),
        taken as (
          select o.id from bulkhead.outbox o join due using (document_id)
          order by o.id for update of o skip locked),
        leased as (
          update bulkhead.outbox o set attempts = attempts + 1,
            not_before = now() + make_interval(secs => ${LEASE_SECONDS})
          from taken where o.id = taken.id and (${takeOver} or o.attempts >= ${MOST_ATTEMPTS} or o.not_before <= now())
          returning o.*)
        select tenant_id as tenant, document_id as document, max(id) as up_to,
          bool_or(operation = 'publish') as is_publish, bool_or(operation = 'move') as is_move, min(attempts) - 1 as tries
        from leased group by tenant_id, document_id order by min(id)`.execute(trx);
      return rows.map((row) => ({
        tenant: tenantId(row.tenant),
        document: documentId(row.document),
        upTo: row.up_to,
        isPublish: row.is_publish,
        isMove: row.is_move,
        attempts: row.tries,
      }));
    });
  }

  /** Those among these documents for which something is left to do. */
  pending(documents: readonly DocumentId[]): Promise<ReadonlySet<DocumentId>> {
    return this.#run(async (trx) => {
      const { rows } = await sql<{ id: string }>`select distinct document_id as id from bulkhead.outbox
        where document_id = any (${[...documents]}::uuid[])`.execute(trx);
      return new Set(rows.map(({ id }) => documentId(id)));
    });
  }

  /**
   * Those among these versions that readers or the index do not have yet; what others have done to the documents
   * since is not waited for, moves aside.
   */
  unpublished(
    versions: readonly { readonly document: DocumentId; readonly version: number }[],
  ): Promise<ReadonlyMap<DocumentId, 'under-way' | 'failed'>> {
    return this.#run(async (trx) => {
      const { rows } = await sql<{ id: string; has_failed: boolean }>`
        select o.document_id as id, bool_or(o.last_error is not null) as has_failed
        from unnest(${versions.map(({ document }) => document)}::uuid[],
          ${versions.map(({ version }) => version)}::int[]) as w (id, version)
        join bulkhead.document d on d.id = w.id join bulkhead.outbox o on o.document_id = w.id
        where o.operation = 'move' or d.version < w.version
        group by o.document_id`.execute(trx);
      return new Map(rows.map(({ id, has_failed }) => [documentId(id), has_failed ? 'failed' : 'under-way']));
    });
  }

  /** The documents as they are now; one that was deleted is missing. */
  versionsToIndex(documents: readonly DocumentId[]): Promise<readonly VersionToIndex[]> {
    return this.#run(async (trx) => {
      const { rows } = await sql<{
        tenant: number;
        document: string;
        class: number;
        live: number;
        version: number;
        chunks: number;
      }>`
        select d.tenant_id as tenant, d.id as document, d.class_id as class, d.version as live, v.version,
          v.chunk_count as chunks
        from bulkhead.document d join lateral (
          select version, chunk_count from bulkhead.document_version n
          where n.document_id = d.id order by n.version desc limit 1) v on true
        where d.id = any (${[...documents]}::uuid[])`.execute(trx);
      return rows.map((row) => ({
        tenant: tenantId(row.tenant),
        document: documentId(row.document),
        class: classId(row.class),
        liveVersion: row.live,
        version: row.version,
        chunkCount: row.chunks,
      }));
    });
  }

  /** The points of these versions in one model's space, by chunk id, from the first after `after`. */
  points(
    of: readonly Pick<VersionToIndex, 'document' | 'version'>[],
    fingerprint: string,
    after: number,
    limit: number,
  ): Promise<readonly StoredPoint[]> {
    return this.#run(async (trx) => {
      const { rows } = await sql<PointRow>`
        select c.tenant_id as tenant, c.id as chunk, c.document_id as document, c.version, d.class_id as class,
          e.embedding, e.terms, e.weights
        from unnest(${of.map(({ document }) => document)}::uuid[], ${of.map(({ version }) => version)}::int[])
          as w (id, version)
        join bulkhead.document d on d.id = w.id
        join bulkhead.chunk c on c.document_id = w.id and c.version = w.version and c.id > ${after}
        join bulkhead.chunk_embedding e on e.chunk_id = c.id and e.fingerprint = ${fingerprint}
        order by c.id limit ${limit}`.execute(trx);
      return rows.map(toPoint);
    });
  }

  /** Makes these versions the ones that readers see, and drops the chunks and versions before them. */
  publish(versions: readonly VersionToIndex[]): Promise<void> {
    const documents = versions.map(({ document }) => document);
    const numbers = versions.map(({ version }) => version);
    return this.#run(async (trx) => {
      const published = sql`unnest(${documents}::uuid[], ${numbers}::int[]) as p (id, version)`;
      await sql`
        update bulkhead.document d set version = v.version, chunk_count = v.chunk_count, title = v.title,
          media_type = v.media_type, content_date = v.content_date, content_hash = v.content_hash, updated_at = now()
        from ${published} join bulkhead.document_version v on v.document_id = p.id and v.version = p.version
        where d.id = p.id and d.version < p.version`.execute(trx);
      await sql`delete from bulkhead.chunk c using ${published}
        where c.document_id = p.id and c.version < p.version`.execute(trx);
      await sql`delete from bulkhead.document_version v using ${published}
        where v.document_id = p.id and v.version < p.version`.execute(trx);
    });
  }

  /** Forgets what was claimed; what came since stays. */
  settle(claims: readonly OutboxClaim[]): Promise<void> {
    return this.#run(async (trx) => {
      await sql`delete from bulkhead.outbox o
        using unnest(${claims.map(({ document }) => document)}::uuid[], ${claims.map(({ upTo }) => upTo)}::bigint[])
          as s (document, up_to)
        where o.document_id = s.document and o.id <= s.up_to`.execute(trx);
    });
  }

  /** @param problem an error code, never a message with values in it */
  fail(claim: OutboxClaim, problem: string): Promise<void> {
    const wait = Math.min(2 ** claim.attempts, LONGEST_BACK_OFF_SECONDS);
    return this.#run(async (trx) => {
      await sql`update bulkhead.outbox set last_error = ${problem},
          not_before = case when attempts >= ${MOST_ATTEMPTS} then 'infinity' else now() + make_interval(secs => ${wait}) end
        where document_id = ${claim.document}::uuid and id <= ${claim.upTo}`.execute(trx);
    });
  }

  /** Milliseconds since the oldest work that nobody has tried yet was written: one document that fails is not a lag. */
  oldestAgeMs(): Promise<number> {
    return this.#run(async (trx) => {
      const { rows } = await sql<{ age: number | null }>`
        select bulkhead.ms(now()) - bulkhead.ms(min(created_at)) as age
        from bulkhead.outbox where attempts = 0`.execute(trx);
      return Math.max(0, rows[0]?.age ?? 0);
    });
  }

  #run<T>(work: (trx: Work) => Promise<T>): Promise<T> {
    return this.#database.unitOfWork('indexer', undefined, work);
  }
}

interface PointRow {
  readonly tenant: number;
  readonly chunk: number;
  readonly document: string;
  readonly version: number;
  readonly class: number;
  readonly embedding: Uint8Array;
  readonly terms: number[];
  readonly weights: number[];
}

function toPoint(row: PointRow): StoredPoint {
  return {
    tenant: tenantId(row.tenant),
    chunkId: chunkId(row.chunk),
    documentId: documentId(row.document),
    version: row.version,
    classId: classId(row.class),
    embedding: fromBytes(row.embedding),
    terms: { ids: row.terms, weights: row.weights },
  };
}
