import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { loadConfig } from '../../src/config/config.ts';
import { type ComposeService, membershipsOf, PROJECT, readCompose } from '../helpers/compose.ts';

const OPENSSL = 'openssl';
const read = (path: string) => readFileSync(join(PROJECT, path), 'utf8');

/** What a service may hold, by role; the database and its own login apart. */
const PROCESS_ROLES = ['retrieve', 'ingest', 'indexer', 'admin', 'audit'] as const;

describe('docker-compose.yml', () => {
  const compose = readCompose();
  const services = Object.entries(compose.services);
  const secretsOf = ({ secrets = [] }: ComposeService) =>
    secrets.map((secret) => (typeof secret === 'string' ? secret : secret.source)).sort();

  it.each(services)('confines %s: no root, nothing writable but its volume, no privilege', (_, service) => {
    expect(service.user).toMatch(/^[1-9]\d*:\d+$/);
    expect(service.read_only).toBe(true);
    expect(service.cap_drop).toEqual(['ALL']);
    expect(service.cap_add).toBeUndefined();
    expect(service.privileged).toBeUndefined();
    expect(service.security_opt).toEqual(['no-new-privileges:true']);
    expect(service.network_mode).toBeUndefined();
    expect(service.deploy?.resources?.limits).toMatchObject({
      cpus: expect.any(String),
      memory: expect.any(String),
      pids: expect.any(Number),
    });
    for (const mount of service.tmpfs ?? []) expect(mount).toMatch(/:rw,.*nosuid,nodev,.*size=\d+m/);
    for (const volume of service.volumes ?? [])
      expect(Object.keys(compose.volumes)).toContain(volume.split(':')[0]);
  });

  it('names every image with its version', () => {
    for (const [, { image }] of services) expect(image).toMatch(/^[a-z/-]+:[a-z]*[\d.]*\d(-[a-z]+)?$/);
  });

  it('holds no secret: each is a file of .secrets, which is not in git', () => {
    expect(read('.gitignore').split('\n')).toContain('.secrets/');
    for (const { file } of Object.values(compose.secrets)) expect(file).toMatch(/^\.secrets\/[a-z.-]+$/);
    for (const [, { environment }] of services)
      for (const [name, value] of Object.entries(environment)) {
        if (/PASSWORD|SECRET|_KEY|TOKEN/.test(name)) expect(value, name).toMatch(/^\/run\/secrets\//);
        expect(value, name).not.toMatch(/:\/\/[^/]*:[^/]*@/);
      }
  });

  it('gives each role its own login, and the keys that the role needs', () => {
    const held = Object.fromEntries(
      PROCESS_ROLES.map((role) => [role, secretsOf(compose.services[role] as ComposeService)]),
    );
    const listener = (role: string) => [`${role}.crt`, `${role}.key`];
    const sorted = (...names: readonly string[]) => ['ca.crt', ...names].sort();
    expect(held).toEqual({
      retrieve: sorted('login-retrieve', ...listener('retrieve'), 'qdrant-read-key', 'keycloak-client'),
      ingest: sorted('login-ingest', ...listener('ingest')),
      indexer: sorted('login-indexer', 'qdrant-write-key'),
      admin: sorted('login-admin', ...listener('admin')),
      audit: sorted('login-audit', ...listener('audit')),
    });
    for (const role of PROCESS_ROLES)
      expect(compose.services[role]?.environment).toMatchObject({
        BULKHEAD_ROLE: role,
        DATABASE_URL: `postgres://bulkhead_${role}_login@postgres:5432/bulkhead`,
      });
  });

  it('joins two services by each network, and one by those that publish a port', () => {
    for (const profile of ['roles', 'single']) {
      const members = new Map<string, string[]>();
      for (const [service, joined] of membershipsOf(compose, profile))
        for (const network of joined.keys()) members.set(network, [...(members.get(network) ?? []), service]);
      for (const [network, joined] of members) {
        if (network.startsWith('edge-')) expect(joined, network).toHaveLength(1);
        else expect(joined.length, network).toBeLessThanOrEqual(2);
      }
    }
    for (const [name, settings] of Object.entries(compose.networks))
      if (name.startsWith('edge-'))
        expect(settings.driver_opts).toEqual({ 'com.docker.network.bridge.enable_ip_masquerade': 'false' });
      else expect(settings, name).toEqual({ internal: true });
  });

  it('publishes ports to this machine only, and none of a store', () => {
    const published = services.filter(([, { ports = [] }]) => ports.length > 0).map(([name]) => name);
    expect(published.sort()).toEqual(['admin', 'all', 'audit', 'ingest', 'keycloak', 'retrieve']);
    for (const [, { ports = [] }] of services)
      for (const port of ports) expect(port).toMatch(/^127\.0\.0\.1:\d+:\d+$/);
  });

  it('starts a role only on a migrated schema and stores that answer', () => {
    for (const role of [...PROCESS_ROLES, 'all'])
      expect(compose.services[role]?.depends_on).toMatchObject({
        migrate: { condition: 'service_completed_successfully' },
        postgres: { condition: 'service_healthy' },
      });
    for (const [name, { healthcheck }] of services)
      if (['postgres', 'qdrant', 'keycloak'].includes(name)) expect(healthcheck?.test?.[0]).toBe('CMD');
  });

  it('refers to nothing that is not there', () => {
    const used = (list: readonly (string | { readonly source: string })[] = []) =>
      list.map((entry) => (typeof entry === 'string' ? entry : entry.source));
    const all = services.map(([, service]) => service);
    expect([...new Set(all.flatMap(secretsOf))].sort()).toEqual(Object.keys(compose.secrets).sort());
    expect([...new Set(all.flatMap(({ configs }) => used(configs)))].sort()).toEqual(
      Object.keys(compose.configs).sort(),
    );
    for (const { file } of Object.values(compose.configs))
      expect(existsSync(join(PROJECT, file)), file).toBe(true);
    const joined = services.flatMap(([, { networks }]) =>
      Array.isArray(networks) ? networks : Object.keys(networks),
    );
    expect([...new Set(joined)].sort()).toEqual(Object.keys(compose.networks).sort());
  });
});

describe('make-secrets.sh', () => {
  let folder: string;
  const compose = readCompose();
  const make = () =>
    execFileSync(join(PROJECT, 'deploy/compose/make-secrets.sh'), [folder], { stdio: 'pipe' });
  const contents = () =>
    new Map(readdirSync(folder).map((name) => [name, readFileSync(join(folder, name), 'utf8')]));

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'bulkhead-secrets-'));
    make();
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it('makes every secret that the compose file names, in a folder for its owner alone', () => {
    const made = [...contents().keys()];
    expect(made).toEqual(
      expect.arrayContaining(Object.values(compose.secrets).map(({ file }) => file.slice(9))),
    );
    expect(statSync(folder).mode & 0o777).toBe(0o700);
    expect(statSync(join(folder, 'ca.key')).mode & 0o777).toBe(0o400);
  });

  it('changes nothing when it is run again, and makes again what was taken away', () => {
    const before = contents();
    rmSync(join(folder, 'login-audit'));
    make();
    const after = contents();
    expect(after.get('login-audit')).toMatch(/^[0-9a-f]{64}$/);
    expect(after.get('login-audit')).not.toBe(before.get('login-audit'));
    expect([...after.keys()].sort()).toEqual([...before.keys()].sort());
    for (const [name, text] of after) if (name !== 'login-audit') expect(text, name).toBe(before.get(name));
  });

  it('makes two passwords never the same', () => {
    const passwords = [...contents()]
      .filter(([, text]) => /^[0-9a-f]{64}$/.test(text))
      .map(([, text]) => text);
    expect(passwords.length).toBeGreaterThanOrEqual(14);
    expect(new Set(passwords).size).toBe(passwords.length);
  });

  it('signs certificates that verify against its authority, each for its service', () => {
    for (const name of ['postgres', 'qdrant', 'keycloak', 'retrieve', 'ingest', 'admin', 'audit']) {
      const args = [
        'verify',
        '-CAfile',
        'ca.crt',
        '-purpose',
        'sslserver',
        '-verify_hostname',
        name,
        `${name}.crt`,
      ];
      expect(execFileSync(OPENSSL, args, { cwd: folder, encoding: 'utf8' })).toBe(`${name}.crt: OK\n`);
    }
  });

  it('fills the realm in, and leaves no placeholder', () => {
    const realm = JSON.parse(contents().get('keycloak-realm.json') ?? '') as {
      readonly clients: readonly { readonly secret: string; readonly redirectUris: readonly string[] }[];
    };
    expect(JSON.stringify(realm)).not.toContain('@first-password@');
    expect(realm.clients[0]?.secret).toBe(contents().get('keycloak-client'));
    expect(realm.clients[0]?.redirectUris).toEqual([
      `${compose.services.retrieve?.environment.BULKHEAD_URL}/callback`,
    ]);
  });
});

describe("the roles' configuration", () => {
  const common = parse(read('deploy/compose/bulkhead.yaml')) as Record<string, unknown>;
  const withPages = parse(read('deploy/compose/bulkhead-pages.yaml')) as Record<string, unknown>;

  it('is the same with and without pages, but for the sign-in', () => {
    const { signIn, ...rest } = withPages;
    expect(rest).toEqual(common);
    expect(signIn).toEqual({ clientId: 'bulkhead', clientSecretFile: '/run/secrets/keycloak-client' });
  });

  it('is one that the program takes, and names the issuer that Keycloak is', () => {
    const config = loadConfig({
      BULKHEAD_CONFIG: join(PROJECT, 'deploy/compose/bulkhead.yaml'),
      NODE_ENV: 'production',
    });
    expect(config.demo).toBe(false);
    const { KC_HOSTNAME } = readCompose().services.keycloak?.environment ?? {};
    expect(config.issuers.map(({ issuer }) => issuer)).toEqual([`${KC_HOSTNAME}/realms/meridian`]);
  });
});

describe('The image', () => {
  const dockerfile = read('Dockerfile');

  it('copies only what is there and not kept out of the build', () => {
    const kept = new Set(
      read('.dockerignore')
        .split('\n')
        .filter((line) => line.startsWith('!'))
        .map((line) => line.slice(1)),
    );
    const copied = [...dockerfile.matchAll(/^COPY (?!--from)(.+) \S+$/gm)].flatMap(([, sources]) =>
      (sources ?? '').split(' '),
    );
    expect(copied.length).toBeGreaterThan(8);
    for (const source of copied) {
      expect(existsSync(join(PROJECT, source)), source).toBe(true);
      expect([...kept], source).toContain(source);
    }
  });

  it('ends as an account without power, in production, with the version of the package', () => {
    const { version } = JSON.parse(read('package.json')) as { readonly version: string };
    expect([...dockerfile.matchAll(/^USER (.+)$/gm)].at(-1)?.[1]).toBe('10001:10001');
    expect([...dockerfile.matchAll(/^ENV NODE_ENV=(.+)$/gm)].at(-1)?.[1]).toBe('production');
    expect(dockerfile).toContain(`org.opencontainers.image.version="${version}"`);
    expect(readCompose().services.retrieve?.image).toBe(`bulkhead:${version}`);
  });
});
