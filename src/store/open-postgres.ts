import { Kysely, PostgresDialect, sql } from 'kysely';
import pg from 'pg';
import { BulkheadError } from '../errors.ts';
import { Database, type Engine } from './database.ts';
import { migrateToLatest, pendingMigrations } from './migrator.ts';
import type { Schema } from './schema.ts';

export interface PostgresOptions {
  readonly url: string;
  readonly poolSize: number;
}

/**
 * Connects to a PostgreSQL server (15 or newer). Each connection gives up a superuser's power before its
 * first statement; a schema that is not up to date, or a server that acknowledges before writing, is refused.
 */
export async function openPostgres(options: PostgresOptions): Promise<Database> {
  const kysely = connect(options, dropPower);
  const pending = await withOwner(options, pendingMigrations);
  if (pending.length > 0)
    throw new BulkheadError(
      'store_unsafe',
      `The database schema lacks ${pending.join(', ')}. Run: bulkhead migrate`,
    );
  await refuseLostWrites(kysely);
  return new Database(postgresEngine(kysely));
}

/** Brings the schema up to date; the URL's role must be allowed to create roles and extensions. */
export function migratePostgres(options: PostgresOptions): Promise<readonly string[]> {
  return withOwner(options, migrateToLatest);
}

async function withOwner<T>(options: PostgresOptions, work: (db: Kysely<Schema>) => Promise<T>): Promise<T> {
  const kysely = connect({ ...options, poolSize: 2 });
  try {
    return await work(kysely);
  } finally {
    await kysely.destroy();
  }
}

function connect(
  options: PostgresOptions,
  prepare: (client: pg.ClientBase) => Promise<void> = async () => {},
): Kysely<Schema> {
  const pool = new pg.Pool({
    connectionString: options.url,
    max: options.poolSize,
    connectionTimeoutMillis: 5_000,
    statement_timeout: 60_000,
    idle_in_transaction_session_timeout: 60_000,
    types: { getTypeParser },
    // here, and not by kysely: where this fails, the connection is closed and its place in the pool is free again
    onConnect: async (client) => {
      // a connection cut between two statements tells its client alone; unheard, it would end the process
      client.on('error', () => {});
      await prepare(client);
    },
  });
  // an idle connection that breaks is replaced on the next use; without a listener it would end the process
  pool.on('error', () => {});
  return new Kysely<Schema>({ dialect: new PostgresDialect({ pool }) });
}

/** bigint as number, as PGlite is told to do: all of ours stay below 2^53. */
const getTypeParser: typeof pg.types.getTypeParser = ((oid: number, format?: 'text' | 'binary') =>
  oid === pg.types.builtins.INT8 && format !== 'binary'
    ? (text: string) => Number(text)
    : pg.types.getTypeParser(oid, format as 'text')) as never;

async function dropPower(client: pg.ClientBase): Promise<void> {
  const { rows } = await client.query<{ setting: string }>(
    "select current_setting('is_superuser') as setting",
  );
  if (rows[0]?.setting === 'on') await client.query('set session authorization bulkhead_app');
}

async function refuseLostWrites(kysely: Kysely<Schema>): Promise<void> {
  const { rows } = await sql<{ mode: string }>`select current_setting('synchronous_commit') as mode`.execute(
    kysely,
  );
  if (rows[0]?.mode === 'off')
    throw new BulkheadError(
      'store_unsafe',
      'synchronous_commit is off: a receipt could be lost after its release. Turn it on.',
    );
}

function postgresEngine(kysely: Kysely<Schema>): Engine {
  return {
    kind: 'postgres',
    kysely,
    flush: async () => {},
    maintain: async () => {},
    close: () => kysely.destroy(),
  };
}
