/** Who works on the index as a whole: one process at a time, in the role `indexer`. */
import { randomUUID } from 'node:crypto';
import { sql } from 'kysely';
import { BulkheadError } from '../errors.ts';
import type { Database } from './database.ts';

export interface IndexWorkOptions {
  /** How long after a process was killed nobody else may begin; default half a minute. */
  readonly leaseSeconds?: number | undefined;
}

const LEASE_SECONDS = 30;
const RENEWALS_PER_LEASE = 3;

/** @throws BulkheadError `conflict` while somebody is at it */
export async function requireIdle(database: Database): Promise<void> {
  const [row] = await database.statement(
    'indexer',
    undefined,
    sql<{ kind: string; seconds: number }>`
      select kind, ceil(extract(epoch from held_until - clock_timestamp()))::int as seconds
      from bulkhead.index_work where held_until > clock_timestamp()`,
  );
  if (row === undefined) return;
  const what = row.kind === 'reembed' ? 'embedded again' : 'rebuilt';
  throw new BulkheadError(
    'conflict',
    `The index is being ${what} already. If the process that does was killed, try again in ${row.seconds} seconds.`,
  );
}

/**
 * Runs the work while nobody else rebuilds the index or embeds it again. A row with a lease says who does, and not a
 * lock of the server: a lock goes with a connection, which PgBouncer lends to many.
 * @param work is given a check to make before every step that cannot be undone
 * @throws BulkheadError `conflict` where another process is at it, and from the check when the lease was lost
 */
export async function alone<T>(
  database: Database,
  kind: 'rebuild' | 'reembed',
  work: (requireHeld: () => Promise<void>) => Promise<T>,
  { leaseSeconds = LEASE_SECONDS }: IndexWorkOptions = {},
): Promise<T> {
  const holder = randomUUID();
  const until = sql`clock_timestamp() + make_interval(secs => ${leaseSeconds})`;
  const taken = await database.statement(
    'indexer',
    undefined,
    sql`insert into bulkhead.index_work as w (holder, kind, held_until) values (${holder}, ${kind}, ${until})
      on conflict (is_only) do update set holder = excluded.holder, kind = excluded.kind, held_until = excluded.held_until
        where w.held_until <= clock_timestamp()
      returning w.holder`,
  );
  if (taken.length === 0) {
    await requireIdle(database);
    throw new BulkheadError('conflict', 'Another process was working on the index until now. Try again.');
  }
  const requireHeld = async () => {
    const held = await database.statement(
      'indexer',
      undefined,
      sql`update bulkhead.index_work set held_until = ${until} where holder = ${holder} returning holder`,
    );
    if (held.length === 0)
      throw new BulkheadError('conflict', 'Another process has begun to work on the index meanwhile.');
  };
  // what a renewal finds out, the next check finds out too
  const renewing = setInterval(
    () => void requireHeld().catch(() => {}),
    (leaseSeconds * 1000) / RENEWALS_PER_LEASE,
  );
  renewing.unref();
  try {
    return await work(requireHeld);
  } finally {
    clearInterval(renewing);
    // what stays ends by itself
    await database
      .statement('indexer', undefined, sql`delete from bulkhead.index_work where holder = ${holder}`)
      .catch(() => {});
  }
}
