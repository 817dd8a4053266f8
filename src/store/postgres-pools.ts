/** Connections to a PostgreSQL server: a pool for each role, opened when it is first needed. */
import { createHash } from 'node:crypto';
import type { Duplex } from 'node:stream';
import { type CompiledQuery, Kysely, PostgresDialect, type PostgresPool } from 'kysely';
import pg from 'pg';
import { BulkheadError } from '../errors.ts';
import type { Connections } from './database.ts';
import { isKept } from './kept-plan.ts';
import type { ProcessRole } from './process-role.ts';
import type { Schema } from './schema.ts';
import { entersContext, stayInRole } from './session-context.ts';

export interface PoolOptions {
  readonly client: pg.ClientConfig;
  /** Connections of each role. */
  readonly poolSize: number;
  /** A server that answers nothing for as long, milliseconds, is given up. */
  readonly answerTimeoutMs: number;
  /** The role that a superuser is turned into at once; `undefined` leaves it, to migrate. */
  readonly dropTo: string | undefined;
}

export interface RolePoolOptions extends PoolOptions {
  /** Settings of every transaction. */
  readonly limits: Readonly<Record<string, string>>;
}

const CONNECT_TIMEOUT_MS = 5_000;
const IDLE_MS = 300_000;

export class PostgresPools {
  readonly #options: RolePoolOptions;
  readonly #opened = new Map<ProcessRole, { readonly pool: pg.Pool; readonly connections: Connections }>();

  constructor(options: RolePoolOptions) {
    this.#options = options;
  }

  as(role: ProcessRole): Connections {
    const before = this.#opened.get(role);
    if (before !== undefined) return before.connections;
    const { pool, isPooled } = openPool(
      this.#options,
      `bulkhead ${role}`,
      stayInRole(role, this.#options.limits),
    );
    const connections: Connections = {
      kysely: new Kysely<Schema>({ dialect: new PostgresDialect({ pool: eagerBegin(pool, isPooled) }) }),
      transact: async (enter, statement, sets) => {
        const client = await pool.connect();
        return sets === 'role' && !isPooled(client)
          ? alone(client, statement)
          : transact(client, isPooled(client), enter, statement);
      },
    };
    this.#opened.set(role, { pool, connections });
    return connections;
  }

  async close(): Promise<void> {
    await Promise.all([...this.#opened.values()].map(({ pool }) => pool.end()));
  }
}

/** For migrations: a pool of its own whose statements have no time limit. */
export function openKysely(options: PoolOptions): Kysely<Schema> {
  const { pool } = openPool(options, 'bulkhead migrate');
  return new Kysely<Schema>({ dialect: new PostgresDialect({ pool }) });
}

/** @param stay what a connection of the process's own is set to for as long as it lives */
function openPool(options: PoolOptions, name: string, stay?: string) {
  const pooled = new WeakSet<object>();
  const pool = new pg.Pool({
    ...options.client,
    application_name: name,
    max: options.poolSize,
    pipeline: true,
    keepAlive: true,
    idleTimeoutMillis: IDLE_MS,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    query_timeout: options.answerTimeoutMs,
    types: { getTypeParser },
    // here, and not by kysely: where this fails, the connection is closed and its place in the pool is free again
    onConnect: async (client) => {
      // a connection cut between two statements tells its client alone; unheard, it would end the process
      client.on('error', () => {});
      if (await prepare(client, options.dropTo)) pooled.add(client);
      else if (stay !== undefined) await client.query(stay);
    },
  });
  // an idle connection that breaks is replaced on the next use; without a listener it would end the process
  pool.on('error', () => {});
  return { pool, isPooled: (client: object) => pooled.has(client) };
}

/**
 * A superuser gives up its power before its first statement.
 * @returns whether a pooler (PgBouncer in transaction mode) stands between: its process is not the server's
 */
async function prepare(client: pg.ClientBase, dropTo: string | undefined): Promise<boolean> {
  const { rows } = await client.query<{ superuser: string; pid: number }>(
    "select current_setting('is_superuser') as superuser, pg_backend_pid() as pid",
  );
  const isPooled = rows[0]?.pid !== (client as { readonly processID?: unknown }).processID;
  if (rows[0]?.superuser === 'on' && dropTo !== undefined) {
    // what is set here stays on a connection that the pooler hands to somebody else
    if (isPooled)
      throw new BulkheadError('store_unsafe', 'A superuser cannot log in through a connection pooler.');
    await client.query(`set session authorization ${dropTo}`);
  }
  return isPooled;
}

/** bigint as number, as PGlite is told to do: all of ours stay below 2^53. */
const getTypeParser: typeof pg.types.getTypeParser = ((oid: number, format?: 'text' | 'binary') =>
  oid === pg.types.builtins.INT8 && format !== 'binary'
    ? (text: string) => Number(text)
    : pg.types.getTypeParser(oid, format as 'text')) as never;

/**
 * A statement that needs nothing but the role, on a connection that has it: a transaction by itself, in one message each
 * way. Its rows are there when the server is ready again, and that is after the commit.
 */
async function alone(client: pg.PoolClient, { sql, parameters }: CompiledQuery): Promise<readonly unknown[]> {
  try {
    const { rows } = await client.query({ name: nameOf(sql), text: sql, values: [...parameters] });
    client.release();
    return rows;
  } catch (error) {
    // told of it before the server is ready again: a connection in between is not used again
    client.release(true);
    throw error;
  }
}

/**
 * Everything is sent at once and answered in one round trip. A statement that fails leaves the transaction aborted, and
 * its COMMIT is then a ROLLBACK; the settings end with it either way. So does a lost connection.
 */
async function transact(
  client: pg.PoolClient,
  isPooled: boolean,
  enter: string,
  { sql, parameters }: CompiledQuery,
): Promise<readonly unknown[]> {
  const named = isPooled ? {} : { name: nameOf(sql) };
  const stream = streamOf(client);
  stream.cork();
  const sent = Promise.allSettled([
    client.query(`begin; ${enter}`),
    client.query({ ...named, text: sql, values: [...parameters] }),
    client.query('commit'),
  ]);
  stream.uncork();
  const [entered, answered, committed] = await sent;
  // a connection on which a transaction may still be open is not used again
  client.release(client.getTransactionStatus() !== 'I' || isStalePlan(answered));
  if (entered.status === 'rejected') throw entered.reason;
  if (answered.status === 'rejected') throw answered.reason;
  requireCommit(committed.status === 'rejected' ? undefined : committed.value, committed);
  return answered.value.rows;
}

function requireCommit(
  result: { readonly command: string } | undefined,
  outcome?: PromiseSettledResult<unknown>,
) {
  if (outcome?.status === 'rejected') throw outcome.reason;
  if (result?.command !== 'COMMIT') throw new Error('the transaction was rolled back');
}

/** A migration changed what a prepared statement returns; a new connection prepares it anew. */
function isStalePlan(answered: PromiseSettledResult<unknown>): boolean {
  return answered.status === 'rejected' && (answered.reason as { code?: unknown } | null)?.code === '0A000';
}

const names = new Map<string, string>();

/** Statements are our own and few: each is prepared once a connection. */
function nameOf(statement: string): string {
  let name = names.get(statement);
  if (name === undefined) {
    name = createHash('sha256').update(statement).digest('hex').slice(0, 20);
    names.set(statement, name);
  }
  return name;
}

/** Corked, the messages leave in one packet; `pg` has the stream, its types do not. */
function streamOf(client: pg.ClientBase): Duplex {
  return (client as unknown as { readonly connection: { readonly stream: Duplex } }).connection.stream;
}

/** kysely waits for its `begin`, and we for the settings; here both are on their way together with what comes after. */
function eagerBegin(pool: pg.Pool, isPooled: (client: object) => boolean): PostgresPool {
  return {
    connect: async () => {
      const client = await pool.connect();
      let ahead: Promise<unknown> = Promise.resolve();
      let isStale = false;
      const query = async (statement: string, parameters: readonly unknown[]) => {
        if (statement === 'begin' || entersContext(statement)) {
          const sent = Promise.all([ahead, client.query(statement)]);
          // the next statement says so
          sent.catch(() => {});
          ahead = sent;
          return { command: '', rowCount: 0, rows: [] };
        }
        const name = isKept(statement) && !isPooled(client) ? { name: nameOf(statement) } : {};
        const [before, answered] = await Promise.allSettled([
          ahead,
          client.query({ ...name, text: statement, values: [...parameters] }),
        ]);
        isStale ||= isStalePlan(answered);
        ahead = Promise.resolve();
        // what failed first is why all after it did
        if (before.status === 'rejected' && statement !== 'rollback') throw before.reason;
        if (answered.status === 'rejected') throw answered.reason;
        const result = answered.value;
        if (statement === 'commit') requireCommit(result);
        // of several statements in one text the last one's, as PGlite has it
        return Array.isArray(result) ? result.at(-1) : result;
      };
      return {
        query: query as never,
        release: () => client.release(client.getTransactionStatus() !== 'I' || isStale),
      };
    },
    end: () => pool.end(),
  };
}
