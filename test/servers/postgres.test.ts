import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PgvectorCollections } from '../../src/index/pgvector-collections.ts';
import type { Database } from '../../src/store/database.ts';
import { migratePostgres, openPostgres } from '../../src/store/open-postgres.ts';
import type { ProcessRole } from '../../src/store/process-role.ts';
import { agreementContract } from '../contract/agreement.ts';
import { vectorIndexContract } from '../contract/vector-index.ts';
import { addDocument, openTestAudit } from '../helpers/audit.ts';
import { asSuperuser } from '../helpers/policy-tables.ts';
import { at, findPostgres, type PostgresServer, runAs, startPostgres } from '../helpers/postgres-server.ts';
import { withPgvector } from '../helpers/stores.ts';
import { openTestTenant } from '../helpers/tenant.ts';

const programs = await findPostgres();

describe.skipIf(programs === undefined)('On a PostgreSQL server', () => {
  let server: PostgresServer;
  beforeAll(async () => {
    server = await startPostgres(programs);
  }, 120_000);
  afterAll(() => server.stop());

  async function openMigrated(poolSize = 5): Promise<{ database: Database; url: (role?: string) => string }> {
    const url = await server.createDatabase();
    await migratePostgres(at(url()));
    return { database: await openPostgres(at(url(), { poolSize })), url };
  }
  const openDatabase = async () => (await openMigrated()).database;

  agreementContract('PostgreSQL', 200, async () => withPgvector(await openDatabase()));

  vectorIndexContract('the pgvector index on PostgreSQL', async () => {
    const database = await openDatabase();
    return { collections: new PgvectorCollections(database), close: () => database.close() };
  });

  describe('the schema', () => {
    it('is brought up to date once, and a second time changes nothing', async () => {
      const options = at((await server.createDatabase())());
      await expect(openPostgres(options)).rejects.toMatchObject({ code: 'store_unsafe' });
      expect(await migratePostgres(options)).toContain('0001_roles');
      expect(await migratePostgres(options)).toEqual([]);
      await (await openPostgres(options)).close();
    });

    it('is brought up to date once by two processes at the same time', async () => {
      const options = at((await server.createDatabase())());
      const done = await Promise.all([migratePostgres(options), migratePostgres(options)]);
      expect(done.map((names) => names.length > 0).sort()).toEqual([false, true]);
      await (await openPostgres(options)).close();
    });

    it('is brought up to date, and served, without a superuser, as on a managed server', async () => {
      const url = await server.createDatabase();
      await runAs(
        url(),
        `create extension vector; create role migrator login createrole; create role plain_app login;
         do $$ begin execute format('alter database %I owner to migrator', current_database()); end $$`,
      );
      expect(await migratePostgres(at(url('migrator')))).toContain('0001_roles');
      await runAs(url(), 'grant bulkhead_app to plain_app');
      const database = await openPostgres(at(url('plain_app'), { poolSize: 2 }));
      expect((await openTestTenant(database)).admin.subject.user.name).toBe('user:workforce|root');
      await database.close();
    });

    it('is brought up to date in two databases of one server at the same time', async () => {
      const urls = [await server.createDatabase(), await server.createDatabase()];
      await Promise.all(urls.map((url) => migratePostgres(at(url()))));
      for (const url of urls) await (await openPostgres(at(url(), { poolSize: 1 }))).close();
    });
  });

  it('a server that acknowledges a receipt before it is written is refused', async () => {
    const { database, url } = await openMigrated(1);
    await database.close();
    await runAs(url(), 'alter role postgres set synchronous_commit = off');
    try {
      await expect(openPostgres(at(url(), { poolSize: 1 }))).rejects.toMatchObject({ code: 'store_unsafe' });
    } finally {
      await runAs(url(), 'alter role postgres reset synchronous_commit');
    }
  });

  describe('a login', () => {
    let opened: Awaited<ReturnType<typeof openMigrated>>;
    const REFUSED = { sqlState: '42501' };
    const as = (database: Database, role: ProcessRole, statement: string) =>
      database.unitOfWork(role, undefined, async (trx) => {
        const { rows } = await sql.raw<Record<string, unknown>>(statement).execute(trx);
        return rows;
      });

    beforeAll(async () => {
      opened = await openMigrated(1);
      const tenant = await openTestAudit(opened.database);
      await addDocument(opened.database, tenant.tenant);
      await runAs(opened.url(), 'create role plain login; grant bulkhead_app to plain');
    });
    afterAll(() => opened.database.close());

    it('of a superuser gives up its power before its first statement', async () => {
      const who = `select session_user, current_user, current_setting('is_superuser') as is_superuser`;
      expect(await as(opened.database, 'retrieve', who)).toEqual([
        { session_user: 'bulkhead_app', current_user: 'bulkhead_retrieve', is_superuser: 'off' },
      ]);
    });

    it('reads no row that its unit of work did not ask for a caller', async () => {
      expect(await asSuperuser(opened.database, 'select id from document')).toHaveLength(1);
      for (const role of ['retrieve', 'ingest', 'admin'] as const)
        expect(await as(opened.database, role, 'select id from bulkhead.document')).toEqual([]);
      await expect(as(opened.database, 'audit', 'select id from bulkhead.document')).rejects.toMatchObject(
        REFUSED,
      );
      expect(await as(opened.database, 'audit', 'select seq from bulkhead.audit_record')).toEqual([]);
    });

    it('leaves nothing of one caller on its connection for the next', async () => {
      const settings = `select current_user, current_setting('bulkhead.tenant', true) as tenant`;
      await opened.database.unitOfWork('admin', undefined, async (trx) => {
        await sql`select set_config('bulkhead.tenant', '1', true)`.execute(trx);
      });
      expect(await as(opened.database, 'admin', settings)).toEqual([
        { current_user: 'bulkhead_admin', tenant: '' },
      ]);
    });

    it('without a role may not even look at the schema', async () => {
      await expect(
        as(opened.database, 'retrieve', 'reset role; select * from bulkhead.document'),
      ).rejects.toMatchObject(REFUSED);
    });

    it('without power of its own is enough, and can take none', async () => {
      const plain = await openPostgres(at(opened.url('plain'), { poolSize: 1 }));
      try {
        expect(await as(plain, 'retrieve', 'select id from bulkhead.document')).toEqual([]);
        for (const attempt of [
          'reset session authorization; select id from bulkhead.document',
          'set session authorization postgres',
          'set role bulkhead_owner',
          'set role bulkhead_kernel',
          'alter table bulkhead.document no force row level security',
          'create temporary table t (a int)',
          'create table public.t (a int)',
        ])
          await expect(as(plain, 'retrieve', attempt), attempt).rejects.toMatchObject(REFUSED);
      } finally {
        await plain.close();
      }
    });
  });
});
