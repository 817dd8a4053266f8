import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { inject } from 'vitest';
import type { Database } from '../../src/store/database.ts';
import { databaseOn, startPglite } from '../../src/store/open-embedded.ts';
import { openPostgres } from '../../src/store/open-postgres.ts';
import type { Pglite } from '../../src/store/pglite-pool.ts';
import { at, runAs } from './postgres-server.ts';
import { rememberState } from './rewind.ts';

/** Which stores the contract and property tests run on: `postgres+qdrant` is set by test/contract/run.ts. */
export const STORES = process.env.BULKHEAD_TEST_STORES ?? 'pglite+pgvector';
export const ON_SERVERS = STORES === 'postgres+qdrant';

/** On a server: migrated and empty, without the vector extension. Databases begin with its name. */
export const TEMPLATE = 'bulkhead_test';

/** A fresh, empty, migrated database: in memory, or a new one on the server. The caller closes it. */
export async function openTestDatabase(): Promise<Database> {
  if (ON_SERVERS) return openOnServer();
  const engine = idle.pop() ?? (await startEngine());
  return databaseOn(untilClosed(engine));
}

/** Started on the template, and taken back to it whenever its database is closed. */
interface Engine {
  readonly pglite: Pglite;
  readonly rewind: () => void;
}

/** Of this process, for the next test. */
const idle: Engine[] = [];
const MOST_IDLE = 2;

async function startEngine(): Promise<Engine> {
  const template = new Blob([new Uint8Array(await readFile(inject('databaseTemplate')))]);
  const pglite = await startPglite({ template });
  // plpgsql is loaded by now; what the schema uses beside it no statement may load later
  await pglite.exec(
    "set session authorization postgres; load 'vector'; set session authorization bulkhead_app",
  );
  return { pglite, rewind: rememberState(pglite) };
}

/** Refuses everything once it is closed, as PGlite does. */
function untilClosed(engine: Engine): Pglite {
  const { pglite, rewind } = engine;
  const underWay = new Set<Promise<unknown>>();
  let closed = false;
  const run = async <T>(statement: () => Promise<T>): Promise<T> => {
    if (closed) throw new Error('PGlite is closed');
    const result = statement();
    underWay.add(result);
    return result.finally(() => underWay.delete(result));
  };
  return {
    query: (...args) => run(() => pglite.query(...args)) as never,
    exec: (...args) => run(() => pglite.exec(...args)),
    close: async () => {
      if (closed) throw new Error('PGlite is closed');
      closed = true;
      await Promise.allSettled(underWay);
      if (idle.length >= MOST_IDLE) return pglite.close();
      rewind();
      idle.push(engine);
    },
  };
}

/** Removed by test/contract/run.ts in the end. */
async function openOnServer(): Promise<Database> {
  const server = process.env.DATABASE_URL;
  if (server === undefined) throw new Error('DATABASE_URL is not set; run: npm run test:contract');
  const name = `${TEMPLATE}_${randomBytes(8).toString('hex')}`;
  await runAs(server, `create database ${name} template ${TEMPLATE}`);
  return openPostgres(at(inDatabase(server, name), { poolSize: 5, withVectorIndex: false }));
}

export function inDatabase(url: string, database: string): string {
  const address = new URL(url);
  address.pathname = `/${database}`;
  return address.href;
}
