/** Documents that the index could not take after many attempts, of one tenant, in the role `admin`. */
import { sql } from 'kysely';
import { type DocumentId, documentId, type Instant, instant } from '../policy/ids.ts';
import type { Database, Work } from './database.ts';
import type { SessionContext } from './session-context.ts';

export interface DeadLetter {
  readonly document: DocumentId;
  /** What is still to be done: `publish`, `move`, `remove` or `mend`, or several of them. */
  readonly operation: string;
  readonly attempts: number;
  /** An error code. */
  readonly lastError: string;
  readonly since: Instant;
}

/** The oldest first. Of a caller without `administer` at the root, none. */
export async function listDeadLetters(
  database: Database,
  context: SessionContext,
  limit: number,
): Promise<readonly DeadLetter[]> {
  const rows = await database.statement(
    'admin',
    context,
    sql<{ document: string; operation: string; attempts: number; last_error: string; since: number }>`
      select document, operation, attempts, last_error, bulkhead.ms(since) as since from bulkhead.dead_letter
      where tenant = ${context.tenant}::int order by since, document limit ${limit}`,
  );
  return rows.map((row) => ({
    document: documentId(row.document),
    operation: row.operation,
    attempts: row.attempts,
    lastError: row.last_error,
    since: instant(row.since),
  }));
}

/**
 * Lets the index try again, at once and as often as at first.
 * @param documents absent = all of the tenant
 * @returns which of them it is
 */
export async function retryDeadLetters(
  trx: Work,
  documents: readonly DocumentId[] | undefined,
): Promise<readonly DocumentId[]> {
  const { rows } = await sql<{ id: string }>`
    select r.id from bulkhead.retry_dead_letters(${documents ? [...documents] : null}::uuid[]) as r (id)`.execute(
    trx,
  );
  return rows.map(({ id }) => documentId(id));
}
