/** Limits of several processes on one PostgreSQL server: they count together, at once, and never wait for each other. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { limitsSchema } from '../../src/config/limits.ts';
import { RateLimits } from '../../src/http/rate-limits.ts';
import type { Database } from '../../src/store/database.ts';
import { migratePostgres, openPostgres } from '../../src/store/open-postgres.ts';
import { addRateCounts } from '../../src/store/rate-counts.ts';
import { at, findPostgres, type PostgresServer, startPostgres } from '../helpers/postgres-server.ts';

const programs = await findPostgres();

describe.skipIf(programs === undefined)('On PostgreSQL, limits', () => {
  let server: PostgresServer;
  let databases: readonly Database[];
  beforeAll(async () => {
    server = await startPostgres(programs);
    const url = (await server.createDatabase())();
    await migratePostgres(at(url));
    databases = await Promise.all([1, 2, 3].map(() => openPostgres(at(url, { poolSize: 4 }))));
  }, 180_000);
  afterAll(async () => {
    await Promise.all(databases.map((database) => database.close()));
    await server.stop();
  });

  const keys = Array.from({ length: 200 }, (_, i) => `${i}`.padStart(22, 'k'));

  it('lose no count and block nobody while the same keys are counted everywhere at once', async () => {
    const rounds = 30;
    const work = databases.flatMap((database, process) =>
      Array.from({ length: rounds }, (_, round) => {
        // in another order each time
        const from = (process * 71 + round * 13) % keys.length;
        const shuffled = [...keys.slice(from), ...keys.slice(0, from)].reverse();
        const changes = shuffled.map((key) => ({ key, points: 1, remainingMs: 600_000 }));
        return addRateCounts(database, 'retrieve', changes);
      }),
    );
    await Promise.all(work);
    const totals = await addRateCounts(
      databases[0] as Database,
      'admin',
      keys.map((key) => ({ key, points: 0, remainingMs: 600_000 })),
    );
    expect(totals).toHaveLength(keys.length);
    expect(new Set(totals.map(({ points }) => points))).toEqual(new Set([3 * rounds]));
  }, 60_000);

  it('begin anew when a window ends, and leave no rows behind for good', async () => {
    const [database] = databases as [Database];
    const key = 'short'.padStart(22, 'k');
    await addRateCounts(database, 'retrieve', [{ key, points: 5, remainingMs: 50 }]);
    await new Promise((resolve) => setTimeout(resolve, 80));
    const [again] = await addRateCounts(database, 'retrieve', [{ key, points: 1, remainingMs: 60_000 }]);
    expect(again).toMatchObject({ points: 1 });
  });

  it('of three processes hold together after each of them heard of the others', async () => {
    const rules = { ...limitsSchema.parse({}), subject: { points: 30, seconds: 600 } };
    const replicas = databases.map(
      (database) =>
        new RateLimits({
          rules,
          now: Date.now,
          exchange: (changes) => addRateCounts(database, 'retrieve', changes),
        }),
    );
    let passed = 0;
    for (let second = 0; second < 6; second += 1) {
      for (const replica of replicas)
        for (let i = 0; i < 4; i += 1)
          await replica.take('subject', 'anna').then(
            () => {
              passed += 1;
            },
            () => {},
          );
      await Promise.all(replicas.map((replica) => replica.exchange()));
    }
    // 12 in the second of which nobody knew: an overshoot of less than one interval of the others
    expect(passed).toBeGreaterThanOrEqual(30);
    expect(passed).toBeLessThanOrEqual(30 + 2 * 4 * 2);
  });
});
