import { randomBytes } from 'node:crypto';
import type { Kysely } from 'kysely';
import { BulkheadError, isBulkheadError } from '../errors.ts';
import { Database, type Engine } from './database.ts';
import { DatabaseError, isOutage, toCallersError, toDatabaseError } from './database-error.ts';
import { type MigrationOptions, migrateToLatest } from './migrator.ts';
import { describeAddress, type PostgresAddress, postgresAddress } from './postgres-address.ts';
import { refuseOldSchema, refuseUnfitServer } from './postgres-checks.ts';
import { loginOf, writeLogins } from './postgres-logins.ts';
import { openKysely, type PoolOptions, PostgresPools } from './postgres-pools.ts';
import { refuseExcessPrivilege } from './privileges.ts';
import type { ServiceRole } from './process-role.ts';
import type { Schema } from './schema.ts';

interface Connection extends PostgresAddress, MigrationOptions {
  readonly production: boolean;
}

export interface PostgresOptions extends Connection {
  /** What this process is; its login may do no more than that. */
  readonly role: ServiceRole;
  /** Connections of each role whose units of work run here. */
  readonly poolSize: number;
  readonly statementTimeoutMs: number;
  readonly lockTimeoutMs: number;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** Told of what is not well but can be lived with. */
  readonly warn?: ((line: string) => void) | undefined;
}

/** Beyond the server's own limit: for a server that no longer answers at all. */
const ANSWER_GRACE_MS = 2_000;

/**
 * Connects to a PostgreSQL server (15 or newer) and looks at it and at its own login before anything else.
 * @throws BulkheadError `store_unsafe` for a server, a schema, a login or an address that must not be used,
 *   `config_invalid`, `database_unavailable` when there is no server; each in one line
 */
export async function openPostgres(options: PostgresOptions): Promise<Database> {
  const client = postgresAddress(options, options.production);
  const pool = {
    client,
    poolSize: options.poolSize,
    answerTimeoutMs: options.statementTimeoutMs + ANSWER_GRACE_MS,
  };
  await withKysely({ ...pool, poolSize: 1, dropTo: undefined }, async (db) => {
    await refuseUnfitServer(db, { ...options, warn: options.warn ?? (() => {}) });
    await refuseOldSchema(db, options);
    await refuseExcessPrivilege(db, options.role, options.production);
  });
  const limits = limitsOf(options);
  return new Database(postgresEngine(new PostgresPools({ ...pool, dropTo: 'bulkhead_app', limits }), limits));
}

/**
 * Brings the schema up to date; the URL's role must be allowed to create roles and extensions.
 * @throws BulkheadError as `migrateToLatest` does; `database_unavailable` when there is no server
 */
export function migratePostgres(options: Connection): Promise<readonly string[]> {
  return asOwner(options, (db) => migrateToLatest(db, options));
}

/**
 * Makes or renews the logins of the processes and returns their names.
 * @throws BulkheadError as `writeLogins` does
 */
export async function writePostgresLogins(
  options: Connection,
  passwords: ReadonlyMap<ServiceRole, string>,
): Promise<readonly string[]> {
  await asOwner(options, (db) => writeLogins(db, passwords, randomBytes));
  return [...passwords.keys()].map(loginOf);
}

/** One connection of the URL's own role, without any limit of time. */
function asOwner<T>(options: Connection, work: (db: Kysely<Schema>) => Promise<T>): Promise<T> {
  const client = postgresAddress(options, options.production);
  return withKysely({ client, poolSize: 2, answerTimeoutMs: 0, dropTo: undefined }, work);
}

async function withKysely<T>(options: PoolOptions, work: (db: Kysely<Schema>) => Promise<T>): Promise<T> {
  const kysely = openKysely(options);
  try {
    return await work(kysely);
  } catch (error) {
    throw toStartError(error, describeAddress(options.client));
  } finally {
    await kysely.destroy();
  }
}

/** Names the server, and why it could not be used. */
function toStartError(thrown: unknown, address: string): unknown {
  if (isBulkheadError(thrown) || !(thrown instanceof Error)) return thrown;
  const error = toDatabaseError(thrown);
  const sqlState = error instanceof DatabaseError ? error.sqlState : '';
  if (isCertificateFault(thrown))
    return new BulkheadError(
      'config_invalid',
      `The certificate of ${address} was not accepted: ${thrown.message}`,
      {
        cause: thrown,
      },
    );
  if (/^(28|3D)/.test(sqlState) || /password/.test(thrown.message))
    return new BulkheadError(
      'config_invalid',
      `The database ${address} refused the login: ${thrown.message}.`,
      {
        cause: error,
      },
    );
  if (!isOutage(toCallersError(error))) return error;
  const why = thrown.message || String((thrown as NodeJS.ErrnoException).code);
  return new BulkheadError('database_unavailable', `The database ${address} did not answer: ${why}.`, {
    retryAfterSeconds: 5,
    cause: error,
  });
}

function isCertificateFault(error: Error): boolean {
  return /^(ERR_TLS|ERR_SSL|CERT_|UNABLE_TO_|.*SELF_SIGNED)/.test(
    String((error as NodeJS.ErrnoException).code),
  );
}

/**
 * Set in each transaction too, and not of the session alone: a pooler gives a connection to somebody else after each.
 */
function limitsOf({ statementTimeoutMs, lockTimeoutMs }: PostgresOptions): Engine['limits'] {
  return {
    statement_timeout: String(statementTimeoutMs),
    lock_timeout: String(lockTimeoutMs),
    idle_in_transaction_session_timeout: String(statementTimeoutMs),
  };
}

function postgresEngine(pools: PostgresPools, limits: Engine['limits']): Engine {
  return {
    kind: 'postgres',
    limits,
    as: (role) => pools.as(role),
    flush: async () => {},
    maintain: async () => {},
    close: () => pools.close(),
  };
}
