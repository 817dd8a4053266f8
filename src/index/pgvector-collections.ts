import { sql } from 'kysely';
import { BulkheadError } from '../errors.ts';
import type { Database, Work } from '../store/database.ts';
import { fillingName, PgvectorIndex } from './pgvector-index.ts';
import type { EmbeddingSpace, Rebuild, VectorCollections, VectorIndex } from './vector-index.ts';

/** A dropped collection goes in steps of this many points, so that others have their turn. */
const POINTS_PER_STEP = 256;

/** The name of a generation whose place was taken, until it is gone. */
const replaced = (fingerprint: string) => `${fingerprint} (replaced)`;

export class PgvectorCollections implements VectorCollections {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  async open(space: EmbeddingSpace): Promise<VectorIndex> {
    const { dimension } = await this.#locked(async (work) => {
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
    return new PgvectorIndex(this.#database, space);
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
      await setLive(work, false, 'live', true);
      if ((await setLive(work, true, 'fingerprint', fingerprint)) === 0n)
        throw new BulkheadError('model_changed', `There is no index of ${fingerprint} to switch to.`);
    });
  }

  async rebuild(space: EmbeddingSpace): Promise<Rebuild> {
    const { fingerprint, dimension } = space;
    if ((await this.#dimensionOf(fingerprint)) !== dimension)
      throw new BulkheadError('model_changed', `There is no index of ${fingerprint} to rebuild.`);
    await this.drop(fillingName(fingerprint));
    await this.drop(replaced(fingerprint));
    const index = await this.open({ fingerprint: fillingName(fingerprint), dimension });
    const filling = await this.#locked((work) =>
      find(work, fillingName(fingerprint)).executeTakeFirstOrThrow(),
    );
    return {
      index,
      swap: async () => {
        await this.#locked((work) => swap(work, fingerprint, filling.id));
        await this.drop(replaced(fingerprint));
      },
      abandon: () => this.#drop(fillingName(fingerprint), filling.id),
    };
  }

  drop(fingerprint: string): Promise<void> {
    return this.#drop(fingerprint);
  }

  /** @param id absent = whichever has the name */
  async #drop(fingerprint: string, id?: number): Promise<void> {
    let left = true;
    while (left) left = await this.#locked((work) => dropStep(work, fingerprint, id));
  }

  #dimensionOf(fingerprint: string): Promise<number | undefined> {
    return this.#database.unitOfWork('indexer', undefined, async (work) => {
      const collection = await find(work, fingerprint).executeTakeFirst();
      return collection?.dimension;
    });
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

async function setLive(
  work: Work,
  live: boolean,
  column: 'live' | 'fingerprint',
  value: boolean | string,
): Promise<bigint> {
  const { numUpdatedRows } = await work
    .withSchema('bulkhead')
    .updateTable('index_collection')
    .set({ live })
    .where(column, '=', value)
    .executeTakeFirstOrThrow();
  return numUpdatedRows;
}

/** The names change places, and with them all that goes by a name: searches, and writers, which wait for this. */
async function swap(work: Work, fingerprint: string, filling: number): Promise<void> {
  const old = await find(work, fingerprint).executeTakeFirst();
  if ((await find(work, fillingName(fingerprint)).executeTakeFirst())?.id !== filling)
    throw new BulkheadError('conflict', 'This rebuild was given up for another one.');
  const rename = (from: string, to: string, live: boolean) =>
    work
      .withSchema('bulkhead')
      .updateTable('index_collection')
      .set({ fingerprint: to, live })
      .where('fingerprint', '=', from)
      .execute();
  await rename(fingerprint, replaced(fingerprint), false);
  await rename(fillingName(fingerprint), fingerprint, old?.live ?? false);
}

/** @returns whether anything may be left */
async function dropStep(work: Work, fingerprint: string, id: number | undefined): Promise<boolean> {
  const collection = await find(work, fingerprint).executeTakeFirst();
  if (collection === undefined || (id !== undefined && id !== collection.id)) return false;
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
