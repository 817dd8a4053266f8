import { sql } from 'kysely';
import type { Database } from './database.ts';
import type { ProcessRole } from './process-role.ts';

/** Points of one key in its present window. */
export interface RateCount {
  /** A digest of 22 characters. */
  readonly key: string;
  readonly points: number;
  /** Milliseconds until the window ends. */
  readonly remainingMs: number;
}

/**
 * Adds what this process counted and returns what all of them did, of the same keys.
 * @param changes each key once, 5,000 at most
 * @throws BulkheadError `database_unavailable`
 */
export async function addRateCounts(
  database: Database,
  role: Extract<ProcessRole, 'retrieve' | 'ingest' | 'admin' | 'audit'>,
  changes: readonly RateCount[],
): Promise<readonly RateCount[]> {
  const sent = changes.map(({ key, points, remainingMs }) => ({ key, points, remaining: remainingMs }));
  const [row] = await database.statement(
    role,
    undefined,
    sql<{ totals: readonly { key: string; points: number; remaining: number }[] }>`
      select bulkhead.add_rate_counts(${JSON.stringify(sent)}::text::jsonb) as totals`,
  );
  return (row?.totals ?? []).map(({ key, points, remaining }) => ({ key, points, remainingMs: remaining }));
}
