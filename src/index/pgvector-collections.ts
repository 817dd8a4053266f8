import { sql } from 'kysely';
import { BulkheadError } from '../errors.ts';
import type { Database, Work } from '../store/database.ts';
import { PgvectorIndex } from './pgvector-index.ts';
import type { EmbeddingSpace, VectorCollections, VectorIndex } from './vector-index.ts';

/** A dropped collection goes in steps of this many points, so that others have their turn. */
const POINTS_PER_STEP = 256;

export class PgvectorCollections implements VectorCollections {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  async open(space: EmbeddingSpace): Promise<VectorIndex> {
    const { id, dimension } = await this.#locked(async (work) => {
      await sql`insert into bulkhead.index_collection (fingerprint, dimension, live)
        select ${space.fingerprint}, ${space.dimension}::int, not exists (select 1 from bulkhead.index_collection where live)
        on conflict (fingerprint) do nothing`.execute(work);
      return find(work, space.fingerprint).executeTakeFirstOrThrow();
    });
    if (dimension !== space.dimension)
      throw new BulkheadError(
        'model_changed',
        `The index of ${space.fingerprint} has ${dimension} dimensions, not ${space.dimension}.`,
      );
    return new PgvectorIndex(this.#database, id, space);
  }

  async live(): Promise<string | undefined> {
    return this.#database.unitOfWork('indexer', undefined, async (work) => {
      const row = await work
        .withSchema('bulkhead')
        .selectFrom('index_collection')
        .select('fingerprint')
        .where('live', '=', true)
        .executeTakeFirst();
      return row?.fingerprint;
    });
  }

  async switchTo(fingerprint: string): Promise<void> {
    await this.#locked(async (work) => {
      const collections = work.withSchema('bulkhead');
      await collections
        .updateTable('index_collection')
        .set({ live: false })
        .where('live', '=', true)
        .execute();
      const { numUpdatedRows } = await collections
        .updateTable('index_collection')
        .set({ live: true })
        .where('fingerprint', '=', fingerprint)
        .executeTakeFirstOrThrow();
      if (numUpdatedRows === 0n)
        throw new BulkheadError('model_changed', `There is no index of ${fingerprint} to switch to.`);
    });
  }

  async drop(fingerprint: string): Promise<void> {
    let left = true;
    while (left) left = await this.#locked((work) => dropStep(work, fingerprint));
  }

  /** Changes to the list of collections are made one at a time; searches go on meanwhile. */
  #locked<T>(work: (work: Work) => Promise<T>): Promise<T> {
    return this.#database.unitOfWork('indexer', undefined, async (trx) => {
      await sql`lock table bulkhead.index_collection in share row exclusive mode`.execute(trx);
      return work(trx);
    });
  }
}

function find(work: Work, fingerprint: string) {
  return work
    .withSchema('bulkhead')
    .selectFrom('index_collection')
    .select(['id', 'dimension', 'live'])
    .where('fingerprint', '=', fingerprint);
}

/** @returns whether anything may be left */
async function dropStep(work: Work, fingerprint: string): Promise<boolean> {
  const collection = await find(work, fingerprint).executeTakeFirst();
  if (collection === undefined) return false;
  if (collection.live) throw new BulkheadError('conflict', `The index of ${fingerprint} is in use.`);
  const { rows } = await sql<{ chunk_id: number }>`with removed as (
      delete from bulkhead.index_vector where collection_id = ${collection.id} and chunk_id in (
        select chunk_id from bulkhead.index_vector where collection_id = ${collection.id} limit ${POINTS_PER_STEP})
      returning chunk_id),
    cleared as (delete from bulkhead.index_posting p using removed r
      where p.chunk_id = r.chunk_id and p.collection_id = ${collection.id})
    select chunk_id from removed`.execute(work);
  if (rows.length > 0) return true;
  await work.withSchema('bulkhead').deleteFrom('index_collection').where('id', '=', collection.id).execute();
  return false;
}
