/**
 * The exact index in the database itself (docs/decisions/0004). Searches run as the role `retrieve`, which may
 * call three functions and read no index table; writes run as the role `indexer`.
 */
import { type RawBuilder, sql } from 'kysely';
import { BulkheadError, isBulkheadError } from '../errors.ts';
import {
  type ChunkId,
  type ClassId,
  chunkId,
  classId,
  type DocumentId,
  documentId,
  instant,
  type TenantId,
} from '../policy/ids.ts';
import type { VisibilityFilter } from '../policy/visibility-filter.ts';
import type { Database, Work } from '../store/database.ts';
import { DatabaseError } from '../store/database-error.ts';
import { classCondition } from './class-condition.ts';
import { readHits } from './pgvector-hit-text.ts';
import type {
  EmbeddingSpace,
  IndexedPoint,
  IndexPoint,
  PendingSearchRequest,
  SearchResult,
  VectorIndex,
} from './vector-index.ts';

/** The name of the generation that is filled to take a collection's place (`VectorCollections.rebuild`). */
export function fillingName(fingerprint: string): string {
  return `${fingerprint} (filling)`;
}

/** PGlite blocks the event loop for about a millisecond a point. */
const POINTS_PER_TRANSACTION = 32;

export class PgvectorIndex implements VectorIndex {
  readonly #database: Database;
  readonly #space: EmbeddingSpace;

  /** @param space `fingerprint` names the collection: a rebuilt one takes its predecessor's name */
  constructor(database: Database, space: EmbeddingSpace) {
    this.#database = database;
    this.#space = space;
  }

  async search(request: PendingSearchRequest): Promise<SearchResult> {
    const { tenant, limit } = request;
    const dense = await request.dense;
    this.#requireDimension(dense);
    const [found] = await this.#ask<{ hits: string | null }>(
      tenant,
      sql`select string_agg(concat_ws(' ', list, chunk_id, score), ';') as hits
        from bulkhead.search_chunks(${tenant}, ${this.#space.fingerprint}, ${classes(request.visible)},
          ${request.documents ? [...request.documents] : null}, ${vectorText(dense)}::public.vector,
          ${[...request.terms]}, ${limit})`,
    );
    return readHits(found?.hits ?? '');
  }

  async count(tenant: TenantId, visible: VisibilityFilter): Promise<number> {
    if (visible.kind === 'nothing') return 0;
    const rows = await this.#ask<{ chunks: number }>(
      tenant,
      sql`select bulkhead.count_chunks(${tenant}, ${this.#space.fingerprint}, ${classes(visible)}) as chunks`,
    );
    return rows[0]?.chunks ?? 0;
  }

  async locate(tenant: TenantId, chunks: readonly ChunkId[]): Promise<readonly IndexedPoint[]> {
    const rows = await this.#ask<PointRow>(
      tenant,
      sql`select chunk_id, document_id, version, class_id
        from bulkhead.locate_chunks(${tenant}, ${this.#space.fingerprint}, ${[...chunks]}) order by chunk_id`,
    );
    return rows.map(pointOf);
  }

  async upsert(points: readonly IndexPoint[]): Promise<void> {
    for (const { embedding } of points) this.#requireDimension(embedding);
    const distinct = [...new Map(points.map((point) => [point.chunkId, point])).values()];
    for (let start = 0; start < distinct.length; start += POINTS_PER_TRANSACTION) {
      const batch = distinct.slice(start, start + POINTS_PER_TRANSACTION);
      await this.#database.unitOfWork('indexer', undefined, async (work) => {
        for (const collection of await this.#holdCollections(work)) {
          await deletePostings(work, collection, batch);
          await insertVectors(collection, batch).execute(work);
          await insertPostings(collection, batch).execute(work);
        }
      });
    }
  }

  async moveDocument(tenant: TenantId, document: DocumentId, toClass: ClassId): Promise<void> {
    await this.#database.unitOfWork('indexer', undefined, (work) =>
      sql`with moved as (
          update bulkhead.index_vector set class_id = ${toClass}
          where tenant_id = ${tenant} and document_id = ${document} and class_id <> ${toClass}
          returning collection_id, chunk_id)
        update bulkhead.index_posting p set class_id = ${toClass} from moved m
        where p.chunk_id = m.chunk_id and p.collection_id = m.collection_id`.execute(work),
    );
  }

  async removeDocument(tenant: TenantId, document: DocumentId, before?: number): Promise<void> {
    await this.#database.unitOfWork('indexer', undefined, (work) =>
      sql`with removed as (
          delete from bulkhead.index_vector
          where tenant_id = ${tenant} and document_id = ${document}
            and (${before ?? null}::int is null or version < ${before ?? null}::int)
          returning collection_id, chunk_id)
        delete from bulkhead.index_posting p using removed r
        where p.chunk_id = r.chunk_id and p.collection_id = r.collection_id`.execute(work),
    );
  }

  async removePoints(tenant: TenantId, chunks: readonly ChunkId[]): Promise<void> {
    await this.#database.unitOfWork('indexer', undefined, (work) =>
      sql`with removed as (
          delete from bulkhead.index_vector v using bulkhead.index_collection c
          where c.fingerprint = ${this.#space.fingerprint} and v.collection_id = c.id
            and v.tenant_id = ${tenant} and v.chunk_id = any (${[...chunks]}::bigint[])
          returning v.collection_id, v.chunk_id)
        delete from bulkhead.index_posting p using removed r
        where p.chunk_id = r.chunk_id and p.collection_id = r.collection_id`.execute(work),
    );
  }

  async listPoints(
    tenant: TenantId,
    after: ChunkId | undefined,
    limit: number,
  ): Promise<readonly IndexedPoint[]> {
    const rows = await this.#database.unitOfWork('indexer', undefined, (work) =>
      work
        .withSchema('bulkhead')
        .selectFrom('index_vector')
        .select(['chunk_id', 'document_id', 'version', 'class_id'])
        .where('collection_id', '=', (collection) =>
          collection
            .selectFrom('index_collection')
            .select('id')
            .where('fingerprint', '=', this.#space.fingerprint),
        )
        .where('tenant_id', '=', tenant)
        .$if(after !== undefined, (query) => query.where('chunk_id', '>', after ?? 0))
        .orderBy('chunk_id')
        .limit(limit)
        .execute(),
    );
    return rows.map(pointOf);
  }

  /** One statement as the role `retrieve`, for this tenant and for no principal. */
  async #ask<Row>(tenant: TenantId, statement: RawBuilder<unknown>): Promise<readonly Row[]> {
    const context = {
      tenant,
      principals: [],
      actor: undefined,
      actorPrincipals: [],
      now: instant(0),
      maxRank: -1,
    };
    try {
      return (await this.#database.statement('retrieve', context, statement)) as readonly Row[];
    } catch (error) {
      throw toIndexError(error);
    }
  }

  /**
   * Keeps the collection from being dropped or replaced until the transaction ends; with it, the generation that is
   * being filled in its stead.
   */
  async #holdCollections(work: Work): Promise<readonly number[]> {
    const { fingerprint } = this.#space;
    const found = await work
      .withSchema('bulkhead')
      .selectFrom('index_collection')
      .select(['id', 'fingerprint'])
      .where('fingerprint', 'in', [fingerprint, fillingName(fingerprint)])
      .orderBy('id')
      .forKeyShare()
      .execute();
    if (!found.some((collection) => collection.fingerprint === fingerprint))
      throw new BulkheadError('model_changed', `The index of ${fingerprint} was dropped.`);
    return found.map(({ id }) => id);
  }

  #requireDimension(embedding: Float32Array): void {
    const { dimension, fingerprint } = this.#space;
    if (embedding.length !== dimension)
      throw new BulkheadError(
        'model_changed',
        `A vector of ${embedding.length} numbers does not belong to ${fingerprint}, which has ${dimension}.`,
      );
  }
}

interface PointRow {
  readonly chunk_id: number;
  readonly document_id: string;
  readonly class_id: number;
  readonly version: number;
}

function pointOf(row: PointRow): IndexedPoint {
  return {
    chunkId: chunkId(row.chunk_id),
    documentId: documentId(row.document_id),
    version: row.version,
    classId: classId(row.class_id),
  };
}

/** @throws BulkheadError `internal` for `nothing`, which the type excludes: an empty list must never be sent */
function classes(visible: VisibilityFilter): RawBuilder<unknown> {
  if (visible.kind === 'nothing')
    throw new BulkheadError('internal', 'A search was asked for a caller who may read nothing.');
  const { from, to, ids, mask } = classCondition(visible);
  return sql`${from}::int[], ${to}::int[], ${ids}::int[], ${mask}::bytea`;
}

/** Asks first which points exist: most are new, and a delete that finds nothing still reads the postings. */
async function deletePostings(work: Work, collection: number, batch: readonly IndexPoint[]): Promise<void> {
  const ids = batch.map((point) => point.chunkId);
  const { rows } = await sql<{ chunk_id: number }>`select chunk_id from bulkhead.index_vector
    where collection_id = ${collection} and chunk_id = any (${ids}::bigint[])`.execute(work);
  if (rows.length === 0) return;
  await sql`delete from bulkhead.index_posting
    where collection_id = ${collection} and chunk_id = any (${rows.map((row) => row.chunk_id)}::bigint[])`.execute(
    work,
  );
}

function insertVectors(collection: number, batch: readonly IndexPoint[]): RawBuilder<unknown> {
  return sql`insert into bulkhead.index_vector as v
      (collection_id, chunk_id, tenant_id, class_id, document_id, version, embedding)
    select ${collection}::smallint, chunk, tenant, class, document, version, embedding::public.vector
    from unnest(${batch.map((point) => point.chunkId)}::bigint[], ${batch.map((point) => point.tenant)}::int[],
      ${batch.map((point) => point.classId)}::int[], ${batch.map((point) => point.documentId)}::uuid[],
      ${batch.map((point) => point.version)}::int[], ${batch.map((point) => vectorText(point.embedding))}::text[])
      as t (chunk, tenant, class, document, version, embedding)
    on conflict (chunk_id, collection_id) do update set tenant_id = excluded.tenant_id, class_id = excluded.class_id,
      document_id = excluded.document_id, version = excluded.version, embedding = excluded.embedding`;
}

/** Sorted by term: neighbours in the index are then written together. */
function insertPostings(collection: number, batch: readonly IndexPoint[]): RawBuilder<unknown> {
  const owners = batch.flatMap((point) => Array.from(point.terms.ids, () => point));
  return sql`insert into bulkhead.index_posting (collection_id, tenant_id, term, class_id, chunk_id, weight)
    select ${collection}::smallint, tenant, term, class, chunk, weight
    from unnest(${owners.map((point) => point.tenant)}::int[],
      ${batch.flatMap((point) => Array.from(point.terms.ids))}::int[], ${owners.map((point) => point.classId)}::int[],
      ${owners.map((point) => point.chunkId)}::bigint[], ${batch.flatMap((point) => Array.from(point.terms.weights))}::real[])
      as t (tenant, term, class, chunk, weight)
    order by term`;
}

function vectorText(embedding: Float32Array): string {
  return `[${embedding.join(',')}]`;
}

function toIndexError(error: unknown): BulkheadError {
  if (isBulkheadError(error) && error.code !== 'database_unavailable') return error;
  if (error instanceof DatabaseError && error.sqlState === '55000')
    return new BulkheadError('model_changed', 'The live index belongs to another embedding model.', {
      cause: error,
    });
  return new BulkheadError('index_unavailable', 'The index could not be searched.', {
    retryAfterSeconds: 2,
    cause: error,
  });
}
