import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setImmediate } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { openQdrant, type QdrantOptions } from '../../src/index/qdrant-collections.ts';
import type { QdrantIndex } from '../../src/index/qdrant-index.ts';
import type { SearchRequest } from '../../src/index/vector-index.ts';
import { chunkId, classId } from '../../src/policy/ids.ts';
import { DIMENSION, docId, MEADOW, point, requestOf } from '../helpers/vector-index.ts';

/** What a server that lies says to one request; `undefined` = what a sound one says. */
type Lie = (path: string, response: ServerResponse, body: string) => boolean | undefined;

const SPACE = { fingerprint: 'a-model', dimension: DIMENSION };
const NAME = /collections\/(bulkhead-[0-9a-f]{16})/;
const SECRET = 'a secret of the filter';

let running: { server: Server; port: number } | undefined;
let lie: Lie = () => undefined;
let asked: string[] = [];
/** How many queries each search call held. */
let queries: number[] = [];
afterEach(() => {
  lie = () => undefined;
  asked = [];
  queries = [];
  running?.server.closeAllConnections();
  running?.server.close();
  running = undefined;
});

const say = (response: ServerResponse, status: number, body: unknown): true => {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(typeof body === 'string' ? body : JSON.stringify(body));
  return true;
};

function soundAnswer(path: string): unknown {
  if (path === '/') return { title: 'qdrant - vector search engine', version: '1.18.3' };
  if (path.startsWith('/aliases')) return { result: { aliases: [] } };
  if (path === '/collections') return { result: { collections: [] } };
  if (path.includes('/query/batch')) return { result: [{ points: [] }] };
  if (NAME.test(path) || path === '/collections/bulkhead')
    return {
      result: {
        config: {
          params: { vectors: { [`dense-${SHORT}`]: { size: DIMENSION } } },
          metadata: { fingerprint: SPACE.fingerprint, dimension: DIMENSION },
        },
        payload_schema: { tenant: {}, class: {}, document: {} },
        count: 0,
        points: [],
      },
    };
  return { result: true };
}
/** The first digits of the SHA-256 of `a-model`. */
const SHORT = '043c3c16779581ea';

async function start(host = '127.0.0.1'): Promise<string> {
  const server = createServer((request, response) => {
    const path = request.url ?? '';
    asked.push(`${request.method} ${path}`);
    let body = '';
    request.on('data', (part: Buffer) => {
      body += part.toString('utf8');
    });
    request.on('end', () => {
      if (path.includes('/query/batch')) queries.push(JSON.parse(body).searches.length);
      if (lie(path, response, body) === true) return;
      say(response, 200, soundAnswer(path));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  const { port } = server.address() as AddressInfo;
  running = { server, port };
  return `http://${host}:${port}`;
}

const optionsAt = (url: string, changes: Partial<QdrantOptions> = {}): QdrantOptions => ({
  url,
  key: undefined,
  ca: undefined,
  timeoutMs: 300,
  quantization: 'none',
  canWrite: true,
  calibration: () => undefined,
  ...changes,
});

async function openIndex(): Promise<QdrantIndex> {
  const collections = await openQdrant(optionsAt(await start()));
  const index = await collections.open(SPACE);
  asked = [];
  return index;
}

/** An index without points, which the counting of terms asks as well. */
const findsNothing: Lie = (path, response) =>
  path.includes('/query/batch')
    ? say(response, 200, { result: Array.from({ length: queries.at(-1) ?? 0 }, () => ({ points: [] })) })
    : path.includes('/points/') && say(response, 200, { result: { count: 0, points: [] } });

const QUESTION: SearchRequest = requestOf({ terms: [] });
const searches = () => asked.filter((line) => line.includes('/query/batch')).length;

async function failureOf(work: Promise<unknown>) {
  const error = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(Error);
  const { code, message, status, retryAfterSeconds } = error as Record<string, unknown>;
  const { cause } = error as Error;
  expect(`${message} ${cause instanceof Error ? cause.message : ''}`).not.toMatch(/secret|00000000-0000/);
  return { code, message, status, retryAfterSeconds };
}

const UNAVAILABLE = { code: 'index_unavailable', status: 503, retryAfterSeconds: 3 };

describe('a search of a Qdrant that fails', () => {
  it.each<[string, Lie]>([
    ['answers with something that is not JSON', (_, r) => say(r, 200, `<html>${SECRET}`)],
    ['answers with another shape', (_, r) => say(r, 200, { result: { text: SECRET } })],
    ['answers with too few lists', (_, r) => say(r, 200, { result: [] })],
    [
      'answers with a point whose id is no number',
      (_, r) => say(r, 200, { result: [{ points: [{ id: docId(1), score: 1 }] }] }),
    ],
    [
      'answers with a score that is no number',
      (_, r) => say(r, 200, { result: [{ points: [{ id: 1, score: null }] }] }),
    ],
    ['says 500', (_, r) => say(r, 500, { status: { error: SECRET } })],
    ['says 429', (_, r) => say(r, 429, SECRET)],
    ['does not accept the key any more', (_, r) => say(r, 401, SECRET)],
    ['does not answer in time', () => true],
    [
      'breaks off its answer',
      (_, r) => {
        r.writeHead(200, { 'content-length': '1000' });
        r.write('{"res');
        setTimeout(() => r.destroy(), 20);
        return true;
      },
    ],
  ])('is 503 with a time to try again where it %s', async (_name, how) => {
    const index = await openIndex();
    lie = (path, response, body) => (path.includes('/query/') ? how(path, response, body) : undefined);
    expect(await failureOf(index.search(QUESTION))).toMatchObject(UNAVAILABLE);
  });

  it('is 503 where it asks what the index holds of a point, and the point lacks its class', async () => {
    const index = await openIndex();
    lie = (path, response) =>
      path.includes('/scroll')
        ? say(response, 200, {
            result: { points: [{ id: 1, payload: { document: docId(1), version: 1 } }] },
          })
        : undefined;
    expect(await failureOf(index.locate(MEADOW, [chunkId(1)]))).toMatchObject(UNAVAILABLE);
  });

  it('is an error of ours where the request was refused, without the words of the refusal', async () => {
    const index = await openIndex();
    lie = (path, response) =>
      path.includes('/query/') ? say(response, 400, { status: { error: SECRET } }) : undefined;
    expect(await failureOf(index.search(QUESTION))).toMatchObject({ code: 'internal' });
  });

  it.each([
    [400, 'Wrong input: Not existing vector name error: dense-0123456789abcdef'],
    [400, 'Wrong input: Vector dimension error: expected dim: 8, got 4'],
    [404, "Not found: Collection `bulkhead` doesn't exist!"],
  ])('says that the model changed on %i %s', async (status, error) => {
    const index = await openIndex();
    lie = (path, response) =>
      path.includes('/query/') ? say(response, status, { status: { error } }) : undefined;
    expect(await failureOf(index.search(QUESTION))).toMatchObject({ code: 'model_changed' });
  });

  it('is tried once more where a connection broke, and only then', async () => {
    const index = await openIndex();
    let broken = 1;
    lie = (path, response) => {
      if (!path.includes('/query/') || broken === 0) return undefined;
      broken -= 1;
      response.destroy();
      return true;
    };
    expect(await index.search(QUESTION)).toEqual({ dense: [], sparse: [] });
    expect(searches()).toBe(2);
    broken = 2;
    expect(await failureOf(index.search(QUESTION))).toMatchObject(UNAVAILABLE);
    expect(searches()).toBe(4);
    lie = (path, response) => (path.includes('/query/') ? say(response, 503, '') : undefined);
    await failureOf(index.search(QUESTION));
    expect(searches()).toBe(5);
  });

  it('sends its two queries apart while it is alone, and together among others', async () => {
    const index = await openIndex();
    lie = findsNothing;
    const both = requestOf({ terms: [7] });
    await index.search(both);
    expect(queries).toEqual([1, 1]);
    queries = [];
    await Promise.all([index.search(both), index.search(both), index.search(both)]);
    expect([...queries].sort()).toEqual([1, 1, 2, 2]);
    queries = [];
    lie = (path, response) => (path.includes('/query/') ? say(response, 400, SECRET) : undefined);
    await failureOf(index.search(both));
    lie = findsNothing;
    queries = [];
    await index.search(both);
    expect(queries).toEqual([1, 1]);
  });

  it.each<[string, (body: string) => boolean]>([
    ['both queries', () => true],
    ['the query by meaning alone', (body) => !body.includes('"indices"')],
    ['the query by words alone', (body) => body.includes('"indices"')],
  ])('counts once where of its two calls it fails with %s', async (_name, fails) => {
    const index = await openIndex();
    lie = (path, response, body) =>
      path.includes('/query/batch') && fails(body)
        ? say(response, 500, SECRET)
        : findsNothing(path, response, body);
    for (let turn = 0; turn < 5; turn += 1)
      expect(await failureOf(index.search(requestOf({ terms: [7] })))).toMatchObject(UNAVAILABLE);
    expect(searches()).toBe(10);
    await failureOf(index.search(requestOf({ terms: [7] })));
    expect(searches()).toBe(10);
  });

  it('fails as its embedding does, however often, and is made again when that is there', async () => {
    const index = await openIndex();
    lie = findsNothing;
    const both = requestOf({ terms: [7] });
    for (let turn = 0; turn < 6; turn += 1) {
      const dense = Promise.reject(new Error('no embedding'));
      await expect(index.search({ ...both, dense })).rejects.toThrow('no embedding');
    }
    expect(await index.search(both)).toEqual({ dense: [], sparse: [] });
  });

  it('leaves an embedding that fails unheard where it is not made at all', async () => {
    const index = await openIndex();
    lie = (path, response) => (path.includes('/points/') ? say(response, 500, '') : undefined);
    for (let turn = 0; turn < 8; turn += 1) {
      const dense = Promise.reject(new Error('no embedding'));
      await failureOf(index.search({ ...requestOf({ terms: [7] }), dense }));
    }
    const none = requestOf({ documents: [], terms: [7] });
    const dense = Promise.reject(new Error('no embedding'));
    expect(await index.search({ ...none, dense })).toEqual({ dense: [], sparse: [] });
    await setImmediate();
  });

  it('is not made any more after five failures in a row, and again after a pause', async () => {
    const index = await openIndex();
    lie = (path, response) => (path.includes('/query/') ? say(response, 500, '') : undefined);
    for (let turn = 0; turn < 5; turn += 1) await failureOf(index.search(QUESTION));
    expect(searches()).toBe(5);
    const started = performance.now();
    expect(await failureOf(index.search(QUESTION))).toMatchObject({
      ...UNAVAILABLE,
      message: expect.stringMatching(/left alone for a moment/),
    });
    expect(performance.now() - started).toBeLessThan(50);
    expect(searches()).toBe(5);
    lie = () => undefined;
    await new Promise((resolve) => setTimeout(resolve, 3_050));
    expect(await index.search(QUESTION)).toEqual({ dense: [], sparse: [] });
  });
});

describe('a write to a Qdrant that fails', () => {
  it('is repeated until it is done, and leaves searches alone', async () => {
    const index = await openIndex();
    let failing = 2;
    lie = (path, response) => {
      if (!path.includes('/points/delete') || failing === 0) return undefined;
      failing -= 1;
      return say(response, 500, SECRET);
    };
    lie = withGeneration(lie);
    await index.removeDocument(MEADOW, docId(1));
    expect(asked.filter((line) => line.includes('/points/delete'))).toHaveLength(3);
    lie = withGeneration((path, response) =>
      path.includes('/points/') && !path.includes('query') ? say(response, 500, SECRET) : undefined,
    );
    for (let turn = 0; turn < 3; turn += 1)
      expect(await failureOf(index.moveDocument(MEADOW, docId(1), classId(2)))).toMatchObject(UNAVAILABLE);
    expect(await index.search(QUESTION)).toEqual({ dense: [], sparse: [] });
  });

  it('is not repeated where it was refused', async () => {
    const index = await openIndex();
    lie = withGeneration((path, response) =>
      path.includes('/points?') ? say(response, 400, SECRET) : undefined,
    );
    expect(await failureOf(index.upsert([point({ chunk: 1 })]))).toMatchObject({ code: 'internal' });
    expect(asked.filter((line) => line.includes('/points?'))).toHaveLength(1);
  });

  it('has nothing to do in a collection that is removed meanwhile', async () => {
    const index = await openIndex();
    lie = withGeneration((path, response) => (path.includes('/points') ? say(response, 404, '') : undefined));
    await index.removeDocument(MEADOW, docId(1));
    expect(await failureOf(index.upsert([point({ chunk: 1 })]))).toMatchObject({ code: 'model_changed' });
  });

  const withGeneration =
    (further: Lie): Lie =>
    (path, response, body) =>
      path === '/collections'
        ? say(response, 200, {
            result: { collections: [{ name: `bulkhead-${SHORT}-1` }, { name: 'someone-elses' }] },
          })
        : further(path, response, body);
});

describe('the start-up check', () => {
  const check = async (changes: Partial<QdrantOptions> = {}, host?: string) =>
    failureOf(openQdrant(optionsAt(await start(host), changes)));

  it.each([
    ['0.11.4', /version 0\.11\.4; 1\.16 or newer/],
    ['1.15.9', /version 1\.15\.9; 1\.16 or newer/],
    ['dev', /does not answer as Qdrant does/],
  ])('names a server of version %s', async (version, message) => {
    lie = (path, response) => (path === '/' ? say(response, 200, { title: 'qdrant', version }) : undefined);
    expect(await check()).toMatchObject({ code: 'config_invalid', message: expect.stringMatching(message) });
  });

  it('names what is no Qdrant at all', async () => {
    lie = (_, response) => say(response, 200, '<html>');
    expect(await check()).toMatchObject({
      code: 'config_invalid',
      message: expect.stringMatching(/does not answer as Qdrant does/),
    });
    lie = (_, response) => say(response, 200, { tagline: 'You Know, for Search' });
    expect(await check()).toMatchObject({ code: 'config_invalid' });
  });

  it('names a server that is not there, or does not answer', async () => {
    const url = await start();
    running?.server.close();
    expect(await failureOf(openQdrant(optionsAt(url)))).toMatchObject({
      code: 'index_unavailable',
      message: expect.stringMatching(/cannot be reached \(ECONNREFUSED\)/),
    });
    lie = () => true;
    expect(await check()).toMatchObject({
      code: 'index_unavailable',
      message: expect.stringMatching(/did not answer within 300 ms/),
    });
  });

  it('lets a server without keys pass on this machine, and refuses it elsewhere', async () => {
    const collections = await openQdrant(optionsAt(await start(), { key: 'unused', canWrite: false }));
    collections.close();
    expect(await check({}, '0.0.0.0')).toMatchObject({
      code: 'store_unsafe',
      message: expect.stringMatching(/serves anybody without a key/),
    });
  });
});
