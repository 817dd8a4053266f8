import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Kysely, type Migration, type MigrationProvider, Migrator, sql } from 'kysely';
import { BulkheadError } from '../errors.ts';
import { DatabaseError, toDatabaseError } from './database-error.ts';
import type { Schema } from './schema.ts';

const FOLDER = join(import.meta.dirname, '../../migrations');
/** What only an index in the database needs; its migrations have their place among the numbers of the others. */
const VECTOR_FOLDER = join(FOLDER, 'pgvector');

export interface MigrationOptions {
  /** The index is in the database too: needs pgvector. */
  readonly withVectorIndex: boolean;
}

/** A statement that waits longer for a table in use fails, so that readers never queue up behind a migration. */
const LOCK_TIMEOUT = '3s';

/** Numbered SQL files, run in one transaction under kysely's advisory lock. */
class SqlFiles implements MigrationProvider {
  readonly #paths: ReadonlyMap<string, string>;

  constructor(paths: ReadonlyMap<string, string>) {
    this.#paths = paths;
  }

  async getMigrations(): Promise<Record<string, Migration>> {
    const migrations: Record<string, Migration> = {};
    for (const [name, path] of this.#paths) {
      const statements = await readFile(path, 'utf8');
      migrations[name] = {
        // kysely writes its own bookkeeping after each file, as the role that logged in
        up: async (db) => {
          await sql
            .raw(
              `set local lock_timeout = '${LOCK_TIMEOUT}';\n${statements}\n;reset role; reset search_path;`,
            )
            .execute(db);
        },
      };
    }
    return migrations;
  }
}

/**
 * Brings the schema to the newest version and returns the names of the migrations that ran. Of several processes, one
 * does it and the others wait; one that is killed leaves nothing.
 * @throws BulkheadError `internal` naming the migration that failed, `database_unavailable` when a table was in use for
 *   too long, `store_unsafe` for a schema of a later version; none of the migrations is then applied
 */
export async function migrateToLatest(
  db: Kysely<Schema>,
  options: MigrationOptions,
): Promise<readonly string[]> {
  const files = await filesFor(await appliedMigrations(db), options);
  // what runs only with an index in the database may come after later ones
  const migrator = new Migrator({ db, provider: new SqlFiles(files), allowUnorderedMigrations: true });
  const { error, results } = await migrator.migrateToLatest();
  if (error !== undefined) {
    const failed = results?.find((result) => result.status === 'Error')?.migrationName;
    throw toMigrationError(error, failed ?? 'the first migration');
  }
  if (results !== undefined && results.length > 0)
    // a process that may not migrate still looks whether it has to wait for somebody who may
    await sql`grant select on kysely_migration to public`.execute(db);
  return (results ?? []).map((result) => result.migrationName);
}

/** Names of the migrations not yet applied; those of a later version of this program are no concern of this one. */
export async function pendingMigrations(
  db: Kysely<Schema>,
  options: MigrationOptions,
): Promise<readonly string[]> {
  const applied = await appliedMigrations(db);
  const files = await filesFor(applied, options);
  return [...files.keys()].filter((name) => !applied.has(name));
}

/** Of this version, and in order; those of a later one, which this one knows nothing of, are refused. */
async function filesFor(
  applied: ReadonlySet<string>,
  { withVectorIndex }: MigrationOptions,
): Promise<ReadonlyMap<string, string>> {
  const vector = await sqlFilesIn(VECTOR_FOLDER);
  const wanted = vector.filter(([name]) => withVectorIndex || applied.has(name));
  const all = [...(await sqlFilesIn(FOLDER)), ...wanted];
  return new Map(all.sort(([a], [b]) => (a < b ? -1 : 1)));
}

async function sqlFilesIn(folder: string): Promise<readonly (readonly [name: string, path: string])[]> {
  const files = (await readdir(folder)).filter((name) => name.endsWith('.sql'));
  return files.map((file) => [file.replace(/\.sql$/, ''), join(folder, file)]);
}

async function appliedMigrations(db: Kysely<Schema>): Promise<ReadonlySet<string>> {
  const { rows: tables } = await sql`select 1 from pg_tables where tablename = 'kysely_migration'`.execute(
    db,
  );
  if (tables.length === 0) return new Set();
  const { rows } = await sql<{ name: string }>`select name from kysely_migration`.execute(db);
  return new Set(rows.map(({ name }) => name));
}

function toMigrationError(thrown: unknown, failed: string): BulkheadError {
  const cause = toDatabaseError(thrown);
  if (cause instanceof DatabaseError && cause.sqlState === '55P03')
    return new BulkheadError(
      'database_unavailable',
      `The database schema is as it was: ${failed} waited too long for a table in use. Run it again.`,
      { cause },
    );
  if (cause instanceof Error && cause.message.startsWith('corrupted migrations'))
    return new BulkheadError(
      'store_unsafe',
      'The database schema is of a later version than this program: it was not changed.',
      { cause },
    );
  return new BulkheadError(
    'internal',
    `The database schema could not be brought up to date: ${failed} failed.`,
    { cause },
  );
}
