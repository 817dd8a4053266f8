/** What a server must be before a process works on it; each fault is one line. */
import { type Kysely, sql } from 'kysely';
import { BulkheadError } from '../errors.ts';
import { type MigrationOptions, pendingMigrations } from './migrator.ts';
import type { Schema } from './schema.ts';

const OLDEST_SERVER = 150_000;
/** Milliseconds between this process's clock and the server's. */
const NOTABLE_SKEW_MS = 2_000;
const WORST_SKEW_MS = 5_000;

export interface CheckOptions extends MigrationOptions {
  readonly production: boolean;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** Told of what is not well but can be lived with. */
  readonly warn: (line: string) => void;
}

interface Server {
  readonly version: number;
  readonly name: string;
  readonly commit: string;
  readonly fsync: string;
  readonly standby: boolean;
  readonly clock: number;
}

/** @throws BulkheadError `store_unsafe` for the first thing that is wrong */
export async function refuseUnfitServer(db: Kysely<Schema>, options: CheckOptions): Promise<void> {
  const asked = options.now();
  const { rows } = await sql<Server>`
    select current_setting('server_version_num')::int as version, current_setting('server_version') as name,
      current_setting('synchronous_commit') as commit, current_setting('fsync') as fsync,
      pg_is_in_recovery() as standby, extract(epoch from clock_timestamp()) * 1000 as clock`.execute(db);
  const server = rows[0];
  if (server === undefined) throw new Error('the server said nothing about itself');
  const fault = faultOf(server, options.production);
  if (fault !== undefined) throw new BulkheadError('store_unsafe', fault);
  // half of the round trip lies before the server looked at its clock
  judgeSkew(Number(server.clock) - (asked + options.now()) / 2, options.warn);
}

/** @throws BulkheadError `store_unsafe` naming what `bulkhead migrate` has to do first */
export async function refuseOldSchema(db: Kysely<Schema>, options: MigrationOptions): Promise<void> {
  const pending = await pendingMigrations(db, options);
  if (pending.length === 0) return;
  throw new BulkheadError(
    'store_unsafe',
    `The database schema lacks ${pending.join(', ')}. Run: bulkhead migrate`,
  );
}

function faultOf(server: Server, production: boolean): string | undefined {
  if (server.version < OLDEST_SERVER)
    return `The server is PostgreSQL ${server.name}; Bulkhead needs 15 or newer.`;
  if (server.standby) return 'The server is a standby: what decides is read from the primary.';
  if (server.commit === 'off')
    return 'synchronous_commit is off: a receipt could be lost after its release. Turn it on.';
  if (production && server.fsync === 'off')
    return 'fsync is off: a receipt could be lost after its release. Turn it on.';
  return undefined;
}

function judgeSkew(skewMs: number, warn: (line: string) => void): void {
  const size = Math.abs(skewMs);
  if (size <= NOTABLE_SKEW_MS) return;
  const line = `The clock of the database is ${(size / 1000).toFixed(1)} s ${skewMs > 0 ? 'ahead of' : 'behind'} this machine's.`;
  if (size > WORST_SKEW_MS) throw new BulkheadError('store_unsafe', `${line} Synchronise them.`);
  warn(line);
}
