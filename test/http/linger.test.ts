import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer as createSecureServer } from 'node:https';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect as connectTls } from 'node:tls';
import { createAdaptorServer } from '@hono/node-server';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { closeLingering, lingerOnClose } from '../../src/http/linger.ts';
import { type Certificate, listen, type RunningServer } from '../../src/http/server.ts';
import { openTestApp, type TestApp } from '../helpers/app.ts';
import { makeAuthority, makeCertificate } from '../helpers/certificates.ts';

const MEGABYTE = 1_000_000;
let test: TestApp;
let secure: RunningServer;
let certificate: Certificate;
let folder: string;

beforeAll(async () => {
  test = await openTestApp();
  folder = await mkdtemp(join(tmpdir(), 'bulkhead-linger-'));
  certificate = await makeCertificate(folder, await makeAuthority(folder, 'root'), {});
  secure = await listen(test.app, { host: '127.0.0.1', port: 0, certificate });
});
afterAll(async () => {
  await secure?.close();
  await test?.close();
  await rm(folder, { recursive: true, force: true });
});

async function open(
  scheme: 'http' | 'https',
  port = scheme === 'http' ? Number(new URL(test.url).port) : secure.port,
): Promise<Socket> {
  const options = { port, host: '127.0.0.1', allowHalfOpen: true, rejectUnauthorized: false };
  const socket = scheme === 'http' ? connect(options) : connectTls(options);
  await new Promise((resolve) => socket.once(scheme === 'http' ? 'connect' : 'secureConnect', resolve));
  return socket;
}

/** A request whose body is announced as so long; `chunked` announces nothing. */
async function head(length: number | 'chunked'): Promise<string> {
  const framing = length === 'chunked' ? 'transfer-encoding: chunked' : `content-length: ${length}`;
  const lines = ['POST /v1/retrieve HTTP/1.1', 'host: bulkhead', 'content-type: application/json', framing];
  return `${lines.join('\r\n')}\r\nauthorization: Bearer ${await test.token('petra')}\r\n\r\n`;
}

/** Resolves once the system has taken it. */
const written = (socket: Socket, bytes: string | Buffer) =>
  new Promise<void>((resolve, reject) => {
    socket.write(bytes, (error) => (error ? reject(error) : resolve()));
  });

/** All that the server says from now on, to its end. */
function rest(socket: Socket): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    socket.setEncoding('utf8').on('data', (piece) => {
      text += piece;
    });
    socket
      .once('end', () => resolve(text))
      .once('error', reject)
      .resume();
  });
}

/** Milliseconds until the server has let go of a connection that goes on sending so much so often. */
async function sendUntilCut(socket: Socket, bytes: number, everyMs: number): Promise<number> {
  const began = performance.now();
  let isCut = false;
  socket
    .on('error', () => {})
    .once('close', () => {
      isCut = true;
    });
  const chunk = Buffer.concat([
    Buffer.from(`${bytes.toString(16)}\r\n`),
    Buffer.alloc(bytes, ' '),
    Buffer.from('\r\n'),
  ]);
  while (!isCut && performance.now() - began < 10_000) {
    socket.write(chunk);
    await sleep(everyMs);
  }
  socket.destroy();
  return performance.now() - began;
}

describe.each(['http', 'https'] as const)('A refusal over %s', (scheme) => {
  it('of a body that nobody read comes whole to a client that sends all of it before it reads', async () => {
    const socket = await open(scheme);
    socket.pause();
    await written(socket, await head(8 * MEGABYTE));
    await written(socket, Buffer.alloc(8 * MEGABYTE, ' '));
    await sleep(50);
    const answer = await rest(socket);
    expect(answer).toMatch(/^HTTP\/1\.1 413 /);
    expect(answer.toLowerCase()).toContain('connection: close');
    expect(JSON.parse(answer.slice(answer.indexOf('{')))).toMatchObject({ code: 'payload_too_large' });
  });

  it('of headers that are too long comes whole to a client that sends all of them before it reads', async () => {
    const socket = await open(scheme);
    socket.pause();
    await written(socket, 'GET / HTTP/1.1\r\nhost: bulkhead\r\n');
    await written(socket, `authorization: Bearer ${'x'.repeat(8 * MEGABYTE)}\r\n\r\n`);
    await sleep(50);
    expect(await rest(socket)).toMatch(/^HTTP\/1\.1 431 .*\r\nConnection: close\r\n\r\n$/);
  });

  it('ends what the server says at once, though the client goes on', async () => {
    const socket = await open(scheme);
    const said = rest(socket);
    const began = performance.now();
    socket.write(await head(8 * MEGABYTE));
    expect(await said).toContain('payload_too_large');
    expect(performance.now() - began).toBeLessThan(450);
    socket.destroy();
  });

  it('cuts off a client that never stops sending', async () => {
    const socket = await open(scheme);
    socket.resume();
    socket.write(await head('chunked'));
    socket.write(`${(3 * MEGABYTE).toString(16)}\r\n${' '.repeat(3 * MEGABYTE)}\r\n`);
    const ms = await sendUntilCut(socket, 1_000, 20);
    expect(ms).toBeGreaterThan(1_500);
    expect(ms).toBeLessThan(4_000);
  });
});

describe.each(['http', 'https'] as const)('A body that nobody reads, over %s,', (scheme) => {
  /** A server that refuses everything by its head, what it was asked, and a connection to it. */
  async function refused(bounds?: Parameters<typeof lingerOnClose>[1]) {
    const asked: string[] = [];
    const fetch = async ({ method, url, body }: Request) => {
      const { pathname } = new URL(url);
      asked.push(`${method} ${pathname}`);
      if (pathname === '/begun') await Promise.all([body?.getReader().read(), sleep(100)]);
      return new Response('no', { status: 401, headers: { connection: 'close' } });
    };
    const secured = { createServer: createSecureServer, serverOptions: certificate };
    const server = createAdaptorServer({ fetch, ...(scheme === 'https' && secured) });
    lingerOnClose(server, bounds);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const connected = once(server, scheme === 'http' ? 'connection' : 'secureConnection');
    const socket = await open(scheme, (server.address() as AddressInfo).port);
    const [accepted] = (await connected) as [Socket];
    server.close();
    const answer = rest(socket);
    return { asked, socket, accepted, answer };
  }
  const post = (length: number, path = '/refused') =>
    `POST ${path} HTTP/1.1\r\nhost: x\r\ncontent-length: ${length}\r\n\r\n`;

  it('is the last of the connection: a request after it is not looked at', async () => {
    const { asked, socket, answer } = await refused();
    await written(socket, `${post(10)}12345`);
    expect(await answer).toMatch(/^HTTP\/1\.1 401 /);
    await written(socket, '67890DELETE /everything HTTP/1.1\r\nhost: x\r\n\r\n');
    await sleep(200);
    expect(asked).toEqual(['POST /refused']);
    socket.destroy();
  });

  it('though somebody began to, is taken whole, and then its sender reads the answer', async () => {
    const { socket, answer } = await refused();
    socket.pause();
    await written(socket, post(20 * MEGABYTE, '/begun'));
    await written(socket, Buffer.alloc(20 * MEGABYTE, ' '));
    socket.resume();
    expect(await answer).toMatch(/^HTTP\/1\.1 401 /);
    socket.destroy();
  });

  it('may come slowly for as long as any, and its sender has the answer', async () => {
    const { socket, answer } = await refused({ idleMs: 300, totalMs: 1_500, bytes: MEGABYTE });
    await written(socket, `${post(100 * MEGABYTE)}abc`);
    const ms = await sendUntilCut(socket, 1_000, 50);
    expect(await answer).toMatch(/^HTTP\/1\.1 401 /);
    expect(ms).toBeGreaterThan(1_300);
    expect(ms).toBeLessThan(4_000);
  });

  it('is cut off at the bound when it comes fast', async () => {
    const { socket, accepted } = await refused({ idleMs: 3_000, totalMs: 3_000, bytes: MEGABYTE });
    await written(socket, `${post(1_000 * MEGABYTE)}abc`);
    expect(await sendUntilCut(socket, 200_000, 1)).toBeLessThan(2_000);
    expect(accepted.bytesRead).toBeLessThan(2 * MEGABYTE);
  });
});

describe('A lingering close', () => {
  /** A server that closes what connects to it, and a connection that stays half open for as long as it may. */
  async function closing(bounds: Parameters<typeof closeLingering>[1]) {
    const server = createServer({ allowHalfOpen: true }, (socket) => closeLingering(socket, bounds));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true }).resume();
    const accepted = await new Promise<Socket>((resolve) => server.once('connection', resolve));
    server.close();
    return { socket, accepted };
  }
  const closed = (accepted: Socket) =>
    new Promise<number>((resolve) => {
      const began = performance.now();
      accepted.once('close', () => resolve(performance.now() - began));
    });

  it('waits no longer than it is told for a client that says nothing', async () => {
    const { socket, accepted } = await closing({ idleMs: 100, totalMs: 5_000, bytes: MEGABYTE });
    expect(await closed(accepted)).toBeLessThan(1_000);
    socket.destroy();
  });

  it('takes no more bytes than it is told', async () => {
    const { socket, accepted } = await closing({ idleMs: 5_000, totalMs: 5_000, bytes: MEGABYTE });
    const gone = closed(accepted);
    const ms = await Promise.all([gone, sendUntilCut(socket, 200_000, 1)]);
    expect(Math.max(...ms)).toBeLessThan(4_000);
    expect(accepted.bytesRead).toBeLessThan(2 * MEGABYTE);
  });

  it('is over as soon as the client ends too', async () => {
    const { socket, accepted } = await closing({ idleMs: 5_000, totalMs: 5_000, bytes: MEGABYTE });
    const gone = closed(accepted);
    socket.end('the last of it');
    expect(await gone).toBeLessThan(1_000);
  });
});
