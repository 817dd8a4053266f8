import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { type Environment, type Finished, run } from '../helpers/command.ts';
import { AUDIENCE, IssuerServer, newKey, type SigningKey } from '../helpers/identity-issuer.ts';
import { findPostgres, type PostgresServer, runAs, startPostgres } from '../helpers/postgres-server.ts';

// each command is a process, and the machine may be busy
vi.setConfig({ testTimeout: 180_000, hookTimeout: 300_000 });

const bin = await findPostgres();
const execute = promisify(execFile);
const WRITER = 'all-1';

/**
 * docs/operations.md, as it is written: a dump is taken, life goes on, another server is made and gets the dump, and
 * the data folder is the one that lived on.
 */
describe.skipIf(bin === undefined)('A database restored from its backup', () => {
  let folder: string;
  let issuer: IssuerServer;
  let key: SigningKey;
  let servers: readonly PostgresServer[] = [];
  let env: Environment;
  let restoredUrl: string;

  const ok = async (finished: Promise<Finished>): Promise<string> => {
    const { code, stdout, stderr } = await finished;
    expect({ code, stderr }).toMatchObject({ code: 0 });
    return stdout;
  };
  const tokenOf = (account: string) => {
    const now = Math.floor(Date.now() / 1000);
    return issuer.sign(key, { sub: account, iat: now - 1, exp: now + 3600, auth_time: now - 1 });
  };
  const asRea = async (environment: Environment) => ({
    ...environment,
    BULKHEAD_TOKEN: await tokenOf('rea'),
  });
  const note = (name: string, text: string) => writeFile(join(folder, 'log', name), text);
  const ingest = () => run(['ingest', join(folder, 'log'), '--container', '/log'], env);
  const epochs = (url: string) =>
    runAs<{ incarnation: string; counter: number }>(
      url,
      'select incarnation, counter::int from bulkhead.policy_epoch',
    );

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'bulkhead-backup-'));
    issuer = await IssuerServer.start();
    key = await newKey('one');
    issuer.published = [key];
    const own = {
      name: 'house',
      tenant: 'acme',
      issuer: issuer.url,
      audience: AUDIENCE,
      jwksUri: `${issuer.url}/jwks`,
    };
    await writeFile(join(folder, 'bulkhead.yaml'), JSON.stringify({ issuers: [own] }));
    await mkdir(join(folder, 'log'));
    await note('.acl.yaml', 'level: public\nentries:\n  - allow: everyone\n');
    await note('tide.txt', 'The tide gauge at St Malo was calibrated on Monday.');
    servers = [await startPostgres(bin), await startPostgres(bin)];
    const url = (await servers[0]?.createDatabase())?.() ?? '';
    restoredUrl = (await servers[1]?.createDatabase())?.() ?? '';
    env = {
      BULKHEAD_DATA: join(folder, 'data'),
      BULKHEAD_CONFIG: join(folder, 'bulkhead.yaml'),
      BULKHEAD_WRITER: WRITER,
      BULKHEAD_TOKEN: await tokenOf('jane.doe'),
      DATABASE_URL: url,
    };
    await ok(run(['migrate'], env));
    await ok(run(['init', '--tenant', 'acme', '--issuer', 'house', '--admin', 'jane.doe'], env));
    await ok(ingest());
  });

  afterAll(async () => {
    await Promise.all(servers.map((server) => server.stop()));
    await issuer?.close();
    await rm(folder, { recursive: true, force: true });
  });

  const program = (name: string) => join(bin ?? '', name);
  const psql = (url: string, file: string) =>
    execute(program('psql'), ['--no-psqlrc', '--quiet', '--set', 'ON_ERROR_STOP=1', '--file', file, url]);

  it('is taken by pg_dump, as the server runs, with the roles beside it', async () => {
    const url = env.DATABASE_URL ?? '';
    await execute(program('pg_dump'), ['--format', 'custom', '--file', join(folder, 'bulkhead.dump'), url]);
    const { stdout } = await execute(program('pg_dumpall'), [
      '--roles-only',
      '--no-role-passwords',
      '--dbname',
      url,
    ]);
    await writeFile(join(folder, 'roles.sql'), stdout.replaceAll(/^(CREATE|ALTER) ROLE postgres\b.*$/gm, ''));
    expect(stdout).toContain('CREATE ROLE bulkhead_owner;');
  });

  it('lacks what came after: a revocation, a document, and the end of the audit log', async () => {
    await ok(run(['revoke', '/log', 'everyone'], env));
    await note('buoy.txt', 'Buoy 7 was taken in for repair.');
    await ok(ingest());
    expect(await ok(run(['audit', 'verify'], env))).toMatch(/: all as they were written\.\n$/);

    await psql(restoredUrl, join(folder, 'roles.sql'));
    await execute(program('pg_restore'), [
      '--exit-on-error',
      '--dbname',
      restoredUrl,
      join(folder, 'bulkhead.dump'),
    ]);
    const [before] = await epochs(env.DATABASE_URL ?? '');
    const [after] = await epochs(restoredUrl);
    expect(after?.incarnation).toBe(before?.incarnation);
    expect(after?.counter).toBeLessThan(before?.counter ?? 0);
    env = { ...env, DATABASE_URL: restoredUrl };
  });

  it('is told from the one before by `bulkhead restored`, which declares what the log lost', async () => {
    const [before] = await epochs(restoredUrl);
    const stdout = await ok(run(['restored'], env));
    expect(stdout).toContain(
      'The policy of acme has a new incarnation: nothing kept from before is believed.\n',
    );
    expect(stdout).toMatch(
      /The chain of all-1 ends at record \d+; records to \d+ at least are gone, and that is declared\.\n/,
    );
    expect((await epochs(restoredUrl))[0]?.incarnation).not.toBe(before?.incarnation);
    const kinds = (await ok(run(['audit', 'list', '--json', '--limit', '4'], env))) as string;
    const records = (JSON.parse(kinds) as { records: { kind: string; body: object }[] }).records;
    expect(records.map(({ kind }) => kind)).toEqual(
      expect.arrayContaining(['database.restored', 'audit.loss_declared']),
    );
  });

  it('verifies, and says each time what is gone', async () => {
    const stdout = await ok(run(['audit', 'verify'], env));
    expect(stdout).toMatch(
      /all as they were written\.\n {2}all-1: a restore took back all after record \d+, up to \d+ at least; declared .*\.\n$/,
    );
    expect(await ok(run(['restored'], env))).toContain(
      'No record that a checkpoint of this process knows is gone.\n',
    );
  });

  it('is served as it was then, with an index that doctor finds in order', async () => {
    await ok(run(['doctor', '--repair'], env));
    const people = 'user:house|rea';
    await runAs(
      restoredUrl,
      `insert into bulkhead.principal (tenant_id, kind, key) select id, 'user', '${people}' from bulkhead.tenant;
       insert into bulkhead.directory_account (principal_id, tenant_id, source, display_name)
         select id, tenant_id, 'house', 'Rea' from bulkhead.principal where key = '${people}';
       insert into bulkhead.clearance (tenant_id, principal_id, level, rank)
         select tenant_id, id, 'public', 0 from bulkhead.principal where key = '${people}'`,
    );
    const found = await ok(run(['retrieve', 'tide gauge', '--json'], await asRea(env)));
    expect(found).toContain('calibrated on Monday');
    expect(found).not.toContain('Buoy 7');
  });

  it('shows a cut that nobody declared: a chain that ends before its last checkpoint', async () => {
    const file = join(folder, 'data/audit-checkpoints.ndjson');
    const lines = (await readFile(file, 'utf8')).trimEnd().split('\n');
    await writeFile(file, `${lines.filter((line) => !line.includes('"kept"')).join('\n')}\n`);
    const { code, stdout, stderr } = await run(['audit', 'verify'], env);
    expect({ code, stderr }).toMatchObject({ code: 1, stderr: expect.stringContaining('(audit_broken)') });
    expect(stdout).toMatch(/cut-off|checkpoint-mismatch/);
  });
});
