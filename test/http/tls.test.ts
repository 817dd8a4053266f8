import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { Agent, request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, type DetailedPeerCertificate, type SecureVersion } from 'node:tls';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { pinnedFetch } from '../../src/cli/pinned-fetch.ts';
import type { BulkheadError } from '../../src/errors.ts';
import { type Certificate, listen, type RunningServer } from '../../src/http/server.ts';

const run = promisify(execFile);
let folder: string;
let first: Certificate;
let second: Certificate;
let server: RunningServer | undefined;

/** Self-signed, made by the machine's openssl. */
async function makeCertificate(name: string): Promise<Certificate> {
  const [cert, key] = [join(folder, `${name}.crt`), join(folder, `${name}.key`)];
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', key];
  const subject = ['-subj', `/CN=${name}`, '-addext', 'subjectAltName=DNS:localhost'];
  await run('openssl', ['req', '-x509', '-days', '2', ...newKey, '-out', cert, ...subject]);
  return { cert: await readFile(cert, 'utf8'), key: await readFile(key, 'utf8') };
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bulkhead-tls-'));
  [first, second] = await Promise.all([makeCertificate('first'), makeCertificate('second')]);
});
afterEach(() => server?.close());
afterAll(() => rm(folder, { recursive: true }));

const app = {
  fetch: async (asked: Request) =>
    new Response(
      JSON.stringify({ method: asked.method, body: await asked.text(), path: new URL(asked.url).pathname }),
      {
        headers: {
          'content-type': 'application/json',
          'x-token': asked.headers.get('authorization') ?? 'none',
        },
      },
    ),
};
const start = async (certificate?: Certificate) => {
  server = await listen(app, { host: '127.0.0.1', port: 0, certificate });
  return server;
};

/** What a new connection is shown. */
function handshake(
  port: number,
  version?: SecureVersion,
): Promise<DetailedPeerCertificate & { protocol: string | null }> {
  return new Promise((resolve, reject) => {
    const options = { host: '127.0.0.1', port, rejectUnauthorized: false };
    const versions = version && { minVersion: version, maxVersion: version, ciphers: 'DEFAULT@SECLEVEL=0' };
    const socket = connect({ ...options, ...versions }, () => {
      resolve({ ...socket.getPeerCertificate(true), protocol: socket.getProtocol() });
      socket.destroy();
    });
    socket.once('error', reject);
  });
}

function askOver(agent: Agent, port: number): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const options = { host: 'localhost', port, agent, ca: first.cert, path: '/' };
    request(options, (answer) => answer.resume().once('end', () => resolve(answer.statusCode)))
      .once('error', reject)
      .end();
  });
}

describe('The listener', () => {
  it('speaks https with a certificate and http without one, and says which', async () => {
    expect((await start()).scheme).toBe('http');
    await server?.close();
    const { scheme, port } = await start(first);
    expect(scheme).toBe('https');
    expect(await handshake(port)).toMatchObject({ subject: { CN: 'first' }, protocol: 'TLSv1.3' });
    await expect(fetch(`http://127.0.0.1:${port}/`)).rejects.toThrow();
  });

  it('speaks TLS 1.2, and nothing older', async () => {
    const { port } = await start(first);
    expect(await handshake(port, 'TLSv1.2')).toMatchObject({ protocol: 'TLSv1.2' });
    await expect(handshake(port, 'TLSv1.1')).rejects.toThrow(/alert protocol version/);
  });

  it('takes another certificate while it runs, and drops no connection for it', async () => {
    const { port, renewCertificate } = await start(first);
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    try {
      expect(await askOver(agent, port)).toBe(200);
      renewCertificate(second);
      expect(await handshake(port)).toMatchObject({ subject: { CN: 'second' } });
      // the agent trusts the first one only: this goes over the connection from before
      expect(await askOver(agent, port)).toBe(200);
    } finally {
      agent.destroy();
    }
    expect(() => renewCertificate({ cert: first.cert, key: second.key })).toThrow(/mismatch/);
    expect(await handshake(port)).toMatchObject({ subject: { CN: 'second' } });
  });

  it.each([
    ['a certificate and another key', () => ({ cert: first.cert, key: second.key }), /key values mismatch/],
    ['a certificate that is none', () => ({ cert: 'nothing', key: first.key }), /BULKHEAD_TLS_CERT/],
    ['a key that is none', () => ({ cert: first.cert, key: 'nothing' }), /BULKHEAD_TLS_KEY/],
  ])('refuses %s in one line', async (_, certificate, words) => {
    const error = (await start(certificate()).catch((thrown: unknown) => thrown)) as BulkheadError;
    expect(error.code).toBe('config_invalid');
    expect(error.detail).toMatch(words);
    expect(error.detail).not.toMatch(/\n|PRIVATE|nothing/);
  });
});

describe('A command on the same machine', () => {
  it('talks to the server that shows the certificate of the configuration, whatever its name', async () => {
    const { port } = await start(first);
    const ask = pinnedFetch(first.cert);
    const headers = { authorization: 'Bearer t', 'content-type': 'application/json' };
    const answer = await ask(`https://127.0.0.1:${port}/v1/retrieve`, {
      method: 'POST',
      headers,
      body: '{"query":"ü"}',
    });
    expect(answer.status).toBe(200);
    expect(answer.headers.get('x-token')).toBe('Bearer t');
    expect(await answer.json()).toEqual({ method: 'POST', body: '{"query":"ü"}', path: '/v1/retrieve' });
    expect(await (await ask(`https://localhost:${port}/healthz`)).json()).toMatchObject({
      method: 'GET',
      body: '',
    });
  });

  it('says nothing to one that shows another', async () => {
    let asked = 0;
    const counting = {
      fetch: (request: Request) => {
        asked += 1;
        return app.fetch(request);
      },
    };
    server = await listen(counting, { host: '127.0.0.1', port: 0, certificate: second });
    const headers = { authorization: 'Bearer t' };
    await expect(pinnedFetch(first.cert)(`https://127.0.0.1:${server.port}/`, { headers })).rejects.toThrow(
      /another certificate/,
    );
    expect(asked).toBe(0);
  });
});
