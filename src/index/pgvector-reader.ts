import type { Database } from '../store/database.ts';
import { PgvectorIndex } from './pgvector-index.ts';
import type { EmbeddingSpace, VectorCollections, VectorIndex } from './vector-index.ts';

/** The collections as a process sees them that only searches: it makes none, changes none and lists no points. */
export class PgvectorReader implements Pick<VectorCollections, 'open' | 'live'> {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** Whether or not it is there yet: until it is, searching it is refused. */
  async open(space: EmbeddingSpace): Promise<VectorIndex> {
    return new PgvectorIndex(this.#database, space);
  }

  live(): Promise<string | undefined> {
    return this.#database.unitOfWork('retrieve', undefined, async (work) => {
      const row = await work
        .withSchema('bulkhead')
        .selectFrom('index_collection')
        .select('fingerprint')
        .where('live', '=', true)
        .executeTakeFirst();
      return row?.fingerprint;
    });
  }
}
