import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  migratePostgres,
  openPostgres,
  type PostgresOptions,
  writePostgresLogins,
} from '../../src/store/open-postgres.ts';
import { loginOf, SERVICE_ROLES } from '../../src/store/postgres-logins.ts';
import { PROCESS_ROLES, type ServiceRole } from '../../src/store/process-role.ts';
import { freePort, run } from '../helpers/command.ts';
import { at, findPostgres, type PostgresServer, runAs, startPostgres } from '../helpers/postgres-server.ts';

const programs = await findPostgres();
const PASSWORD = 'a-long-enough-password';

describe.skipIf(programs === undefined)('At its start, on a PostgreSQL server,', () => {
  let server: PostgresServer;
  let port: number;
  let folder: string;
  let ca: string;
  let url: (role?: string) => string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'bulkhead-start-'));
    const certificate = await makeCertificate(folder);
    ca = certificate.cert;
    port = await freePort();
    server = await startPostgres(programs, {
      settings: { ssl: 'on', listen_addresses: '127.0.0.1', port: String(port), fsync: 'on' },
      access: [
        'local all postgres trust',
        'hostssl all all 127.0.0.1/32 scram-sha-256',
        'local all /_trusted$ trust',
        'local all owner trust',
        'local all all scram-sha-256',
      ],
      files: { 'server.crt': certificate.cert, 'server.key': certificate.key },
    });
    url = await server.createDatabase();
    await migratePostgres(at(url()));
    await writeAll(PASSWORD);
  }, 120_000);
  afterAll(async () => {
    await server.stop();
    await rm(folder, { recursive: true });
  });

  const writeAll = (password: string) =>
    writePostgresLogins(at(url()), new Map(SERVICE_ROLES.map((role) => [role, password])));
  const open = async (options: PostgresOptions) => (await openPostgres(options)).close();
  const login = (role: ServiceRole, changes: Partial<PostgresOptions> = {}) =>
    at(url(loginOf(role)), { role, password: PASSWORD, production: true, ...changes });
  const unsafe = (detail: RegExp) => ({ code: 'store_unsafe', detail: expect.stringMatching(detail) });

  describe('a login', () => {
    it.each(SERVICE_ROLES)('made for the role "%s" is enough for it', async (role) => {
      await open(login(role));
    });

    it('made for one role is refused to the process of every other', async () => {
      for (const role of PROCESS_ROLES)
        for (const other of SERVICE_ROLES.filter((name) => name !== role))
          await expect(open(login(role, { role: other })), `${role} as ${other}`).rejects.toMatchObject(
            unsafe(/^The login "bulkhead_\w+_login" (has more privilege than|is not a member of)/),
          );
    });

    it('may take its own role in a unit of work and no other', async () => {
      const database = await openPostgres(login('retrieve'));
      const nothing = async () => 'ran';
      expect(await database.unitOfWork('retrieve', undefined, nothing)).toBe('ran');
      for (const role of ['ingest', 'indexer', 'admin', 'audit'] as const)
        await expect(database.unitOfWork(role, undefined, nothing)).rejects.toMatchObject({
          sqlState: '42501',
        });
      await database.close();
    });

    it('has its new password when it is made again, and not the old one', async () => {
      await writeAll(`${PASSWORD}-2`);
      await open(login('audit', { password: `${PASSWORD}-2` }));
      await expect(open(login('audit'))).rejects.toMatchObject({
        code: 'config_invalid',
        detail: expect.stringMatching(/refused the login: password authentication failed/),
      });
      await writeAll(PASSWORD);
    });

    it('loses what it should not have when it is made again', async () => {
      await runAs(url(), `grant bulkhead_owner, pg_read_all_data to ${loginOf('ingest')}`);
      await expect(open(login('ingest'))).rejects.toMatchObject(
        unsafe(/bulkhead_owner and pg_read_all_data/),
      );
      await writeAll(PASSWORD);
      await open(login('ingest'));
    });

    it('is not made with a password that is short, or of other characters', async () => {
      for (const password of ['short', 'a-pässword-of-letters'])
        await expect(writeAll(password)).rejects.toMatchObject({ code: 'config_invalid' });
    });

    it('is made by `bulkhead migrate --logins`, from a folder of files', async () => {
      const secrets = await mkdtemp(join(folder, 'secrets-'));
      await writeFile(join(secrets, 'indexer'), `${PASSWORD}-3\n`);
      const environment = { DATABASE_URL: url(), BULKHEAD_DATA: folder };
      const made = await run(['migrate', '--logins', secrets], environment);
      expect(made).toMatchObject({ code: 0, stderr: '' });
      expect(made.stdout).toContain('The login bulkhead_indexer_login is ready.');
      await open(login('indexer', { password: `${PASSWORD}-3` }));
      await writeFile(join(secrets, 'retreive'), PASSWORD);
      const refused = await run(['migrate', '--logins', secrets], environment);
      expect(refused.code).not.toBe(0);
      expect(refused.stderr).toContain('names no role');
      await writeAll(PASSWORD);
    });
  });

  describe('a process refuses a login that', () => {
    const cases: readonly (readonly [what: string, give: string, take: string])[] = [
      ['is a superuser', 'alter role $ superuser', 'alter role $ nosuperuser'],
      ['has BYPASSRLS', 'alter role $ bypassrls', 'alter role $ nobypassrls'],
      ['has CREATEROLE', 'alter role $ createrole', 'alter role $ nocreaterole'],
      ['has CREATEDB', 'alter role $ createdb', 'alter role $ nocreatedb'],
      ['has REPLICATION', 'alter role $ replication', 'alter role $ noreplication'],
      ['is a member of bulkhead_admin', 'grant bulkhead_admin to $', 'revoke bulkhead_admin from $'],
      [
        'is a member of bulkhead_ingest',
        'create role between nologin; grant bulkhead_ingest to between; grant between to $',
        'drop role between',
      ],
      ['has SUPERUSER', 'create role boss superuser; grant boss to $', 'drop role boss'],
      ['is a member of pg_read_all_data', 'grant pg_read_all_data to $', 'revoke pg_read_all_data from $'],
      [
        'is a member of pg_execute_server_program',
        'grant pg_execute_server_program to $',
        'revoke pg_execute_server_program from $',
      ],
      [
        'owns something',
        'create table bulkhead.mine (); alter table bulkhead.mine owner to $',
        'drop table bulkhead.mine',
      ],
      [
        'may create in the schema public',
        'grant create on schema public to $',
        'revoke create on schema public from $',
      ],
      [
        'may create in the schema bulkhead',
        'grant create on schema bulkhead to $',
        'revoke create on schema bulkhead from $',
      ],
      [
        'may create schemas in the database',
        'grant create on database % to $',
        'revoke create on database % from $',
      ],
      [
        'has SELECT on document through bulkhead_retrieve_login',
        'grant select on bulkhead.document to $',
        'revoke select on bulkhead.document from $',
      ],
      [
        'has SELECT on chunk.text through bulkhead_retrieve_login',
        'grant select (text) on bulkhead.chunk to $',
        'revoke select (text) on bulkhead.chunk from $',
      ],
      [
        'has EXECUTE on begin_incarnations\\(\\) through bulkhead_retrieve_login',
        'grant execute on function bulkhead.begin_incarnations to $',
        'revoke execute on function bulkhead.begin_incarnations from $',
      ],
      [
        'has INSERT on entry through friends',
        'create role friends; grant friends to $; grant insert on bulkhead.entry to friends',
        'drop owned by friends; drop role friends',
      ],
      [
        'has POLICY mine on bulkhead.chunk through bulkhead_retrieve_login',
        'create policy mine on bulkhead.chunk to $ using (true)',
        'drop policy mine on bulkhead.chunk',
      ],
      [
        'may make temporary tables',
        'grant temporary on database % to $',
        'revoke temporary on database % from $',
      ],
    ];
    it.each(cases)('%s', async (what, give, take) => {
      const fill = (statement: string) =>
        statement.replaceAll('$', loginOf('retrieve')).replaceAll('%', 'test_1');
      await runAs(url(), fill(give));
      try {
        await expect(open(login('retrieve', { production: false }))).rejects.toMatchObject(
          unsafe(new RegExp(what)),
        );
      } finally {
        await runAs(url(), fill(take));
      }
      await open(login('retrieve'));
    });

    it('was given much, of which nothing is left when it is made again', async () => {
      const it = loginOf('retrieve');
      await runAs(
        url(),
        `grant all on all tables in schema bulkhead to ${it}; grant all on all functions in schema bulkhead to ${it};
        grant select (text) on bulkhead.chunk to ${it}; grant all on all sequences in schema bulkhead to ${it};
        grant all on schema bulkhead, public to ${it}; grant all on database test_1 to ${it};
        create policy mine on bulkhead.chunk to ${it} using (true)`,
      );
      await expect(open(login('retrieve'))).rejects.toMatchObject(
        unsafe(/may create schemas in the database, .* and \d+ more\. Use one/),
      );
      await writeAll(PASSWORD);
      await open(login('retrieve'));
    });

    it('is the owner of the database, whatever the role', async () => {
      await runAs(
        url(),
        'create role owner login createrole; grant bulkhead_app to owner; alter database test_1 owner to owner',
      );
      for (const role of SERVICE_ROLES)
        await expect(open(at(url('owner'), { role }))).rejects.toMatchObject(unsafe(/more privilege than/));
      await runAs(url(), 'alter database test_1 owner to postgres');
    });

    it('is a superuser, in production even where one process does everything', async () => {
      await open(at(url()));
      await expect(open(at(url(), { production: true }))).rejects.toMatchObject(
        unsafe(/takes back whatever it gave up/),
      );
      for (const role of PROCESS_ROLES)
        await expect(open(at(url(), { role }))).rejects.toMatchObject(unsafe(/is a superuser/));
    });
  });

  describe('a process refuses a schema in which', () => {
    const cases: readonly (readonly [what: string, role: ServiceRole, change: string, back: string])[] = [
      [
        'everybody (PUBLIC) has SELECT on document',
        'audit',
        'grant select on bulkhead.document to public',
        'revoke select on bulkhead.document from public',
      ],
      [
        'everybody (PUBLIC) has POLICY open on bulkhead.chunk',
        'retrieve',
        'create policy open on bulkhead.chunk for select to public using (true)',
        'drop policy open on bulkhead.chunk',
      ],
      [
        'row-level security is not forced on chunk',
        'retrieve',
        'alter table bulkhead.chunk disable row level security',
        'alter table bulkhead.chunk enable row level security',
      ],
      [
        'row-level security is not forced on entry',
        'admin',
        'alter table bulkhead.entry no force row level security',
        'alter table bulkhead.entry force row level security',
      ],
      [
        'bulkhead_retrieve has INSERT on entry',
        'all',
        'grant insert on bulkhead.entry to bulkhead_retrieve',
        'revoke insert on bulkhead.entry from bulkhead_retrieve',
      ],
      [
        'bulkhead_retrieve has SELECT on index_vector',
        'retrieve',
        'grant select on bulkhead.index_vector to bulkhead_retrieve',
        'revoke select on bulkhead.index_vector from bulkhead_retrieve',
      ],
      [
        'bulkhead_retrieve has SELECT on outbox',
        'retrieve',
        'grant select on bulkhead.outbox to bulkhead_retrieve',
        'revoke select on bulkhead.outbox from bulkhead_retrieve',
      ],
      [
        'bulkhead_indexer has SELECT on entry',
        'all',
        'grant select on bulkhead.entry to bulkhead_indexer',
        'revoke select on bulkhead.entry from bulkhead_indexer',
      ],
      [
        'bulkhead_admin has UPDATE on audit_chain',
        'admin',
        'grant update on bulkhead.audit_chain to bulkhead_admin',
        'revoke update on bulkhead.audit_chain from bulkhead_admin',
      ],
      [
        'bulkhead_ingest has SELECT on chunk.text',
        'ingest',
        'grant select (text) on bulkhead.chunk to bulkhead_ingest',
        'revoke select (text) on bulkhead.chunk from bulkhead_ingest',
      ],
      [
        'bulkhead_audit has SELECT on document',
        'audit',
        'grant select on bulkhead.document to bulkhead_audit',
        'revoke select on bulkhead.document from bulkhead_audit',
      ],
      [
        'bulkhead_indexer has TRUNCATE on outbox',
        'indexer',
        'grant truncate on bulkhead.outbox to bulkhead_indexer',
        'revoke truncate on bulkhead.outbox from bulkhead_indexer',
      ],
    ];
    it.each(cases)('%s', async (what, role, change, back) => {
      await runAs(url(), change);
      try {
        const refusal = await open(login(role)).catch((error: unknown) => error);
        expect(refusal).toMatchObject({ code: 'store_unsafe', detail: expect.stringContaining(what) });
      } finally {
        await runAs(url(), back);
      }
      await open(login(role));
    });
  });

  describe('a process refuses a server that', () => {
    const pretending = async (answer: string, work: () => Promise<void>) => {
      await runAs(
        url(),
        `create schema pretence; grant usage on schema pretence to public; ${answer}
        alter role ${loginOf('all')} set search_path = pretence, pg_catalog, public`,
      );
      try {
        await work();
      } finally {
        await runAs(url(), `drop schema pretence cascade; alter role ${loginOf('all')} reset search_path`);
      }
    };

    it('is older than 15', () =>
      pretending(
        `create function pretence.current_setting(text) returns text language sql as $$
           select case $1 when 'server_version_num' then '140011' when 'server_version' then '14.11' else pg_catalog.current_setting($1) end $$;`,
        () =>
          expect(open(login('all'))).rejects.toMatchObject(
            unsafe(/^The server is PostgreSQL 14\.11; .* 15 or newer\.$/),
          ),
      ));

    it('is a standby', () =>
      pretending(
        'create function pretence.pg_is_in_recovery() returns boolean language sql as $$ select true $$;',
        () => expect(open(login('all'))).rejects.toMatchObject(unsafe(/is a standby/)),
      ));

    it('has another clock, and warns of one that is a little off', async () => {
      const warnings: string[] = [];
      const skewed = (ms: number) =>
        login('all', { now: () => Date.now() + ms, warn: (line) => warnings.push(line) });
      await open(skewed(1_000));
      expect(warnings).toEqual([]);
      await open(skewed(-3_000));
      expect(warnings).toEqual([
        expect.stringMatching(/^The clock of the database is 3\.\d s ahead of this machine's\.$/),
      ]);
      await expect(open(skewed(6_000))).rejects.toMatchObject(
        unsafe(/\d\.\d s behind this machine's\. Synchronise them\.$/),
      );
    });

    it('lacks migrations', async () => {
      const fresh = (await server.createDatabase())();
      await expect(open(at(fresh))).rejects.toMatchObject(
        unsafe(/lacks 0001_roles, .*Run: bulkhead migrate$/),
      );
    });
  });

  describe('TLS', () => {
    const remote = (host: string, changes: Partial<PostgresOptions> = {}) =>
      login('all', { url: `postgres://${loginOf('all')}@${host}:${port}/test_1`, ...changes });

    it('is used where an authority is given, and its chain and host name are verified', async () => {
      const database = await openPostgres(remote('localhost', { ca }));
      const [row] = await database.statement(
        'audit',
        undefined,
        sql<{ pid: number }>`select pg_backend_pid() as pid`,
      );
      expect(await runAs(url(), `select ssl from pg_stat_ssl where pid = ${row?.pid}`)).toEqual([
        { ssl: true },
      ]);
      await database.close();
    });

    it('by a certificate of another host is refused in one line', async () => {
      await expect(open(remote('127.0.0.1', { ca }))).rejects.toMatchObject({
        code: 'config_invalid',
        detail: expect.stringMatching(
          /was not accepted: Hostname\/IP does not match certificate's altnames[^\n]*$/,
        ),
      });
    });

    it('by a certificate that the authority did not sign is refused in one line', async () => {
      const other = await makeCertificate(await mkdtemp(join(folder, 'other-')));
      await expect(open(remote('localhost', { ca: other.cert }))).rejects.toMatchObject({
        code: 'config_invalid',
        detail: expect.stringMatching(/was not accepted: [^\n]*self[- ]signed certificate[^\n]*$/),
      });
    });

    it('is not left out silently: a server that demands it says so', async () => {
      await expect(open(remote('localhost'))).rejects.toMatchObject({
        code: 'config_invalid',
        detail: expect.stringMatching(/no encryption/),
      });
    });
  });
});

/** For `localhost` and no address; signed by itself, and so its own authority. */
async function makeCertificate(into: string) {
  const [cert, key] = [join(into, 'cert.pem'), join(into, 'key.pem')];
  await promisify(execFile)('openssl', [
    ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'],
    ...['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost', '-keyout', key, '-out', cert],
  ]);
  return { cert: await readFile(cert, 'utf8'), key: await readFile(key, 'utf8') };
}
