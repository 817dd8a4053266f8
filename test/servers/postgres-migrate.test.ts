import { readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PgvectorCollections } from '../../src/index/pgvector-collections.ts';
import { migratePostgres, openPostgres } from '../../src/store/open-postgres.ts';
import { start } from '../helpers/command.ts';
import {
  at,
  findPostgres,
  type PostgresServer,
  runAs,
  startPostgres,
  untilSessions,
} from '../helpers/postgres-server.ts';
import { openTestTenant } from '../helpers/tenant.ts';

const programs = await findPostgres();

describe.skipIf(programs === undefined)('Migrations on a PostgreSQL server', () => {
  let server: PostgresServer;
  let folder: string;
  beforeAll(async () => {
    server = await startPostgres(programs);
    folder = await mkdtemp(join(tmpdir(), 'bulkhead-migrate-'));
  }, 120_000);
  afterAll(async () => {
    await server.stop();
    await rm(folder, { recursive: true });
  });
  const newDatabase = async () => (await server.createDatabase())();

  /** Somebody else is about to make what the first migration makes: it has to wait. */
  async function blocked(url: string, work: () => Promise<void>): Promise<void> {
    const blocker = new pg.Client({ connectionString: url });
    await blocker.connect();
    await blocker.query('begin; create schema bulkhead');
    await work();
    await blocker.query('rollback');
    await blocker.end();
  }

  it('that are killed half-way leave nothing, and are done by the next', async () => {
    const url = await newDatabase();
    await blocked(url, async () => {
      const migrator = start(['migrate'], { DATABASE_URL: url, BULKHEAD_DATA: folder });
      await untilSessions(url, "application_name = 'bulkhead migrate' and wait_event_type = 'Lock'");
      migrator.child.kill('SIGKILL');
      await migrator.finished;
    });
    await untilSessions(url, "application_name = 'bulkhead migrate'", 0);
    expect(await runAs(url, "select 1 from pg_namespace where nspname = 'bulkhead'")).toEqual([]);
    expect(await runAs(url, 'select name from kysely_migration')).toEqual([]);
    expect(await runAs(url, "select 1 from pg_locks where locktype = 'advisory'")).toEqual([]);
    expect(await migratePostgres(at(url))).toContain('0001_roles');
    await (await openPostgres(at(url))).close();
  });

  it('that wait too long for what is in use give up and say so, and leave nothing', {
    timeout: 20_000,
  }, async () => {
    const url = await newDatabase();
    await blocked(url, async () => {
      await expect(migratePostgres(at(url))).rejects.toMatchObject({
        code: 'database_unavailable',
        detail: expect.stringMatching(/^The database schema is as it was: 0001_roles waited too long/),
      });
    });
    expect(await runAs(url, 'select name from kysely_migration')).toEqual([]);
  });

  it('of a later version stop no replica of this one, and this one changes nothing then', async () => {
    const url = await newDatabase();
    await migratePostgres(at(url));
    await runAs(url, "insert into kysely_migration values ('9999_later', now()::text)");
    await (await openPostgres(at(url))).close();
    await expect(migratePostgres(at(url))).rejects.toMatchObject({
      code: 'store_unsafe',
      detail: expect.stringMatching(/later version/),
    });
  });

  it('make a partition of an audit log that was one table, and change no record of it', {
    timeout: 60_000,
  }, async () => {
    const url = await newDatabase();
    await applyBefore(url, '0023_audit_partitions');
    await runAs(url, "insert into bulkhead.tenant (name) values ('old')");
    const append = `select bulkhead.append_audit('w', '[{"tenant": 1, "kind": "x", "id": "abcdefghijklmnop", "body": "{}", "guard": null}]')`;
    for (let i = 0; i < 3; i += 1) await runAs(url, append);
    const records =
      'select chain_id, seq, tenant_id, at, body, prev_hash, hash from bulkhead.audit_record order by seq';
    const before = await runAs(url, records);
    expect(await migratePostgres(at(url))).toContain('0023_audit_partitions');
    expect(await runAs(url, records)).toEqual(before);
    await runAs(url, append);
    expect(
      await runAs(
        url,
        'select seq, tableoid::regclass::text as "in" from bulkhead.audit_record order by seq',
      ),
    ).toEqual(['1', '2', '3', '4'].map((seq) => ({ seq, in: 'bulkhead.audit_record_0' })));
    // a writer's checkpoint makes partitions ready while another appends
    await runAs(
      url,
      `set session_replication_role = replica; update bulkhead.audit_chain set last_seq = 33554430`,
    );
    await Promise.all([
      runAs(url, 'select bulkhead.prepare_audit_partitions()'),
      runAs(url, 'select bulkhead.prepare_audit_partitions()'),
      ...Array.from({ length: 5 }, () => runAs(url, append)),
    ]);
    const [last] = await runAs<{ in: string }>(
      url,
      'select tableoid::regclass::text as "in" from bulkhead.audit_record order by seq desc limit 1',
    );
    expect(last?.in).toBe('bulkhead.audit_record_33554432');
  });

  describe('for a database whose index is elsewhere', () => {
    const elsewhere = { withVectorIndex: false };

    it('need no vector extension', async () => {
      const url = await newDatabase();
      const done = await migratePostgres(at(url, elsewhere));
      expect(done).not.toContain('0003_index_tables');
      expect(await runAs(url, "select extname from pg_extension where extname = 'vector'")).toEqual([]);
      expect(await runAs(url, "select typname from pg_type where typname = 'vector'")).toEqual([]);
      expect(await runAs(url, "select relname from pg_class where relname like 'index\\_vector%'")).toEqual(
        [],
      );
      const database = await openPostgres(at(url, elsewhere));
      expect((await openTestTenant(database)).admin.subject.user.name).toBe('user:workforce|root');
      await database.close();
    });

    it('bring the index in when it is wanted, and leave it there when it is not', async () => {
      const url = await newDatabase();
      await migratePostgres(at(url, elsewhere));
      await expect(openPostgres(at(url))).rejects.toMatchObject({
        code: 'store_unsafe',
        detail: expect.stringMatching(/lacks 0003_index_tables, 0008_search/),
      });
      expect(await migratePostgres(at(url))).toContain('0003_index_tables');
      const database = await openPostgres(at(url));
      const index = await new PgvectorCollections(database).open({ fingerprint: 'm', dimension: 2 });
      expect(index).toBeDefined();
      await database.close();
      expect(await migratePostgres(at(url, elsewhere))).toEqual([]);
      await (await openPostgres(at(url, elsewhere))).close();
    });
  });
});

const MIGRATIONS = join(import.meta.dirname, '../../migrations');

/** The schema as it was, by the files themselves. */
async function applyBefore(url: string, migration: string): Promise<void> {
  const folders = [MIGRATIONS, join(MIGRATIONS, 'pgvector')];
  const files = folders.flatMap((folder) =>
    readdirSync(folder).map((name) => ({ name, path: join(folder, name) })),
  );
  await runAs(
    url,
    'create table kysely_migration (name varchar(255) primary key, timestamp varchar(255) not null)',
  );
  for (const { name, path } of files.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    if (!name.endsWith('.sql') || name >= migration) continue;
    await runAs(url, `begin; ${readFileSync(path, 'utf8')}; reset role; commit`);
    await runAs(url, `insert into kysely_migration values ('${name.replace('.sql', '')}', now()::text)`);
  }
}
