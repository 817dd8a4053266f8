import { execFile } from 'node:child_process';
import { createHmac, randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { SearchPlan } from '../../src/index/planner.ts';
import {
  openQdrant,
  type QdrantCollections,
  type QdrantOptions,
} from '../../src/index/qdrant-collections.ts';
import type { QdrantIndex } from '../../src/index/qdrant-index.ts';
import { QdrantNames } from '../../src/index/qdrant-names.ts';
import type { IndexPoint } from '../../src/index/vector-index.ts';
import { chunkId, classId } from '../../src/policy/ids.ts';
import {
  findQdrant,
  HOW_TO_GET_QDRANT,
  hasQdrant,
  openQdrantServer,
  type QdrantServer,
  removeCollections,
  startQdrant,
} from '../helpers/qdrant-server.ts';
import {
  chunksOf,
  classes,
  DIMENSION,
  docId,
  expectSame,
  HARBOUR,
  MEADOW,
  point,
  requestOf,
  scan,
} from '../helpers/vector-index.ts';
import { vectorIndexContract } from './vector-index.ts';

const run = promisify(execFile);

/** As src/index/qdrant-term-weights.ts rounds, while a question is short. */
const IDF_STEP = 2 ** -9;

async function openServer(): Promise<QdrantServer> {
  const server = await openQdrantServer();
  if (server === undefined) throw new Error(HOW_TO_GET_QDRANT);
  return server;
}

/** In names of its own, which are removed at the end: the server may be somebody's. */
function optionsOn(server: QdrantServer, changes: Partial<QdrantOptions> = {}) {
  return {
    url: server.url,
    key: server.key,
    ca: undefined,
    timeoutMs: 10_000,
    quantization: 'none',
    canWrite: true,
    calibration: () => undefined,
    prefix: `bulkhead-test-${randomBytes(6).toString('hex')}`,
    ...changes,
  } satisfies QdrantOptions;
}

if (hasQdrant()) {
  vectorIndexContract(
    'the Qdrant index',
    async () => {
      const server = await openServer();
      const options = optionsOn(server);
      const collections = await openQdrant(options);
      return {
        collections,
        close: async () => {
          collections.close();
          await removeCollections(server, options.prefix);
          await server.close();
        },
      };
    },
    { idfStep: IDF_STEP, numRuns: 15 },
  );
  describe('a collection in Qdrant', collectionTests);
} else it.skip(`skipped: ${HOW_TO_GET_QDRANT}`, () => undefined);
if (findQdrant() !== undefined) describe('a Qdrant server of our own', serverTests);

function collectionTests() {
  let server: QdrantServer;
  const opened: { collections: QdrantCollections; prefix: string }[] = [];
  beforeAll(async () => {
    server = await openServer();
  });
  afterAll(async () => {
    for (const { collections, prefix } of opened) {
      collections.close();
      await removeCollections(server, prefix);
    }
    await server.close();
  });

  async function openWith(changes: Partial<QdrantOptions> = {}) {
    const options = optionsOn(server, changes);
    const collections = await openQdrant(options);
    opened.push({ collections, prefix: options.prefix });
    return { collections, prefix: options.prefix, index: await collections.open(SPACE) };
  }
  async function ask(method: string, path: string, body?: unknown) {
    const answer = await fetch(`${server.url}${path}`, {
      method,
      headers: { 'content-type': 'application/json', ...(server.key && { 'api-key': server.key }) },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return ((await answer.json()) as { result: never }).result as unknown;
  }

  it('keeps tenant, class, document and version with a vector, and nothing else', async () => {
    const { index, prefix } = await openWith();
    await index.upsert([point({ chunk: 7, class: 3, document: 2, version: 4 })]);
    const found = await ask('POST', `/collections/${prefix}/points/scroll`, { with_payload: true });
    expect(found).toMatchObject({
      points: [{ id: 7, payload: { tenant: '1', class: 3, document: docId(2), version: 4 } }],
    });
    const [kept] = (found as { points: { payload: object }[] }).points;
    expect(Object.keys(kept?.payload ?? {}).sort()).toEqual(['class', 'document', 'tenant', 'version']);
  });

  it('scores by what is visible to the last bit, whatever came into the collection before', async () => {
    const words = (n: number) => Array.from({ length: 6 }, (_, i) => 100 + ((n * 7 + i * 5) % 40));
    const weight = (n: number, i: number) => 0.1 + ((n * 13 + i * 29) % 200) / 100;
    const made = (chunk: number, ofClass: number, turn: number): IndexPoint =>
      point({
        chunk,
        document: chunk,
        class: ofClass,
        terms: [...words(chunk), ...words(chunk + turn)]
          .filter((term, at, all) => all.indexOf(term) === at)
          .map((term, i) => [term, weight(chunk, i)] as const),
      });
    const shown = Array.from({ length: 60 }, (_, n) => made(n + 1, 1, 3));
    const hidden = Array.from({ length: 200 }, (_, n) => made(n + 1_000, 2, 11)).reverse();
    const question = requestOf({ terms: [100, 117, 123, 139, 104, 111], limit: 60 });
    const alone = await openWith();
    await alone.index.upsert(shown);
    const among = await openWith();
    await among.index.upsert(hidden);
    await among.index.upsert([...shown].reverse());
    expect(JSON.stringify(await among.index.search(question))).toBe(
      JSON.stringify(await alone.index.search(question)),
    );
  });

  it('finds the lowest ids among more equal scores than a search returns', async () => {
    const { index } = await openWith();
    await index.upsert(Array.from({ length: 300 }, (_, n) => point({ chunk: 300 - n })));
    expect(chunksOf(await index.search(requestOf({ limit: 4 })))).toEqual([
      [1, 2, 3, 4],
      [1, 2, 3, 4],
    ]);
  });

  it('estimates frequencies above a thousand chunks from the visible ones alone', async () => {
    const { index } = await openWith();
    // one chunk in four has the common term; every class has ten chunks
    const chunk = (n: number, first: number): IndexPoint =>
      point({
        chunk: first + n,
        document: n + 1,
        class: first + Math.floor(n / 10),
        terms: [[n % 4 === 0 ? 50 : 60 + (n % 7), 1], ...(n === 1_500 ? [[51, 1] as const] : [])],
        seed: [n % 17, n % 5],
      });
    await index.upsert(Array.from({ length: 2_000 }, (_, n) => chunk(n, 1)));
    const visible = classes(...Array.from({ length: 200 }, (_, n) => 1 + n));
    const question = requestOf({ visible, terms: [50, 51], limit: 501 });
    const before = await index.search(question);
    const rare = before.sparse.find((hit) => hit.chunkId === 1_501)?.score ?? 0;
    const common = before.sparse.at(-1)?.score ?? 0;
    expect(common).toBeGreaterThan(Math.log(4) * 0.8);
    expect(common).toBeLessThan(Math.log(4) * 1.2);
    expect(rare - common).toBeGreaterThan(4);
    await index.upsert(
      Array.from({ length: 500 }, (_, n) => ({
        ...chunk(n, 100_000),
        terms: point({
          chunk: 1,
          terms: [
            [50, 2],
            [51, 2],
          ],
        }).terms,
      })),
    );
    expect(JSON.stringify(await index.search(question))).toBe(JSON.stringify(before));
  });

  it.each(['none', 'int8'] as const)('takes every plan, with quantization %s', async (quantization) => {
    const { index } = await openWith({ quantization });
    const points = Array.from({ length: 400 }, (_, n) =>
      point({ chunk: n + 1, class: (n % 50) * 2, document: n, seed: [n % 19, n % 7, n % 11] }),
    );
    await index.upsert(points);
    const request = requestOf({
      visible: classes(...Array.from({ length: 25 }, (_, n) => n * 4)),
      limit: 20,
    });
    const expected = scan(points, { ...request, terms: [] });
    for (const form of ['ranges', 'any'] as const)
      for (const mode of MODES)
        expectSame({ dense: await index.searchAs(request, { form, mode }), sparse: [] }, expected, 20);
  });

  it('searches as the calibration says, and exactly where that comes back short', async () => {
    const cost = { base: 0, perChunk: 1, perItem: 0 };
    const times = [{ runs: 1, chunks: 100, ms: 0 }];
    const { index } = await openWith({
      calibration: () => ({
        maxRanges: 10,
        exact: { ranges: cost, any: cost },
        graphs: [{ kind: 'graph', beam: 32, form: 'ranges', times, admitted: [{ runs: 10, chunks: 1 }] }],
      }),
    });
    const points = Array.from({ length: 100 }, (_, n) =>
      point({ chunk: n + 1, document: n, seed: [n % 19, n % 7] }),
    );
    await index.upsert(points);
    const request = requestOf({ limit: 10, visibleChunks: 100 });
    expectSame(await index.search(request), scan(points, request, IDF_STEP), 10);
    const few = requestOf({ limit: 200, visibleChunks: 150 });
    expectSame(await index.search(few), scan(points, few, IDF_STEP), 200);
  });

  it('draws vectors and counts classes for a calibration, of one tenant', async () => {
    const { index } = await openWith();
    await index.upsert(
      Array.from({ length: 30 }, (_, n) =>
        point({ chunk: n + 1, class: n % 3, tenant: n < 20 ? MEADOW : HARBOUR, seed: [n] }),
      ),
    );
    const vectors = await index.sampleVectors(MEADOW, 12);
    expect(vectors.map((vector) => vector.length)).toEqual(Array(12).fill(DIMENSION));
    expect(await index.sampleVectors(HARBOUR, 50)).toHaveLength(10);
    expect([...(await index.classSizes(MEADOW))].sort(([a], [b]) => a - b)).toEqual([
      [0, 7],
      [1, 7],
      [2, 6],
    ]);
  });

  it('is finished by the next process where one ended in the middle of making it', async () => {
    const { index, collections, prefix } = await openWith();
    await index.upsert([point({ chunk: 1 })]);
    const [alias] = await generationsOf(prefix);
    await ask('DELETE', `/collections/${alias}/index/class?wait=true`);
    await ask('POST', '/collections/aliases', {
      actions: [prefix, alias?.replace(/-1$/, '')].map((alias_name) => ({ delete_alias: { alias_name } })),
    });
    expect(await collections.live()).toBeUndefined();
    const again = await collections.open(SPACE);
    expect(chunksOf(await again.search(requestOf({})))).toEqual([[1], [1]]);
    expect(await collections.live()).toBe(SPACE.fingerprint);
    expect(await ask('GET', `/collections/${prefix}`)).toMatchObject({
      payload_schema: { class: {}, tenant: { params: { is_tenant: true } }, document: {} },
    });
  });

  async function generationsOf(prefix: string): Promise<readonly string[]> {
    const found = (await ask('GET', '/collections')) as { collections: { name: string }[] };
    return found.collections.map(({ name }) => name).filter((name) => name.startsWith(`${prefix}-`));
  }

  it('stays where it is when one of two rebuilds that began at once is given up', async () => {
    const options = optionsOn(server);
    const [one, two] = await Promise.all([1, 2].map(() => openQdrant(options)));
    if (one === undefined || two === undefined) throw new Error('not opened');
    for (const collections of [one, two]) opened.push({ collections, prefix: options.prefix });
    const index = await one.open(SPACE);
    await two.open(SPACE);
    const [first, second] = await Promise.all([one.rebuild(SPACE), two.rebuild(SPACE)]);
    await first.index.upsert([point({ chunk: 1 })]);
    await first.swap();
    await second.abandon();
    expect(await one.live()).toBe(SPACE.fingerprint);
    expect(chunksOf(await index.search(requestOf({})))).toEqual([[1], [1]]);
    expect(await two.open(SPACE).then((again) => again.count(MEADOW, classes(1)))).toBe(1);
  });

  it('is made once by several processes that start together', async () => {
    const options = optionsOn(server);
    const several = await Promise.all([1, 2, 3].map(() => openQdrant(options)));
    for (const collections of several) opened.push({ collections, prefix: options.prefix });
    const [first, second] = await Promise.all(several.map((collections) => collections.open(SPACE)));
    await first?.upsert([point({ chunk: 1 })]);
    expect(chunksOf((await second?.search(requestOf({}))) ?? { dense: [], sparse: [] })).toEqual([[1], [1]]);
    expect(await generationsOf(options.prefix)).toHaveLength(1);
  });
}

const SPACE = { fingerprint: 'a-model', dimension: DIMENSION };
const MODES: readonly SearchPlan['mode'][] = [
  { kind: 'exact' },
  { kind: 'graph', beam: 128 },
  { kind: 'acorn', beam: 128 },
];

function serverTests() {
  let server: QdrantServer;
  let index: QdrantIndex;
  let writer: QdrantCollections;
  let options: ReturnType<typeof optionsOn>;
  beforeAll(async () => {
    server = await startQdrant(findQdrant(), { QDRANT__SERVICE__JWT_RBAC: 'true' });
    options = optionsOn(server);
    writer = await openQdrant(options);
  });
  afterAll(async () => {
    writer.close();
    await server.close();
  });
  const openAs = (changes: Partial<QdrantOptions>) => openQdrant({ ...options, ...changes });

  it('tells a reader that no indexer has made the collection yet', async () => {
    const reader = await openAs({ key: server.readKey, canWrite: false });
    expect(await reader.live()).toBeUndefined();
    await expect(reader.open(SPACE)).rejects.toMatchObject({
      code: 'index_unavailable',
      detail: expect.stringMatching(/no collection .* yet: a process with the role indexer makes it/),
    });
    reader.close();
  });

  it('is searched with the key for reading, which writes nothing', async () => {
    index = await writer.open(SPACE);
    await index.upsert([point({ chunk: 1 })]);
    const reader = await openAs({ key: server.readKey, canWrite: false });
    const reading = await reader.open(SPACE);
    expect(await reader.live()).toBe(SPACE.fingerprint);
    expect(chunksOf(await reading.search(requestOf({})))).toEqual([[1], [1]]);
    expect(await reading.count(MEADOW, classes(1))).toBe(1);
    await expect(reading.upsert([point({ chunk: 2 })])).rejects.toMatchObject({ code: 'index_unavailable' });
    await expect(reading.moveDocument(MEADOW, docId(1), classId(2))).rejects.toMatchObject({
      code: 'index_unavailable',
    });
    await expect(reading.removePoints(MEADOW, [chunkId(1)])).rejects.toMatchObject({
      code: 'index_unavailable',
    });
    await expect(reader.switchTo(SPACE.fingerprint)).rejects.toMatchObject({ code: 'index_unavailable' });
    expect(await index.count(MEADOW, classes(1))).toBe(1);
    reader.close();
  });

  it('is refused to a process that only searches and has the key for writing', async () => {
    await expect(openAs({ canWrite: false })).rejects.toMatchObject({
      code: 'store_unsafe',
      detail: expect.stringMatching(/use the read-only key/),
    });
  });

  it.each([
    ['a wrong key', { key: 'wrong' }, /does not accept the key/],
    ['no key', { key: undefined }, /asks for a key/],
  ])('names %s', async (_name, changes, detail) => {
    await expect(openAs(changes)).rejects.toMatchObject({
      code: 'config_invalid',
      detail: expect.stringMatching(detail),
    });
  });

  it('names a key for reading where the process has to write', async () => {
    await expect(openAs({ key: server.readKey })).rejects.toMatchObject({
      code: 'config_invalid',
      detail: expect.stringMatching(/for reading only, and this process has to write/),
    });
  });

  it('names a collection of another dimension', async () => {
    await expect(writer.open({ ...SPACE, dimension: 4 })).rejects.toMatchObject({ code: 'model_changed' });
  });

  it('names https in the address of a server without TLS', async () => {
    await expect(openAs({ url: server.url.replace('http:', 'https:') })).rejects.toMatchObject({
      code: 'config_invalid',
      detail: expect.stringMatching(/does not speak TLS, and the address says https/),
    });
  });

  /** A token of Qdrant's own access control, signed with the key for writing. */
  function tokenFor(access: readonly { collection: string; access: 'r' | 'rw' | 'prw' }[]): string {
    const encode = (part: object) => Buffer.from(JSON.stringify(part)).toString('base64url');
    const signed = `${encode({ alg: 'HS256', typ: 'JWT' })}.${encode({ access })}`;
    const signature = createHmac('sha256', server.key ?? '')
      .update(signed)
      .digest('base64url');
    return `${signed}.${signature}`;
  }

  it('is searched with a token for reading the two aliases, and not with one that may write', async () => {
    const { prefix } = options;
    const aliases = [prefix, new QdrantNames(prefix).current(SPACE.fingerprint)];
    const reading = aliases.map((collection) => ({ collection, access: 'r' as const }));
    const reader = await openAs({ key: tokenFor(reading), canWrite: false });
    expect(chunksOf(await (await reader.open(SPACE)).search(requestOf({})))).toEqual([[1], [1]]);
    reader.close();
    for (const access of ['rw', 'prw'] as const)
      for (const collection of [prefix, `${aliases[1]}-1`]) {
        const key = tokenFor([
          ...reading.filter((entry) => entry.collection !== collection),
          { collection, access },
        ]);
        await expect(openAs({ key, canWrite: false })).rejects.toMatchObject({ code: 'store_unsafe' });
      }
  });

  describe('with TLS', () => {
    let folder: string;
    let ca: string;
    let secure: QdrantServer;
    beforeAll(async () => {
      folder = await mkdtemp(join(tmpdir(), 'bulkhead-qdrant-tls-'));
      const [cert, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')];
      const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', key];
      const subject = ['-subj', '/CN=qdrant', '-addext', 'subjectAltName=IP:127.0.0.1'];
      await run('openssl', ['req', '-x509', '-days', '2', ...newKey, '-out', cert, ...subject]);
      ca = await readFile(cert, 'utf8');
      secure = await startQdrant(findQdrant(), {
        QDRANT__SERVICE__ENABLE_TLS: 'true',
        QDRANT__TLS__CERT: cert,
        QDRANT__TLS__KEY: key,
      });
    });
    afterAll(async () => {
      await secure.close();
      await rm(folder, { recursive: true });
    });

    it('is searched where its certificate is signed by the authority that was given', async () => {
      const collections = await openAs({ url: secure.url, ca });
      const safe = await collections.open(SPACE);
      await safe.upsert([point({ chunk: 1 })]);
      expect(chunksOf(await safe.search(requestOf({})))).toEqual([[1], [1]]);
      collections.close();
    });

    it.each([
      ['a certificate of another authority', {}, /certificate that is not trusted/],
      ['http in its address', { http: true }, /speaks TLS, and the address says http/],
    ])('names %s', async (_name, { http = false }: { http?: boolean }, detail) => {
      const url = http ? secure.url.replace('https:', 'http:') : secure.url;
      await expect(openAs({ url, ca: undefined })).rejects.toMatchObject({
        code: 'config_invalid',
        detail: expect.stringMatching(detail),
      });
    });
  });
}
