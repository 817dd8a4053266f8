import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { inject } from 'vitest';
import type { Database } from '../../src/store/database.ts';
import { openEmbedded } from '../../src/store/open-embedded.ts';
import { openPostgres } from '../../src/store/open-postgres.ts';
import { at, runAs } from './postgres-server.ts';

/** Which stores the contract and property tests run on: `postgres+qdrant` is set by test/contract/run.ts. */
export const STORES = process.env.BULKHEAD_TEST_STORES ?? 'pglite+pgvector';
export const ON_SERVERS = STORES === 'postgres+qdrant';

/** On a server: migrated and empty, without the vector extension. Databases begin with its name. */
export const TEMPLATE = 'bulkhead_test';

/** A fresh, empty, migrated database: in memory, or a new one on the server. The caller closes it. */
export async function openTestDatabase(): Promise<Database> {
  if (ON_SERVERS) return openOnServer();
  const template = new Blob([new Uint8Array(await readFile(inject('databaseTemplate')))]);
  return openEmbedded({ template });
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
