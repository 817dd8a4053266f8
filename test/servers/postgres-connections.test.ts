import net from 'node:net';
import { performance } from 'node:perf_hooks';
import { sql } from 'kysely';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { instant, principalId, tenantId } from '../../src/policy/ids.ts';
import type { Database } from '../../src/store/database.ts';
import { migratePostgres, openPostgres } from '../../src/store/open-postgres.ts';
import { contextJson } from '../../src/store/session-context.ts';
import { findPgbouncer, startPgbouncer, untilAnswering } from '../helpers/pgbouncer.ts';
import { at, findPostgres, type PostgresServer, runAs, startPostgres } from '../helpers/postgres-server.ts';

const programs = await findPostgres();
const bouncer = programs === undefined ? undefined : findPgbouncer();

const contextOf = (tenant: number) => ({
  tenant: tenantId(tenant),
  principals: [principalId(tenant)],
  actor: undefined,
  actorPrincipals: [],
  now: instant(0),
  maxRank: -1,
});
interface Who {
  readonly role: string;
  readonly tenant: string | null;
}
const whoAmI = sql<Who>`select current_user::text as role, current_setting('bulkhead.tenant', true) as tenant`;
const UNAVAILABLE = { code: 'database_unavailable', status: 503, retryAfterSeconds: expect.any(Number) };

describe.skipIf(programs === undefined)('Connections to a PostgreSQL server', () => {
  let server: PostgresServer;
  let url: (role?: string) => string;
  let database: Database;
  beforeAll(async () => {
    server = await startPostgres(programs);
    url = await server.createDatabase();
    await migratePostgres(at(url()));
    await runAs(
      url(),
      'create role plain login; grant bulkhead_app to plain; create table note (n int); grant all on note to public',
    );
    database = await openPostgres(
      at(url('plain'), { poolSize: 1, statementTimeoutMs: 400, lockTimeoutMs: 200 }),
    );
  }, 120_000);
  afterAll(async () => {
    await database.close();
    await server.stop();
  });

  describe('a unit of work of one statement', () => {
    it('runs as its role, for its caller, and leaves nothing of either', async () => {
      expect(await database.statement('retrieve', contextOf(7), whoAmI)).toEqual([
        { role: 'bulkhead_retrieve', tenant: '7' },
      ]);
      expect(await database.statement('retrieve', undefined, whoAmI)).toEqual([
        { role: 'bulkhead_retrieve', tenant: '' },
      ]);
    });

    it('is committed when it resolves', async () => {
      await database.statement('admin', undefined, sql`insert into note values (1)`);
      expect(await runAs(url(), 'select n from note')).toEqual([{ n: 1 }]);
    });

    it('that fails keeps nothing, and leaves neither role nor caller behind', async () => {
      const broken = sql`with added as (insert into note values (2) returning n) select 1 / (n - 2) from added`;
      await expect(database.statement('admin', contextOf(7), broken)).rejects.toMatchObject({
        sqlState: '22012',
      });
      expect(await runAs(url(), 'select n from note where n = 2')).toEqual([]);
      expect(await database.statement('admin', undefined, whoAmI)).toEqual([
        { role: 'bulkhead_admin', tenant: '' },
      ]);
    });

    it('is not taken for committed when only its commit fails', async () => {
      await runAs(
        url(),
        `create table pair (n int, unique (n) deferrable initially deferred); grant all on pair to public;
         insert into pair values (1)`,
      );
      for (const context of [undefined, contextOf(7)])
        await expect(
          database.statement('admin', context, sql`insert into pair values (1), (2)`),
        ).rejects.toMatchObject({ sqlState: '23505' });
      expect(await runAs(url(), 'select n from pair')).toEqual([{ n: 1 }]);
      expect(await database.statement('admin', undefined, whoAmI)).toEqual([
        { role: 'bulkhead_admin', tenant: expect.toBeOneOf(['', null]) },
      ]);
    });

    it('has its role where one before it had changed or given up the role of its own transaction', async () => {
      for (const change of ['set local role bulkhead_audit', 'set local role none'])
        await database.unitOfWork('admin', contextOf(7), (trx) => sql.raw(change).execute(trx));
      expect(await database.statement('admin', undefined, whoAmI)).toEqual([
        { role: 'bulkhead_admin', tenant: expect.toBeOneOf(['', null]) },
      ]);
      // one that gave up that of the connection has less from then on, not more: it may not even become another
      await database.unitOfWork('admin', contextOf(7), (trx) => sql`reset role`.execute(trx));
      expect(await database.statement('admin', undefined, whoAmI)).toMatchObject([{ role: 'plain' }]);
      await expect(
        database.statement('admin', undefined, sql`select bulkhead.begin_incarnations()`),
      ).rejects.toMatchObject({ sqlState: '42501' });
      expect(await database.statement('admin', undefined, whoAmI)).toMatchObject([
        { role: 'bulkhead_admin' },
      ]);
    });

    it('that sets its caller itself leaves nothing of them, and nothing when it fails', async () => {
      const asked = (settings: string) =>
        sql`select * from bulkhead.hydrate_as(${settings}::text::json, '{}')`;
      const good = contextJson(contextOf(7));
      const nobody = [{ role: 'bulkhead_retrieve', tenant: expect.toBeOneOf(['', null]) }];
      await database.statement('retrieve', undefined, asked(good));
      expect(await database.statement('retrieve', undefined, whoAmI)).toEqual(nobody);
      // the caller is set when the name after it fails
      const bad = JSON.stringify({ ...JSON.parse(good), 'bulkhead.not a name': '1' });
      const failed = database.statement('retrieve', undefined, asked(bad));
      await expect(failed).rejects.toMatchObject({ sqlState: '42602' });
      expect(await database.statement('retrieve', undefined, whoAmI)).toEqual(nobody);
    });

    it('of a role that the login may not take is refused', async () => {
      await runAs(url(), 'create role only_audit login; grant bulkhead_audit to only_audit');
      const audit = await openPostgres(at(url('only_audit'), { role: 'audit', poolSize: 1 }));
      try {
        expect(await audit.statement('audit', undefined, whoAmI)).toHaveLength(1);
        for (let i = 0; i < 2; i += 1)
          await expect(audit.statement('admin', undefined, whoAmI)).rejects.toMatchObject({
            sqlState: '42501',
          });
      } finally {
        await audit.close();
      }
    });

    it('costs one round trip, and one of several statements one more than it has', async () => {
      const line = await countingLine(server.folder);
      const far = new URL(url('plain'));
      far.hostname = '127.0.0.1';
      far.searchParams.delete('host');
      far.port = String(line.port);
      const remote = await openPostgres(at(far.href, { poolSize: 1 }));
      const roundTrips = async (work: () => Promise<unknown>) => {
        await work();
        const before = line.roundTrips();
        await work();
        return line.roundTrips() - before;
      };
      try {
        expect(await roundTrips(() => remote.statement('admin', contextOf(1), whoAmI))).toBe(1);
        const unit = () => remote.unitOfWork('admin', contextOf(1), (trx) => whoAmI.execute(trx));
        expect(await roundTrips(unit)).toBe(2);
      } finally {
        await remote.close();
        line.close();
      }
    });

    it('takes its turn with the others of its role, and is not held up by those of another', async () => {
      const busy = database.unitOfWork('ingest', undefined, (trx) => sql`select pg_sleep(0.3)`.execute(trx));
      const start = performance.now();
      await database.statement('retrieve', undefined, whoAmI);
      expect(performance.now() - start).toBeLessThan(250);
      await busy;
    });
  });

  describe('what is no fault of the request is one error that says when to come again', () => {
    const both = (statement: ReturnType<typeof sql>) => [
      () => database.statement('admin', undefined, statement),
      () => database.unitOfWork('admin', undefined, (trx) => statement.execute(trx)),
    ];

    it('a connection lost in the middle of a query', async () => {
      for (const attempt of both(sql`select pg_sleep(0.3)`)) {
        const cut = expect(attempt()).rejects.toMatchObject(UNAVAILABLE);
        await new Promise((resolve) => setTimeout(resolve, 100));
        await runAs(
          url(),
          "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'bulkhead admin'",
        );
        await cut;
      }
      expect(await database.statement('admin', undefined, whoAmI)).toHaveLength(1);
    });

    it('a statement that takes too long', async () => {
      for (const attempt of both(sql`select pg_sleep(5)`))
        await expect(attempt()).rejects.toMatchObject(UNAVAILABLE);
      expect(await database.statement('admin', undefined, whoAmI)).toHaveLength(1);
    });

    it('a lock that is not given', async () => {
      const holder = new pg.Client({ connectionString: url() });
      await holder.connect();
      await holder.query('begin; lock table note in access exclusive mode');
      for (const attempt of both(sql`select n from note`))
        await expect(attempt()).rejects.toMatchObject(UNAVAILABLE);
      await holder.end();
    });

    it('a server that is not there, in one line at start', async () => {
      const nowhere = openPostgres(at('postgres://plain@127.0.0.1:1/x'));
      await expect(nowhere).rejects.toMatchObject({
        ...UNAVAILABLE,
        detail: expect.stringMatching(
          /^The database plain@127\.0\.0\.1:1\/x did not answer: .*ECONNREFUSED.*\.$/,
        ),
      });
    });

    it('a server with no connection left, while what is there goes on', async () => {
      const one = await openPostgres(at(url('plain'), { poolSize: 1 }));
      await runAs(url(), 'alter role plain connection limit 1');
      try {
        await one.statement('admin', undefined, whoAmI).catch(() => {});
        await expect(
          Promise.all([
            one.statement('retrieve', undefined, sql`select pg_sleep(0.2)`),
            one.statement('audit', undefined, sql`select pg_sleep(0.2)`),
          ]),
        ).rejects.toMatchObject(UNAVAILABLE);
      } finally {
        await runAs(url(), 'alter role plain connection limit -1');
        await one.close();
      }
    });
  });

  describe.skipIf(bouncer === undefined)('through PgBouncer in transaction mode', () => {
    let pooler: Awaited<ReturnType<typeof startPgbouncer>>;
    beforeAll(async () => {
      pooler = await startPgbouncer(bouncer ?? '', server.folder, ['plain', 'postgres']);
      await untilAnswering(pooler.through(url('plain')));
    });
    afterAll(() => pooler.stop());

    it('every unit of work, of many at once on two connections, runs as its own role and for its own caller', async () => {
      const pooled = await openPostgres(at(pooler.through(url('plain')), { poolSize: 6 }));
      try {
        const roles = ['retrieve', 'ingest', 'admin', 'audit'] as const;
        const asked = Array.from({ length: 200 }, async (_, i) => {
          const role = roles[i % 4] ?? 'audit';
          const context = i % 3 === 0 ? undefined : contextOf(i);
          const expected = { role: `bulkhead_${role}`, tenant: context === undefined ? '' : String(i) };
          const rows =
            i % 5 === 0
              ? await pooled.unitOfWork(role, context, async (trx) => (await whoAmI.execute(trx)).rows)
              : await pooled.statement(role, context, whoAmI);
          expect(rows.map(({ tenant, ...row }) => ({ ...row, tenant: tenant ?? '' }))).toEqual([expected]);
          if (role === 'retrieve')
            await pooled.statement(
              role,
              undefined,
              sql`select * from bulkhead.hydrate_as(${contextJson(contextOf(1000 + i))}::text::json, '{}')`,
            );
          if (i % 7 === 0)
            await expect(pooled.statement(role, context, sql`select 1 / 0`)).rejects.toMatchObject({
              sqlState: '22012',
            });
        });
        await Promise.all(asked);
      } finally {
        await pooled.close();
      }
    });

    it('a superuser is refused: what it gives up would stay on a connection of others', async () => {
      const opened = await openPostgres(at(pooler.through(url())));
      await expect(opened.statement('retrieve', undefined, whoAmI)).rejects.toMatchObject({
        code: 'store_unsafe',
      });
      await opened.close();
    });
  });
});

/** The server behind a line that counts how often the client speaks after the server did; answers take their time. */
async function countingLine(folder: string) {
  let roundTrips = 0;
  const listener = net.createServer((near) => {
    let isAnswered = true;
    const far = net.connect(`${folder}/.s.PGSQL.5432`);
    near.on('data', (data) => {
      if (isAnswered) roundTrips += 1;
      isAnswered = false;
      far.write(data);
    });
    far.on('data', (data) =>
      setTimeout(() => {
        isAnswered = true;
        near.write(data);
      }, 30),
    );
    near.on('close', () => far.destroy()).on('error', () => {});
    far.on('close', () => near.destroy()).on('error', () => {});
  });
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
  return {
    port: (listener.address() as net.AddressInfo).port,
    roundTrips: () => roundTrips,
    close: () => listener.close(),
  };
}
