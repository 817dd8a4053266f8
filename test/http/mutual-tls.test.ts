import { mkdtemp, rm } from 'node:fs/promises';
import { Agent, request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { listen, type RunningServer } from '../../src/http/server.ts';
import {
  type CertificateSource,
  type ClientCertificates,
  createClientCertificates,
} from '../../src/identity/client-certificates.ts';
import { openTestApp, type TestApp } from '../helpers/app.ts';
import {
  type MadeCertificate,
  makeAuthority,
  makeCertificate,
  type Wanted,
} from '../helpers/certificates.ts';

const REPORTS = 'spiffe://meridian.example/reports';
const INDEXER = 'spiffe://meridian.example/jobs/indexer';
const CRON = 'CN=cron,O=Meridian\\, Inc.,C=DE';
const CRON_SUBJECT = '/C=DE/O=Meridian, Inc./CN=cron';

let folder: string;
let own: MadeCertificate;
let mesh: MadeCertificate;
let stranger: MadeCertificate;
let sources: readonly CertificateSource[];
let certificates: ClientCertificates;
let test: TestApp;
let server: RunningServer;
/** How far the application's clock is ahead. */
let ahead = 0;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bulkhead-mtls-'));
  [own, mesh, stranger] = (await Promise.all(
    ['own', 'mesh', 'stranger'].map((name) => makeAuthority(folder, name)),
  )) as [MadeCertificate, MadeCertificate, MadeCertificate];
  sources = [
    {
      name: 'mesh',
      tenant: 'meridian',
      bundle: mesh.cert,
      accept: [{ spiffe: REPORTS }, { spiffe: INDEXER, service: 'indexer', rights: ['ingest'] }],
    },
    { name: 'own', tenant: 'meridian', bundle: own.cert, accept: [{ subject: CRON, service: 'cron' }] },
  ];
  certificates = createClientCertificates(sources);
  test = await openTestApp((services) => services, {
    certificates: { verify: (shown, now) => certificates.verify(shown, now + ahead) },
  });
  for (const principal of [`service:mesh|${REPORTS}`, 'service:mesh|indexer', 'service:own|cron'])
    await test.ask('root', 'POST', '/v1/principals', { principal, display_name: principal });
  await test.ask('root', 'POST', '/v1/containers/%2Fopen/roles', {
    principal: 'service:mesh|indexer',
    right: 'ingest',
  });
  await test.add('/open', 'Open to all.');
  const certificate = await makeCertificate(folder, own, { names: ['DNS:localhost'] });
  server = await listen(test.app, {
    host: '127.0.0.1',
    port: 0,
    certificate,
    clientAuthorities: certificates.authorities(),
  });
});
afterAll(async () => {
  await server?.close();
  await test?.close();
  await rm(folder, { recursive: true, force: true });
});

interface Answer {
  readonly status: number | undefined;
  readonly challenge: string | undefined;
  readonly json: Record<string, unknown>;
}

interface Asking {
  readonly shows?: Pick<MadeCertificate, 'cert' | 'key'> | undefined;
  readonly headers?: Record<string, string>;
  readonly agent?: Agent;
  readonly method?: string;
  readonly path?: string;
  readonly body?: object;
  readonly port?: number;
}

function ask({
  shows,
  headers = {},
  agent,
  method = 'GET',
  path = '/v1/documents',
  body,
  port,
}: Asking): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const options = {
      host: 'localhost',
      port: port ?? server.port,
      ca: own.cert,
      method,
      path,
      agent: agent ?? false,
    };
    const content = body === undefined ? {} : { 'content-type': 'application/json' };
    request({ ...options, ...shows, headers: { ...content, ...headers } }, (answer) => {
      let text = '';
      answer.on('data', (chunk) => (text += chunk));
      answer.once('end', () => {
        const challenge = answer.headers['www-authenticate'];
        resolve({ status: answer.statusCode, challenge, json: text === '' ? {} : JSON.parse(text) });
      });
    })
      .once('error', reject)
      .end(body === undefined ? undefined : JSON.stringify(body));
  });
}

const made = (authority: MadeCertificate, wanted: Wanted) => makeCertificate(folder, authority, wanted);
const uri = (...ids: string[]) => ({ names: ids.map((id) => `URI:${id}`) });

describe('a service that shows a certificate', () => {
  it('is the workload that its SPIFFE id names, and reads what that may', async () => {
    const shows = await made(mesh, uri(REPORTS));
    const { status, json } = await ask({ shows });
    expect(status).toBe(200);
    expect(json.documents).toHaveLength(1);
    const [last] = await test.store.database.unitOfWork('audit', test.store.admin.context, async (trx) =>
      trx
        .withTables<{ audit_record: { body: string; kind: string; seq: number } }>()
        .withSchema('bulkhead')
        .selectFrom('audit_record')
        .select('body')
        .where('kind', '=', 'release')
        .orderBy('seq', 'desc')
        .limit(1)
        .execute(),
    );
    expect(JSON.parse(last?.body ?? '{}')).toMatchObject({ subject: `service:mesh|${REPORTS}`, actor: null });
  });

  it('is the subject that its own authority gave it, whatever the order it is written in does not change', async () => {
    expect((await ask({ shows: await made(own, { subject: CRON_SUBJECT }) })).status).toBe(200);
    for (const subject of [
      '/CN=cron/O=Meridian, Inc./C=DE',
      '/C=DE/O=Meridian, Inc./CN=Cron',
      '/C=DE/O=Meridian/CN=cron',
      '/C=DE/O=Meridian, Inc./CN=cron/CN=cron',
    ])
      expect((await ask({ shows: await made(own, { subject }) })).json).toMatchObject({
        code: 'invalid_token',
      });
  });

  it('is limited to the rights that it is accepted for', async () => {
    const shows = await made(mesh, uri(INDEXER));
    const { status, json, challenge } = await ask({ shows });
    expect([status, json.code]).toEqual([403, 'insufficient_scope']);
    expect(challenge).toContain('error="insufficient_scope"');
    expect(challenge).toContain('scope="read"');
    const document = {
      container: '/open',
      external_id: 'a.md',
      media_type: 'text/markdown',
      text: 'By a job.',
    };
    expect((await ask({ shows, method: 'POST', path: '/v1/documents', body: document })).status).toBe(201);
  });

  it('may come by a certificate that an intermediate signed, when it shows that too', async () => {
    const intermediate = await made(mesh, {
      subject: '/CN=mesh intermediate',
      extensions: ['basicConstraints=critical,CA:TRUE', 'keyUsage=critical,keyCertSign'],
    });
    const leaf = await made(intermediate, uri(REPORTS));
    expect((await ask({ shows: { ...leaf, cert: leaf.cert + intermediate.cert } })).status).toBe(200);
    expect((await ask({ shows: leaf })).status).toBe(401);
  });

  it('is whom its token names where it sends one: the certificate then says nothing', async () => {
    const shows = await made(mesh, uri(REPORTS));
    const authorization = `Bearer ${await test.token('petra')}`;
    expect((await ask({ shows, headers: { authorization } })).status).toBe(200);
    const wrong = await ask({ shows, headers: { authorization: 'Bearer nothing' } });
    expect([wrong.status, wrong.json.code]).toEqual([401, 'invalid_token']);
    const none = await ask({ shows, headers: { authorization: 'Basic eDp5' } });
    expect(none.status).toBe(401);
  });

  it('needs none to be answered: others come with tokens', async () => {
    expect((await ask({})).json).toMatchObject({ code: 'missing_token' });
    const authorization = `Bearer ${await test.token('petra')}`;
    expect((await ask({ headers: { authorization } })).status).toBe(200);
    expect((await ask({ path: '/healthz' })).status).toBe(200);
  });
});

describe('refused are', () => {
  const refused = async (shows: Asking['shows']) => {
    const { status, json } = await ask({ shows });
    expect([status, json.code]).toEqual([401, expect.stringMatching(/^(invalid|missing)_token$/)]);
  };

  it('a certificate of another authority, whatever it says, and each is told to the audit', async () => {
    await refused(await made(stranger, uri(REPORTS)));
    expect(test.refusals.at(-1)).toMatchObject({ status: 401, route: '/v1/documents' });
    await refused(await made(stranger, { subject: CRON_SUBJECT }));
  });

  it('a certificate of an authority that vouches for others: each for its own alone', async () => {
    await refused(await made(own, uri(REPORTS)));
    await refused(await made(mesh, { subject: CRON_SUBJECT }));
  });

  it('a SPIFFE id that is a part of an accepted one, goes on after it, or is written otherwise', async () => {
    for (const id of [
      'spiffe://meridian.example/report',
      'spiffe://meridian.example',
      'spiffe://meridian.example/jobs',
      `${REPORTS}/`,
      `${REPORTS}/more`,
      `${REPORTS}?x`,
      'spiffe://Meridian.example/reports',
      'SPIFFE://meridian.example/reports',
      'spiffe://meridian.example/jobs/../reports',
      'spiffe://meridian.example.evil/reports',
      'https://meridian.example/reports',
    ])
      await refused(await made(mesh, uri(id)));
  });

  it('two URI names, in either order and the same one twice', async () => {
    await refused(await made(mesh, uri(REPORTS, 'spiffe://meridian.example/other')));
    await refused(await made(mesh, uri('https://meridian.example/', REPORTS)));
    await refused(await made(mesh, uri(REPORTS, REPORTS)));
  });

  it('the name of a SPIFFE workload in another place: subject, DNS, e-mail', async () => {
    await refused(await made(mesh, { subject: `/CN=${REPORTS.replaceAll('/', '\\/')}` }));
    await refused(await made(mesh, { names: ['DNS:meridian.example', 'email:reports@meridian.example'] }));
  });

  it('a subject that comes with a SPIFFE id: then the id is who it is', async () => {
    await refused(await made(own, { subject: CRON_SUBJECT, ...uri('spiffe://meridian.example/x') }));
  });

  it('an authority’s certificate, and one that may sign others', async () => {
    const issuing = [
      ['basicConstraints=critical,CA:TRUE'],
      ['basicConstraints=CA:TRUE', 'keyUsage=digitalSignature'],
      ['keyUsage=digitalSignature,keyCertSign'],
      ['keyUsage=digitalSignature,cRLSign'],
    ];
    for (const extensions of issuing) await refused(await made(mesh, { ...uri(REPORTS), extensions }));
  });

  it('a certificate that a workload signed with its own', async () => {
    const leaf = await made(mesh, uri(REPORTS));
    const forged = await made(leaf, uri(INDEXER));
    await refused({ ...forged, cert: forged.cert + leaf.cert });
  });

  it('a certificate for servers only', async () => {
    await refused(await made(mesh, { ...uri(REPORTS), extensions: ['extendedKeyUsage=serverAuth'] }));
  });

  it('a certificate that has expired', async () => {
    await refused(await made(mesh, { ...uri(REPORTS), days: -1 }));
  });

  it('a certificate that a proxy tells of in a header, under any name', async () => {
    const { cert } = await made(mesh, uri(REPORTS));
    const encoded = encodeURIComponent(cert);
    const headers = {
      'x-forwarded-client-cert': `By=x;Cert="${encoded}";URI=${REPORTS}`,
      'x-ssl-client-cert': encoded,
      'ssl-client-verify': 'SUCCESS',
      'client-cert': `:${cert.replace(/-----.*-----|\n/g, '')}:`,
    };
    expect((await ask({ headers })).json).toMatchObject({ code: 'missing_token' });
    expect((await fetch(`${test.url}/v1/documents`, { headers })).status).toBe(401);
  });
});

describe('a connection that is still open', () => {
  it('ends as who it was with its certificate, to the second', async () => {
    const shows = await made(mesh, { ...uri(REPORTS), days: 1 });
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    try {
      expect((await ask({ shows, agent })).status).toBe(200);
      ahead = 86_400_000 - 60_000;
      expect((await ask({ shows, agent })).status).toBe(200);
      ahead = 86_400_000 + 2_000;
      expect((await ask({ shows, agent })).json).toMatchObject({ code: 'invalid_token' });
    } finally {
      ahead = 0;
      agent.destroy();
    }
  });

  it('is no way round that when it is resumed', async () => {
    const shows = await made(mesh, { ...uri(REPORTS), days: 1 });
    // https keeps sessions per agent, and each request here has a connection of its own
    const agent = new Agent({ keepAlive: false, maxCachedSessions: 10 });
    let resumed = 0;
    const createConnection = agent.createConnection.bind(agent);
    agent.createConnection = (...args) => {
      const socket = createConnection(...args) as import('node:tls').TLSSocket;
      socket.once('secureConnect', () => (resumed += Number(socket.isSessionReused())));
      return socket;
    };
    try {
      expect((await ask({ shows, agent })).status).toBe(200);
      expect((await ask({ shows, agent })).status).toBe(200);
      expect(resumed).toBe(1);
      ahead = 86_400_000 + 2_000;
      expect((await ask({ shows, agent })).status).toBe(401);
      expect(resumed).toBe(2);
    } finally {
      ahead = 0;
      agent.destroy();
    }
  });

  it('is held against other authorities as soon as they are configured', async () => {
    const [before, after] = [await made(mesh, uri(REPORTS)), await made(stranger, uri(REPORTS))];
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const certificate = await makeCertificate(folder, own, { names: ['DNS:localhost'] });
    try {
      expect((await ask({ shows: before, agent })).status).toBe(200);
      certificates.renew(sources.map((source) => ({ ...source, bundle: stranger.cert })));
      server.renewCertificate(certificate, certificates.authorities());
      expect((await ask({ shows: before, agent })).status).toBe(401);
      expect((await ask({ shows: before })).status).toBe(401);
      expect((await ask({ shows: after })).status).toBe(200);
      expect(() => certificates.renew([{ ...(sources[0] as CertificateSource), bundle: 'nothing' }])).toThrow(
        /no certificate/,
      );
      expect((await ask({ shows: after })).status).toBe(200);
    } finally {
      certificates.renew(sources);
      server.renewCertificate(certificate, certificates.authorities());
      agent.destroy();
    }
  });
});

describe('a revoked service', () => {
  it('is refused with every certificate that was issued to it until then', async () => {
    const shows = await made(own, { subject: CRON_SUBJECT });
    expect((await ask({ shows })).status).toBe(200);
    await test.services.admin.revokeCredential({ identity: rootIdentity, requestId: 'r' }, {
      kind: 'client',
      id: 'own|cron',
      reason: 'left',
    } as never);
    expect((await ask({ shows })).json).toMatchObject({ code: 'credential_revoked' });
  });
});

describe('a configuration of certificates', () => {
  const source = (changes: Partial<CertificateSource>): CertificateSource => ({
    name: 'mesh',
    tenant: 'meridian',
    bundle: mesh.cert,
    accept: [{ spiffe: REPORTS }],
    ...changes,
  });

  it.each<[string, () => Partial<CertificateSource>]>([
    ['a bundle without certificates', () => ({ bundle: 'nothing' })],
    ['a bundle with a certificate that is broken', () => ({ bundle: mesh.cert.replace(/[A-Z]{4}/, '') })],
    ['one name twice', () => ({ accept: [{ spiffe: REPORTS }, { spiffe: REPORTS, service: 'x' }] })],
    ['one subject twice', () => ({ accept: [{ subject: 'CN=a,O=b' }, { subject: 'cn=a, o=b' }] })],
    ['a subject that is none', () => ({ accept: [{ subject: 'cron' }] })],
    ['a subject with an attribute of no known type', () => ({ accept: [{ subject: 'CN=a,X=b' }] })],
    ['an id that is none', () => ({ accept: [{ subject: 'CN=a|b' }] })],
  ])('is refused for %s', (_, changes) => {
    expect(() => createClientCertificates([source(changes())])).toThrow(
      /config_invalid: services.certificates, mesh/,
    );
  });

  it('is refused for a bundle with a certificate that is no authority’s', async () => {
    const { cert } = await made(mesh, uri(REPORTS));
    expect(() => createClientCertificates([source({ bundle: cert })])).toThrow(/no authority/);
  });

  it('in which two sources vouch for one certificate lets it in as neither', async () => {
    const both = createClientCertificates([source({}), source({ name: 'other' })]);
    const { X509Certificate } = await import('node:crypto');
    const shown = { raw: new X509Certificate((await made(mesh, uri(REPORTS))).cert).raw, issuers: [] };
    await expect(both.verify(shown, Date.now())).rejects.toMatchObject({ code: 'invalid_token' });
    const one = createClientCertificates([source({})]);
    expect(await one.verify(shown, Date.now())).toMatchObject({
      issuer: 'mesh',
      id: REPORTS,
      kind: 'service',
    });
  });
});

const rootIdentity = {
  tenant: 'meridian',
  user: 'user:workforce|root',
  tokenGroups: [],
  actor: undefined,
  acr: 'mfa',
  authTime: undefined,
};
