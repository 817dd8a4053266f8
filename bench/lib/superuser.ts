import { type RawBuilder, sql } from 'kysely';
import type { Database } from '../../src/store/database.ts';

/** Statements without a role and without permissions, as nothing in the program can run them. */
export async function asSuperuser<T>(
  database: Database,
  work: (query: <Row>(statement: RawBuilder<Row>) => Promise<readonly Row[]>) => Promise<T>,
): Promise<T> {
  return database.unitOfWork('admin', undefined, async (trx) => {
    await sql
      .raw(
        'set local role none; set local session authorization postgres; set local search_path = bulkhead, public',
      )
      .execute(trx);
    return work(async (statement) => (await statement.execute(trx)).rows);
  });
}
