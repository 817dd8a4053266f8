/** A database and an index that follows it: the embedded pair, or PostgreSQL and Qdrant. */
import { randomBytes } from 'node:crypto';
import { PgvectorCollections } from '../../src/index/pgvector-collections.ts';
import { openQdrant } from '../../src/index/qdrant-collections.ts';
import type { VectorCollections } from '../../src/index/vector-index.ts';
import type { Database } from '../../src/store/database.ts';
import { ON_SERVERS, openTestDatabase } from './database.ts';
import { openQdrantServer, removeCollections } from './qdrant-server.ts';

export interface TestStores {
  readonly database: Database;
  readonly collections: VectorCollections;
  /** The database is closed by whoever asked for it. */
  closeIndex(): Promise<void>;
}

/** Fresh and empty, as `openTestDatabase` chooses. */
export async function openTestStores(): Promise<TestStores> {
  const database = await openTestDatabase();
  return ON_SERVERS ? withQdrant(database) : withPgvector(database);
}

export function withPgvector(database: Database): TestStores {
  return { database, collections: new PgvectorCollections(database), closeIndex: async () => {} };
}

/** Every one has names of its own in the index at QDRANT_URL, and takes them away when it is closed. */
async function withQdrant(database: Database): Promise<TestStores> {
  const server = await openQdrantServer();
  if (server === undefined) throw new Error('QDRANT_URL is not set; run: npm run test:contract');
  const prefix = `test-${randomBytes(8).toString('hex')}`;
  const collections = await openQdrant({
    url: server.url,
    key: server.key,
    ca: undefined,
    timeoutMs: 20_000,
    quantization: 'none',
    canWrite: true,
    calibration: () => undefined,
    prefix,
  });
  return {
    database,
    collections,
    closeIndex: async () => {
      collections.close();
      await removeCollections(server, prefix);
      await server.close();
    },
  };
}
