import { setImmediate } from 'node:timers/promises';
import type { PGlite } from '@electric-sql/pglite';
import type { CompiledQuery, PostgresPool } from 'kysely';

/** What is used of PGlite. */
export type Pglite = Pick<PGlite, 'query' | 'exec' | 'close'>;

/**
 * kysely's own PostgresDialect over PGlite: a pool of one connection, handed out in turn. Statements without
 * parameters go through `exec`, which takes several at once, as migrations need.
 */
export function pglitePool(pglite: Pglite): PostgresPool {
  let tail: Promise<void> = Promise.resolve();
  return {
    async connect() {
      const before = tail;
      let release: () => void = () => {};
      tail = new Promise((resolve) => {
        release = resolve;
      });
      await before;
      // PGlite computes on this thread and resolves at once: without a turn of the event loop here, busy callers
      // would keep timers and sockets waiting for seconds
      await setImmediate();
      // `begin` goes with the statement after it: a round trip less in every transaction
      let begin = '';
      return {
        query: (async (statement: string, parameters: readonly unknown[] = []) => {
          if (statement === 'begin') {
            begin = 'begin;';
            return { command: 'BEGIN', rowCount: 0, rows: [] };
          }
          const before = begin;
          begin = '';
          if (before !== '' && parameters.length > 0) await pglite.exec(before);
          const result =
            parameters.length > 0
              ? await pglite.query(statement, [...parameters])
              : (await pglite.exec(before + statement)).at(-1);
          return {
            command: statement.trimStart().split(/\s/, 1)[0]?.toUpperCase() ?? '',
            rowCount: result?.affectedRows || (result?.rows.length ?? 0),
            rows: result?.rows ?? [],
          };
        }) as never,
        release: () => release(),
      };
    },
    end: async () => {
      await tail;
    },
  };
}

/** One transaction of two statements on the pool's connection, without kysely in between. */
export async function pgliteTransaction(
  pool: PostgresPool,
  enter: string,
  { sql, parameters }: CompiledQuery,
): Promise<readonly unknown[]> {
  const client = await pool.connect();
  try {
    await client.query('begin', []);
    await client.query(enter, []);
    const { rows } = await client.query(sql, parameters);
    await client.query('commit', []);
    return rows as readonly unknown[];
  } catch (error) {
    await client.query('rollback', []);
    throw error;
  } finally {
    client.release();
  }
}
