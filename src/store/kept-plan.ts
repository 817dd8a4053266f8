import { sql } from 'kysely';

const MARK = '/* kept */ ';

/**
 * Begins a statement of a unit of work that a server is to plan once a connection and not each time: one that meets a few
 * rows by key, whatever its values, and that has one text, whatever it is asked.
 */
export const KEPT = sql.raw(MARK);

export function isKept(statement: string): boolean {
  return statement.startsWith(MARK);
}
