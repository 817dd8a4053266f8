/**
 * `npm run test:contract`: the contract suites, the property tests and the deletion of enforcers, on each pair of stores:
 * PGlite with its own index; PostgreSQL (DATABASE_URL, whose login is the superuser `postgres`, or else a server
 * of this machine) with Qdrant (QDRANT_URL and QDRANT_API_KEY, or else a `qdrant` of this machine). BULKHEAD_TEST_STORES
 * set to `pglite+pgvector` or `postgres+qdrant` runs that pair alone.
 */
import { spawn } from 'node:child_process';
import { migratePostgres } from '../../src/store/open-postgres.ts';
import { inDatabase, TEMPLATE } from '../helpers/database.ts';
import { at, findPostgres, runAs, startPostgres } from '../helpers/postgres-server.ts';
import { HOW_TO_GET_QDRANT, openQdrantServer } from '../helpers/qdrant-server.ts';

/** Arguments narrow it down, as they do for vitest. */
const WHAT = process.argv.length > 2 ? process.argv.slice(2) : ['test/contract', 'test/property'];

const PAIRS: readonly (readonly [stores: string, name: string, run: () => Promise<string>])[] = [
  [
    'pglite+pgvector',
    'PGlite + pgvector',
    () => verdict({ BULKHEAD_TEST_STORES: 'pglite+pgvector' }, 'test/contract/qdrant*'),
  ],
  ['postgres+qdrant', 'PostgreSQL + Qdrant', onServers],
];
const wanted = process.env.BULKHEAD_TEST_STORES;

const outcomes: string[] = [];
for (const [stores, name, run] of PAIRS)
  if (wanted === undefined || wanted === stores) outcomes.push(`${name}: ${await run()}`);
process.stdout.write(`\n${outcomes.join('\n')}\n`);
process.exitCode = outcomes.some((line) => line.endsWith('failed')) ? 1 : 0;

async function onServers(): Promise<string> {
  const postgres = await openPostgresServer();
  if (postgres === undefined) return 'skipped: there is no PostgreSQL server (DATABASE_URL)';
  try {
    const qdrant = await openQdrantServer();
    if (qdrant === undefined) return `skipped: ${HOW_TO_GET_QDRANT}`;
    try {
      const environment = {
        BULKHEAD_TEST_STORES: 'postgres+qdrant',
        DATABASE_URL: postgres.url,
        QDRANT_URL: qdrant.url,
        ...(qdrant.key !== undefined && { QDRANT_API_KEY: qdrant.key }),
      };
      return await verdict(environment, 'test/contract/pgvector*');
    } finally {
      await qdrant.close();
    }
  } finally {
    await postgres.close();
  }
}

/** @param without tests of the other index */
async function verdict(
  environment: Readonly<Record<string, string>>,
  without: string,
): Promise<'passed' | 'failed'> {
  const args = ['vitest', 'run', ...WHAT, '--exclude', without];
  const child = spawn('npx', args, { env: { ...process.env, ...environment }, stdio: 'inherit' });
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  return code === 0 ? 'passed' : 'failed';
}

/** With the template that every test's database is a copy of. */
async function openPostgresServer(): Promise<{ url: string; close(): Promise<void> } | undefined> {
  const given = process.env.DATABASE_URL;
  if (given !== undefined) {
    await dropAll(given);
    await makeTemplate(given);
    return { url: given, close: () => dropAll(given) };
  }
  const programs = await findPostgres();
  if (programs === undefined) return undefined;
  const server = await startPostgres(programs);
  const url = inDatabase((await server.createDatabase())(), 'postgres');
  await makeTemplate(url);
  return { url, close: () => server.stop() };
}

async function makeTemplate(url: string): Promise<void> {
  await runAs(url, `create database ${TEMPLATE}`);
  await migratePostgres(at(inDatabase(url, TEMPLATE), { withVectorIndex: false }));
}

async function dropAll(url: string): Promise<void> {
  const found = await runAs<{ name: string }>(
    url,
    `select datname as name from pg_database where starts_with(datname, '${TEMPLATE}')`,
  );
  for (const { name } of found) await runAs(url, `drop database ${name} with (force)`);
}
