import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Kysely, type Migration, type MigrationProvider, Migrator, sql } from 'kysely';
import { BulkheadError } from '../errors.ts';
import type { Schema } from './schema.ts';

const FOLDER = join(import.meta.dirname, '../../migrations');

/** Numbered SQL files, run in one transaction under kysely's advisory lock. */
class SqlFiles implements MigrationProvider {
  async getMigrations(): Promise<Record<string, Migration>> {
    const files = (await readdir(FOLDER)).filter((name) => name.endsWith('.sql')).sort();
    const migrations: Record<string, Migration> = {};
    for (const file of files) {
      const statements = await readFile(join(FOLDER, file), 'utf8');
      migrations[file.replace(/\.sql$/, '')] = {
        // kysely writes its own bookkeeping after each file, as the role that logged in
        up: async (db) => {
          await sql.raw(`${statements}\n;reset role; reset search_path;`).execute(db);
        },
      };
    }
    return migrations;
  }
}

/**
 * Brings the schema to the newest version and returns the names of the migrations that ran.
 * @throws BulkheadError `internal` naming the migration that failed; none of them is then applied
 */
export async function migrateToLatest(db: Kysely<Schema>): Promise<readonly string[]> {
  const migrator = new Migrator({ db, provider: new SqlFiles() });
  const { error, results } = await migrator.migrateToLatest();
  if (error !== undefined) {
    const failed =
      results?.find((result) => result.status === 'Error')?.migrationName ?? 'the first migration';
    throw new BulkheadError(
      'internal',
      `The database schema could not be brought up to date: ${failed} failed.`,
      {
        cause: error,
      },
    );
  }
  if (results !== undefined && results.length > 0)
    // a process that may not migrate still looks whether it has to wait for somebody who may
    await sql`grant select on kysely_migration to bulkhead_app`.execute(db);
  return (results ?? []).map((result) => result.migrationName);
}

/** Names of the migrations not yet applied. */
export async function pendingMigrations(db: Kysely<Schema>): Promise<readonly string[]> {
  const all = await new Migrator({ db, provider: new SqlFiles() }).getMigrations();
  return all.filter((migration) => migration.executedAt === undefined).map((migration) => migration.name);
}
