import { join } from 'node:path';
import { PGlite, types } from '@electric-sql/pglite';
import { vector } from '@electric-sql/pglite-pgvector';
import { Kysely, PostgresDialect, type PostgresPool, sql } from 'kysely';
import { type Connections, Database, type Engine } from './database.ts';
import { LogFiles } from './log-files.ts';
import { migrateToLatest } from './migrator.ts';
import { type Pglite, pglitePool, pgliteTransaction } from './pglite-pool.ts';
import type { Schema } from './schema.ts';

export interface EmbeddedOptions {
  /** Folder of the database files; absent = in memory, for tests. */
  readonly folder?: string | undefined;
  /** A data folder to start from, as `dumpTemplate` made it. */
  readonly template?: Blob | undefined;
}

/**
 * Opens PGlite in this process, brings its schema up to date, then gives up the superuser for good: from here
 * on a statement without a role is refused by the database itself.
 */
export async function openEmbedded(options: EmbeddedOptions): Promise<Database> {
  return databaseOn(await startPglite(options), options.folder);
}

/** PGlite with its schema up to date and without the superuser. */
export async function startPglite(options: EmbeddedOptions): Promise<PGlite> {
  const pglite = await createPglite(options);
  const kysely = new Kysely<Schema>({ dialect: new PostgresDialect({ pool: pglitePool(pglite) }) });
  await migrateToLatest(kysely, { withVectorIndex: true });
  await pglite.exec(MAINTENANCE_ROLE);
  await pglite.exec('set session authorization bulkhead_app');
  return pglite;
}

/** The database that a PGlite is, once started; it closes it too. */
export function databaseOn(pglite: Pglite, folder?: string): Database {
  const pool = pglitePool(pglite);
  const kysely = new Kysely<Schema>({ dialect: new PostgresDialect({ pool }) });
  return new Database(embeddedEngine(pglite, pool, kysely, folder));
}

/** A migrated, empty data folder as one blob: tests start from it in a third of the time. */
export async function dumpTemplate(): Promise<Blob> {
  const pglite = await createPglite({});
  const kysely = new Kysely<Schema>({ dialect: new PostgresDialect({ pool: pglitePool(pglite) }) });
  await migrateToLatest(kysely, { withVectorIndex: true });
  const blob = await pglite.dumpDataDir('none');
  await pglite.close();
  return blob;
}

async function createPglite(options: EmbeddedOptions): Promise<PGlite> {
  return PGlite.create({
    ...(options.folder === undefined ? {} : { dataDir: options.folder }),
    ...(options.template === undefined ? {} : { loadDataDir: options.template }),
    extensions: { vector },
    // as `pg` does it in this project: bigint as number (all of ours stay below 2^53)
    parsers: { [types.INT8]: (text: string) => Number(text) },
  });
}

// PGlite runs no background writer: what a server does by itself, this role may do, and nothing else.
const MAINTENANCE_ROLE = `
do $$ begin
  if not exists (select 1 from pg_roles where rolname = 'bulkhead_maintenance') then
    create role bulkhead_maintenance nologin inherit;
    grant pg_checkpoint, pg_maintain to bulkhead_maintenance;
    grant usage on schema bulkhead to bulkhead_maintenance;
    grant bulkhead_maintenance to bulkhead_app;
  end if;
end $$`;

function embeddedEngine(
  pglite: Pglite,
  pool: PostgresPool,
  kysely: Kysely<Schema>,
  folder: string | undefined,
): Engine {
  const logFiles = folder === undefined ? undefined : new LogFiles(join(folder, 'pg_wal'));
  const connections: Connections = {
    kysely,
    transact: (enter, statement) => pgliteTransaction(pool, enter, statement),
  };
  return {
    kind: 'pglite',
    limits: {},
    as: () => connections,
    flush: async () => logFiles?.sync(),
    maintain: () =>
      kysely.connection().execute(async (connection) => {
        await sql`set role bulkhead_maintenance`.execute(connection);
        try {
          await sql`vacuum (analyze)`.execute(connection);
          await sql`checkpoint`.execute(connection);
        } finally {
          await sql`reset role`.execute(connection);
        }
      }),
    close: async () => {
      await kysely.destroy();
      await pglite.close();
    },
  };
}
