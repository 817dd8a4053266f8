import { sql } from 'kysely';
import type { Database, Work } from './database.ts';
import type { ProcessRole } from './process-role.ts';

/**
 * Asks every process to forget the issuer's keys and fetch them anew. Needs `administer` at the root.
 * @returns how often that was asked for until now
 * @throws DatabaseError of insufficient privilege
 */
export async function requestKeyReload(trx: Work, issuer: string): Promise<number> {
  const { rows } = await sql<{ requests: number }>`
    select bulkhead.request_key_reload(${issuer}) as requests`.execute(trx);
  const [row] = rows;
  if (row === undefined) throw new Error('a reload of keys was not stored');
  return row.requests;
}

/** How often it was asked for, by the issuer's name. @throws BulkheadError `database_unavailable` */
export async function readKeyReloads(
  database: Database,
  role: Exclude<ProcessRole, 'indexer'>,
): Promise<ReadonlyMap<string, number>> {
  const [row] = await database.statement(
    role,
    undefined,
    sql<{ requests: Readonly<Record<string, number>> }>`select bulkhead.key_reloads() as requests`,
  );
  return new Map(Object.entries(row?.requests ?? {}));
}
