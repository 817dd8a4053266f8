import { execFile } from 'node:child_process';
import { chownSync } from 'node:fs';
import { chmod, copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { SignJWT } from 'jose';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { membershipsOf, PROJECT, readCompose } from '../helpers/compose.ts';
import { type ConfinedOptions, IMAGE_UID, type Said, startConfined } from '../helpers/confined.ts';
import { newKey, type SigningKey } from '../helpers/identity-issuer.ts';
import { canMakeNamespaces, openTopology, type Topology } from '../helpers/namespaces.ts';
import { findPostgres } from '../helpers/postgres-server.ts';
import { findQdrant } from '../helpers/qdrant-server.ts';

// five processes load the program at once, two of them the model
vi.setConfig({ testTimeout: 120_000, hookTimeout: 300_000 });

const canWire = canMakeNamespaces();
const bin = await findPostgres();
const qdrant = findQdrant();
const compose = readCompose();
const memberships = membershipsOf(compose, 'roles');
const execute = promisify(execFile);

/** What each service may open a connection to; whatever is not named here, it may not. */
const MAY_REACH: Readonly<Record<string, readonly string[]>> = {
  migrate: ['postgres'],
  retrieve: ['keycloak', 'postgres', 'qdrant'],
  ingest: ['keycloak', 'postgres'],
  indexer: ['postgres', 'qdrant'],
  admin: ['keycloak', 'postgres'],
  audit: ['keycloak', 'postgres'],
};

describe.skipIf(!canWire)("In network namespaces wired like the compose file's networks", () => {
  const PORT = 4000;
  let topology: Topology;

  beforeAll(async () => {
    topology = openTopology(memberships);
    const answering = `require('node:net').createServer((socket) => socket.end()).listen(${PORT}, '0.0.0.0', () => console.log('up'))`;
    const listening = topology.services.map(
      (service) =>
        new Promise((resolve, reject) => {
          const server = topology.start(service, [process.execPath, '-e', answering]);
          server.stdout?.once('data', resolve);
          server.once('close', reject);
        }),
    );
    await Promise.all(listening);
  });
  afterAll(() => topology?.close());

  it.each(Object.entries(MAY_REACH))('%s can connect to %j and to nothing else', async (service, allowed) => {
    expect(await topology.reachable(service, PORT)).toEqual(allowed);
  });
});

const ISSUER = 'https://keycloak.localhost:8450/realms/meridian';
const ADMINISTRATOR = '5f7c0f0e-8a54-4d3f-9a41-0c1f3a1d0001';
const READER = '5f7c0f0e-8a54-4d3f-9a41-0c1f3a1d0002';

describe.skipIf(!canWire || bin === undefined)('The roles of the compose file, each in its namespace', () => {
  let topology: Topology;
  let folder: string;
  let key: SigningKey;
  let options: ConfinedOptions;
  const roles = new Map<string, Said>();

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'bulkhead-topology-'));
    await chmod(folder, 0o755);
    const secrets = join(folder, 'secrets');
    await execute(join(PROJECT, 'deploy/compose/make-secrets.sh'), [secrets]);
    const volumes = join(folder, 'volumes');
    await mkdir(volumes);
    for (const service of memberships.keys()) {
      await mkdir(join(volumes, service), { mode: 0o700 });
      chownSync(join(volumes, service), IMAGE_UID, IMAGE_UID);
    }
    topology = openTopology(memberships);
    // the pages' configuration names a secret that is mounted; one path is all that differs from the container's
    const environment = {
      BULKHEAD_DATA: '/run/data',
      BULKHEAD_CONFIG: join(PROJECT, 'deploy/compose/bulkhead.yaml'),
      NODE_ENV: 'production',
      BULKHEAD_HOST: '0.0.0.0',
      BULKHEAD_INGEST_WORKERS: '1',
      // without a Qdrant here, the index is in the database
      ...(qdrant === undefined && {
        QDRANT_URL: undefined,
        QDRANT_CA_FILE: undefined,
        QDRANT_READ_KEY_FILE: undefined,
        QDRANT_API_KEY_FILE: undefined,
      }),
    };
    options = { topology, compose, secrets, volumes, environment };
    key = await newKey('one');
    await Promise.all([startIssuer(secrets), startPostgres(secrets), qdrant && startQdrant(secrets, qdrant)]);
    await finished(startConfined(options, 'migrate'));
    const init = ['init', '--tenant', 'meridian', '--issuer', 'workforce', '--admin', ADMINISTRATOR];
    await finished(startConfined(options, 'admin', init));
    for (const role of ['indexer', 'admin', 'audit', 'ingest', 'retrieve'])
      roles.set(role, startConfined(withPages(role), role));
    await Promise.all([...roles.keys()].map(untilHealthy));
  });

  afterAll(async () => {
    topology?.close();
    await rm(folder, { recursive: true, force: true });
  });

  function withPages(role: string): ConfinedOptions {
    if (role !== 'retrieve') return options;
    const BULKHEAD_CONFIG = join(PROJECT, 'deploy/compose/bulkhead-pages.yaml');
    return { ...options, environment: { ...options.environment, BULKHEAD_CONFIG } };
  }

  async function finished({ finished: end }: Said): Promise<void> {
    const { code, output } = await end;
    if (code !== 0) throw new Error(output);
  }

  function up(service: string, command: readonly string[], env = {}, uid?: number): Promise<void> {
    const child = topology.start(service, command, { env, ...(uid !== undefined && { uid }) });
    return new Promise((resolve, reject) => {
      let said = '';
      for (const stream of [child.stdout, child.stderr])
        stream?.on('data', (text) => {
          said += text;
          if (/^up|ready to accept connections|TLS enabled for REST API|actix/m.test(said)) resolve();
        });
      child.once('close', () => reject(new Error(`${service} ended: ${said}`)));
    });
  }

  function startIssuer(secrets: string): Promise<void> {
    const script = join(PROJECT, 'test/helpers/small-issuer.mjs');
    return up('keycloak', [
      process.execPath,
      script,
      secrets,
      ISSUER,
      JSON.stringify({ keys: [key.publicJwk] }),
    ]);
  }

  /** As deploy/compose/start-postgres.sh starts it, but that its socket trusts this test. */
  async function startPostgres(secrets: string): Promise<void> {
    const NOBODY = 65534;
    const home = join(folder, 'postgres');
    await mkdir(home);
    chownSync(home, NOBODY, NOBODY);
    const account = { uid: NOBODY, gid: NOBODY, cwd: home };
    const initdb = [
      '-D',
      join(home, 'data'),
      '-U',
      'postgres',
      '-A',
      'trust',
      '-E',
      'UTF8',
      '--no-locale',
      '-N',
    ];
    await execute(join(bin ?? '', 'initdb'), initdb, account);
    const access = await readFile(join(PROJECT, 'deploy/compose/pg_hba.conf'), 'utf8');
    await writeFile(join(home, 'pg_hba.conf'), access.replace(/^(local.*)peer$/m, '$1trust'));
    for (const name of ['postgres.crt', 'postgres.key']) {
      await writeFile(join(home, name), await readFile(join(secrets, name)), { mode: 0o600 });
      chownSync(join(home, name), NOBODY, NOBODY);
    }
    const settings = Object.entries({
      listen_addresses: '*',
      unix_socket_directories: home,
      hba_file: join(home, 'pg_hba.conf'),
      ssl: 'on',
      ssl_cert_file: join(home, 'postgres.crt'),
      ssl_key_file: join(home, 'postgres.key'),
      ssl_min_protocol_version: 'TLSv1.3',
    }).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
    await up('postgres', [join(bin ?? '', 'postgres'), '-D', join(home, 'data'), ...settings], {}, NOBODY);
    const env = { PATH: `${bin}:${process.env.PATH}`, PGHOST: home, POSTGRES_USER: 'postgres' };
    await execute('createdb', ['-U', 'postgres', 'bulkhead'], { env });
    const init = await readFile(join(PROJECT, 'deploy/compose/init-postgres.sh'), 'utf8');
    await execute('bash', ['-c', init.replaceAll('/run/secrets', secrets)], { env });
  }

  async function startQdrant(secrets: string, binary: string): Promise<void> {
    const home = join(folder, 'qdrant');
    await mkdir(home);
    const settings = await readFile(join(secrets, 'qdrant.yaml'), 'utf8');
    await writeFile(join(home, 'qdrant.yaml'), settings.replaceAll('/run/secrets', secrets));
    const {
      QDRANT__STORAGE__STORAGE_PATH: _,
      QDRANT__STORAGE__SNAPSHOTS_PATH: __,
      ...environment
    } = compose.services.qdrant?.environment ?? {};
    await up('qdrant', [binary, '--config-path', join(home, 'qdrant.yaml')], {
      ...environment,
      QDRANT__STORAGE__STORAGE_PATH: join(home, 'storage'),
      QDRANT__STORAGE__SNAPSHOTS_PATH: join(home, 'snapshots'),
      QDRANT_INIT_FILE_PATH: join(home, 'initialized'),
    });
  }

  /** The image's own health check, inside. */
  async function untilHealthy(role: string): Promise<void> {
    const address = role === 'indexer' ? 'http://127.0.0.1:8080/readyz' : 'https://127.0.0.1:8443/readyz';
    for (;;) {
      const check = topology.start(role, [process.execPath, join(PROJECT, 'bin/healthcheck.mjs'), address]);
      const code = await new Promise((resolve) => check.once('close', resolve));
      if (code === 0) return;
      const { child, output } = roles.get(role) as Said;
      if (child.exitCode !== null) throw new Error(`${role} ended: ${output()}`);
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
  }

  const tokenOf = (account: string) => {
    const now = Math.floor(Date.now() / 1000);
    const claims = { azp: 'bulkhead', auth_time: now - 1, acr: '1' };
    return new SignJWT(claims)
      .setProtectedHeader({ alg: 'ES256', kid: key.kid, typ: 'at+jwt' })
      .setIssuer(ISSUER)
      .setAudience('urn:bulkhead:api')
      .setSubject(account)
      .setIssuedAt(now - 1)
      .setExpirationTime(now + 300)
      .sign(key.privateKey);
  };

  /** From outside, by the published port, trusting the private authority alone. */
  async function ask(role: string, account: string, method: string, path: string, body?: object) {
    const options_ = {
      host: topology.address(role, `edge-${role}`),
      port: 8443,
      servername: 'localhost',
      ca: await readFile(join(folder, 'secrets/ca.crt')),
      method,
      path,
      headers: { authorization: `Bearer ${await tokenOf(account)}`, 'content-type': 'application/json' },
    };
    return new Promise<{ status: number | undefined; text: string }>((resolve, reject) => {
      const call = request(options_, (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (part: string) => {
          text += part;
        });
        response.once('end', () => resolve({ status: response.statusCode, text }));
      });
      call.once('error', reject);
      call.end(body === undefined ? undefined : JSON.stringify(body));
    });
  }

  it('answer a question end to end: one labels, one takes in, one indexes, one retrieves, one audits', async () => {
    const reader = `user:workforce|${READER}`;
    const container = { path: '/log', level: 'internal' };
    expect(await ask('admin', ADMINISTRATOR, 'POST', '/v1/containers', container)).toMatchObject({
      status: 201,
    });
    const entry = { allow: 'everyone' };
    expect(await ask('admin', ADMINISTRATOR, 'POST', '/v1/containers/log/entries', entry)).toMatchObject({
      status: 201,
    });
    const person = { principal: reader, display_name: 'Petra Fuchs' };
    expect(await ask('admin', ADMINISTRATOR, 'POST', '/v1/principals', person)).toMatchObject({
      status: 201,
    });
    const clearances = `/v1/principals/${encodeURIComponent(reader)}/clearances`;
    const cleared = await ask('admin', ADMINISTRATOR, 'POST', clearances, { level: 'internal' });
    expect(cleared.status, cleared.text).toBeLessThan(300);

    const document = {
      container: '/log',
      external_id: 'tide',
      media_type: 'text/plain',
      text: 'The tide gauge at St Malo was calibrated on Monday.',
    };
    const taken = await ask('ingest', ADMINISTRATOR, 'POST', '/v1/documents', document);
    expect(taken.status, taken.text).toBeLessThan(300);

    const question = { query: 'tide gauge', limit: 3 };
    await vi.waitFor(
      async () => {
        const answer = await ask('retrieve', READER, 'POST', '/v1/retrieve', question);
        expect(answer).toMatchObject({ status: 200, text: expect.stringContaining('calibrated on Monday') });
      },
      { timeout: 30_000, interval: 500 },
    );
    const log = await ask('audit', ADMINISTRATOR, 'GET', '/v1/audit/records?kind=release');
    expect(log).toMatchObject({ status: 200, text: expect.stringContaining('"writer":"retrieve-1"') });
  });

  it('verify in the audit process, once it has what proves the chains of the others', async () => {
    for (const role of ['retrieve', 'ingest', 'admin']) {
      const witness = join(folder, 'volumes/audit/witnesses', `${role}-1`);
      await mkdir(witness, { recursive: true });
      // as collect-witnesses.sh does it, the copies belong to the account that reads them
      for (const file of ['audit.pub', 'audit-checkpoints.ndjson'])
        await copyFile(join(folder, 'volumes', role, file), join(witness, file))
          .then(() => chownSync(join(witness, file), IMAGE_UID, IMAGE_UID))
          .catch(() => {});
    }
    const verdict = await ask('audit', ADMINISTRATOR, 'POST', '/v1/audit/verify');
    expect(verdict).toMatchObject({ status: 200, text: expect.stringContaining('"problems":[]') });
  });

  it("serve no other role's routes", async () => {
    const question = { query: 'tide gauge' };
    for (const role of ['ingest', 'admin', 'audit'])
      expect(await ask(role, READER, 'POST', '/v1/retrieve', question), role).toMatchObject({ status: 404 });
    expect(await ask('retrieve', ADMINISTRATOR, 'GET', '/v1/containers')).toMatchObject({ status: 404 });
  });

  it('cannot be reached by each other: ingest not retrieve, audit not Qdrant, nobody the indexer', async () => {
    const everyRole = [...roles.keys()];
    for (const role of everyRole) expect(await topology.reachable(role, 8443), role).toEqual([]);
    const atDatabase = await Promise.all(everyRole.map((role) => topology.reachable(role, 5432)));
    expect(atDatabase).toEqual(everyRole.map(() => ['postgres']));
    if (qdrant === undefined) return;
    expect(await topology.reachable('retrieve', 6333)).toEqual(['qdrant']);
    for (const role of ['ingest', 'admin', 'audit'])
      expect(await topology.reachable(role, 6333), role).toEqual([]);
  });

  it('end on SIGTERM by themselves, with nothing but their data written', async () => {
    for (const { child } of roles.values()) child.kill('SIGTERM');
    for (const [role, { finished: end }] of roles) expect((await end).code, role).toBe(0);
  });
});
