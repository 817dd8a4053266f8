import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type {
  Hit,
  IndexPoint,
  SearchRequest,
  SearchResult,
  VectorCollections,
  VectorIndex,
  VisibleClasses,
} from '../../src/index/vector-index.ts';
import { chunkId, classId, documentId, type TenantId, tenantId } from '../../src/policy/ids.ts';
import { includesClass, NOTHING, visibilityFilter } from '../../src/policy/visibility-filter.ts';

const DIMENSION = 8;
const RUNS = { numRuns: Number(process.env.BULKHEAD_TEST_RUNS ?? 60) };
const MEADOW = tenantId(1);
const HARBOUR = tenantId(2);

/** What every adapter must do. Each test works in a collection of its own, made live for it. */
export function vectorIndexContract(
  name: string,
  open: () => Promise<{ collections: VectorCollections; close: () => Promise<void> }>,
): void {
  describe(name, () => {
    let opened: Awaited<ReturnType<typeof open>>;
    let made = 0;
    beforeAll(async () => {
      opened = await open();
    });
    afterAll(() => opened.close());

    async function withIndex<T>(work: (index: VectorIndex) => Promise<T>): Promise<T> {
      made += 1;
      const fingerprint = `model-${made}`;
      const index = await opened.collections.open({ fingerprint, dimension: DIMENSION });
      await opened.collections.switchTo(fingerprint);
      if (made > 1) await opened.collections.drop(`model-${made - 1}`);
      return work(index);
    }

    it('finds exactly what a scan of the visible points finds, with the same scores', () =>
      fc.assert(
        fc.asyncProperty(corpus, async ({ points, visible, query }) => {
          await withIndex(async (index) => {
            await index.upsert(points);
            const request = { tenant: MEADOW, visible, ...query };
            expectSame(await index.search(request), scan(points, request), request.limit);
          });
        }),
        RUNS,
      ));

    it('finds the same however many and however scattered the visible classes are', () =>
      withIndex(async (index) => {
        const points = Array.from({ length: 120 }, (_, n) => point({ chunk: n + 1, class: n * 3 + 1 }));
        await index.upsert(points);
        const beside = (count: number, step: number, first = 0) =>
          Array.from({ length: count }, (_, n) => first + n * step);
        const few = beside(5, 3, 1);
        const filters = [
          classes(...few),
          classes(...beside(40, 6, 1)),
          classes(...beside(3_000, 2)),
          classes(...beside(3_000, 2), 1_900_000_000),
          classes(...few, ...beside(10, 2, 1_900_000_000)),
        ];
        for (const visible of filters) {
          const request = { tenant: MEADOW, visible, ...QUERY };
          expectSame(await index.search(request), scan(points, request), request.limit);
          expect(await index.count(MEADOW, visible)).toBe(
            points.filter((p) => includesClass(visible, p.classId)).length,
          );
        }
      }));

    it('answers byte for byte the same after hidden points come and go', () =>
      fc.assert(
        fc.asyncProperty(corpus, hiddenPoints, async ({ points, visible, query }, hidden) => {
          const shown = points.filter((p) => p.tenant === MEADOW && includesClass(visible, p.classId));
          const unseen = hidden.filter((p) => p.tenant !== MEADOW || !includesClass(visible, p.classId));
          await withIndex(async (index) => {
            await index.upsert(shown);
            const ask = async () =>
              JSON.stringify([
                await index.search({ tenant: MEADOW, visible, ...query }),
                await index.count(MEADOW, visible),
              ]);
            const before = await ask();
            await index.upsert(unseen);
            expect(await ask()).toBe(before);
            for (const p of unseen) await index.moveDocument(p.tenant, p.documentId, classId(900_001));
            expect(await ask()).toBe(before);
            for (const p of unseen) await index.removeDocument(p.tenant, p.documentId);
            expect(await ask()).toBe(before);
          });
        }),
        RUNS,
      ));

    it('shows no tenant the points of another, even in a class of the same number', () =>
      withIndex(async (index) => {
        await index.upsert([point({ chunk: 1 }), point({ chunk: 2, tenant: HARBOUR })]);
        expect(chunksOf(await index.search(requestOf({ tenant: HARBOUR })))).toEqual([[2], [2]]);
        expect(await index.count(HARBOUR, classes(1))).toBe(1);
        expect((await index.listPoints(HARBOUR, undefined, 10)).map((p) => p.chunkId)).toEqual([2]);
        await index.removeDocument(HARBOUR, docId(1));
        await index.moveDocument(HARBOUR, docId(1), classId(7));
        expect(chunksOf(await index.search(requestOf({})))).toEqual([[1], [1]]);
      }));

    it('narrows to the given documents, and keeps the scores that the visible classes give', () =>
      withIndex(async (index) => {
        const points = [1, 2, 3, 4].map((n) => point({ chunk: n, document: n, class: n < 4 ? 1 : 2 }));
        await index.upsert(points);
        const all = await index.search(requestOf({}));
        const narrowed = await index.search(requestOf({ documents: [docId(2), docId(4)] }));
        expect(narrowed.dense).toEqual(all.dense.filter((hit) => hit.documentId === docId(2)));
        expect(narrowed.sparse).toEqual(all.sparse.filter((hit) => hit.documentId === docId(2)));
        expect(await index.search(requestOf({ documents: [] }))).toEqual({ dense: [], sparse: [] });
      }));

    it('takes the same point twice, and a changed one instead of the old', () =>
      withIndex(async (index) => {
        const first = point({ chunk: 1, terms: [[11, 1]] });
        await index.upsert([first]);
        const once = await index.search(requestOf({ terms: [11] }));
        await index.upsert([first, first]);
        expect(await index.search(requestOf({ terms: [11] }))).toEqual(once);
        await index.upsert([point({ chunk: 1, class: 2, version: 2, terms: [[12, 1]] })]);
        const later = await index.search(requestOf({ visible: classes(1, 2), terms: [11, 12] }));
        expect(later.dense.map((hit) => [hit.classId, hit.version])).toEqual([[2, 2]]);
        expect(await index.search(requestOf({ visible: classes(2), terms: [11] }))).toMatchObject({
          sparse: [],
        });
        expect(await index.count(MEADOW, classes(1, 2))).toBe(1);
        expect(await index.count(MEADOW, classes(1))).toBe(0);
      }));

    it('takes more points than one batch holds', () =>
      withIndex(async (index) => {
        await index.upsert(Array.from({ length: 100 }, (_, n) => point({ chunk: n + 1 })));
        expect(await index.count(MEADOW, classes(1))).toBe(100);
      }));

    it('moves all chunks of a document to another class', () =>
      withIndex(async (index) => {
        await index.upsert([point({ chunk: 1 }), point({ chunk: 2 }), point({ chunk: 3, document: 2 })]);
        await index.moveDocument(MEADOW, docId(1), classId(9));
        expect(chunksOf(await index.search(requestOf({})))).toEqual([[3], [3]]);
        expect(chunksOf(await index.search(requestOf({ visible: classes(9) })))).toEqual([
          [1, 2],
          [1, 2],
        ]);
        expect(await index.count(MEADOW, classes(1))).toBe(1);
        expect(await index.count(MEADOW, classes(9))).toBe(2);
      }));

    it('removes a document, or all of its versions but one', () =>
      withIndex(async (index) => {
        await index.upsert([
          point({ chunk: 1 }),
          point({ chunk: 2, version: 2 }),
          point({ chunk: 3, document: 2 }),
        ]);
        await index.removeDocument(MEADOW, docId(1), 2);
        expect(chunksOf(await index.search(requestOf({})))).toEqual([
          [2, 3],
          [2, 3],
        ]);
        await index.removeDocument(MEADOW, docId(1));
        expect(chunksOf(await index.search(requestOf({})))).toEqual([[3], [3]]);
        expect(await index.count(MEADOW, classes(1))).toBe(1);
      }));

    it('returns no more than the limit, equal scores by chunk id', () =>
      withIndex(async (index) => {
        await index.upsert([5, 3, 8, 1, 7].map((n) => point({ chunk: n })));
        expect(chunksOf(await index.search(requestOf({ limit: 3 })))).toEqual([
          [1, 3, 5],
          [1, 3, 5],
        ]);
        await expect(index.search(requestOf({ limit: 0 }))).rejects.toThrow();
      }));

    it('gives an empty sparse list for a query without terms and for terms that no visible chunk has', () =>
      withIndex(async (index) => {
        await index.upsert([point({ chunk: 1 })]);
        expect(chunksOf(await index.search(requestOf({ terms: [] })))).toEqual([[1], []]);
        expect(chunksOf(await index.search(requestOf({ terms: [424242] })))).toEqual([[1], []]);
      }));

    it('gives two empty lists when the visible classes hold nothing', () =>
      withIndex(async (index) => {
        await index.upsert([point({ chunk: 1 })]);
        expect(await index.search(requestOf({ visible: classes(5) }))).toEqual({ dense: [], sparse: [] });
        expect(await index.count(MEADOW, classes(5))).toBe(0);
      }));

    it('counts nothing and refuses to search for a caller who may read nothing', () =>
      withIndex(async (index) => {
        await index.upsert([point({ chunk: 1 })]);
        expect(await index.count(MEADOW, NOTHING)).toBe(0);
        const visible = NOTHING as unknown as VisibleClasses;
        await expect(index.search(requestOf({ visible }))).rejects.toMatchObject({ code: 'internal' });
      }));

    it('lists the points of a tenant page by page', () =>
      withIndex(async (index) => {
        await index.upsert([4, 2, 9].map((n) => point({ chunk: n, class: n, document: n })));
        const first = await index.listPoints(MEADOW, undefined, 2);
        expect(first).toEqual([
          { chunkId: 2, documentId: docId(2), version: 1, classId: 2 },
          { chunkId: 4, documentId: docId(4), version: 1, classId: 4 },
        ]);
        expect((await index.listPoints(MEADOW, chunkId(4), 2)).map((p) => p.chunkId)).toEqual([9]);
      }));

    it('refuses vectors of another length', () =>
      withIndex(async (index) => {
        const short = { ...point({ chunk: 1 }), embedding: new Float32Array(DIMENSION - 1) };
        await expect(index.upsert([short])).rejects.toMatchObject({ code: 'model_changed' });
        await expect(index.search(requestOf({ dense: short.embedding }))).rejects.toMatchObject({
          code: 'model_changed',
        });
      }));

    it('searches the live collection only, and switches at once', () =>
      withIndex(async (before) => {
        const { collections } = opened;
        await before.upsert([point({ chunk: 1 })]);
        const next = await collections.open({ fingerprint: 'next', dimension: DIMENSION });
        await next.upsert([point({ chunk: 1 }), point({ chunk: 2 })]);
        await expect(next.search(requestOf({}))).rejects.toMatchObject({ code: 'model_changed' });
        expect(chunksOf(await before.search(requestOf({})))).toEqual([[1], [1]]);
        await expect(collections.drop(`model-${made}`)).rejects.toMatchObject({ code: 'conflict' });

        await next.moveDocument(MEADOW, docId(1), classId(3));
        expect(chunksOf(await before.search(requestOf({ visible: classes(3) })))).toEqual([[1], [1]]);

        await collections.switchTo('next');
        await expect(before.search(requestOf({}))).rejects.toMatchObject({ code: 'model_changed' });
        expect(chunksOf(await next.search(requestOf({ visible: classes(3) })))).toEqual([
          [1, 2],
          [1, 2],
        ]);
        await collections.drop(`model-${made}`);
        await expect(before.upsert([point({ chunk: 5 })])).rejects.toMatchObject({ code: 'model_changed' });
        await collections.switchTo('next');
        await expect(collections.switchTo('nowhere')).rejects.toMatchObject({ code: 'model_changed' });
        expect(await next.count(MEADOW, classes(3))).toBe(2);
        await expect(collections.open({ fingerprint: 'next', dimension: 3 })).rejects.toMatchObject({
          code: 'model_changed',
        });
        // the next test drops the collection before its own
        await collections.open({ fingerprint: `model-${made}`, dimension: DIMENSION });
        await collections.switchTo(`model-${made}`);
        await collections.drop('next');
      }));
  });
}

// points ------------------------------------------------------------------------------------------------------

interface PointShape {
  chunk: number;
  document?: number;
  class?: number;
  version?: number;
  tenant?: TenantId;
  terms?: readonly (readonly [id: number, weight: number])[];
  seed?: readonly number[];
}

function point(shape: PointShape): IndexPoint {
  const terms = shape.terms ?? [[11, 1.5]];
  return {
    chunkId: chunkId(shape.chunk),
    documentId: docId(shape.document ?? 1),
    version: shape.version ?? 1,
    classId: classId(shape.class ?? 1),
    tenant: shape.tenant ?? MEADOW,
    embedding: unit(shape.seed ?? [1, 2, 3]),
    terms: { ids: terms.map(([id]) => id), weights: Float32Array.from(terms, ([, weight]) => weight) },
  };
}

const docId = (n: number) => documentId(`00000000-0000-4000-8000-${String(n).padStart(12, '0')}`);

function classes(...ids: number[]): VisibleClasses {
  const filter = visibilityFilter(ids.map(classId));
  if (filter.kind === 'nothing') throw new Error('a test needs classes');
  return filter;
}

function unit(seed: readonly number[]): Float32Array {
  const numbers = Array.from({ length: DIMENSION }, (_, i) => Math.sin(i + 1) + (seed[i] ?? 0));
  const length = Math.hypot(...numbers) || 1;
  return Float32Array.from(numbers, (x) => x / length);
}

const QUERY = { dense: unit([0, 1]), terms: [11, 12], limit: 100 };

const requestOf = (changes: Partial<SearchRequest>): SearchRequest => ({
  tenant: MEADOW,
  visible: classes(1),
  ...QUERY,
  ...changes,
});

const chunksOf = (result: SearchResult) =>
  [result.dense, result.sparse].map((hits) => hits.map((hit) => hit.chunkId));

const vector = fc.array(fc.integer({ min: -4, max: 4 }), { minLength: DIMENSION, maxLength: DIMENSION });

const shapeOf = (firstChunk: number, firstDocument: number) =>
  fc
    .array(
      fc.record({
        document: fc.integer({ min: firstDocument, max: firstDocument + 5 }),
        class: fc.integer({ min: 1, max: 12 }),
        tenant: fc.constantFrom(MEADOW, MEADOW, MEADOW, HARBOUR),
        terms: fc.uniqueArray(
          fc.tuple(
            fc.integer({ min: -6, max: 6 }),
            fc.integer({ min: 1, max: 22 }).map((w) => w / 10),
          ),
          { selector: ([id]) => id, maxLength: 6 },
        ),
        seed: vector,
      }),
      { maxLength: 20 },
    )
    .map((shapes) => shapes.map((shape, n) => point({ ...shape, chunk: firstChunk + n })));

/** Documents of their own, so that removing them takes nothing visible along. */
const hiddenPoints = shapeOf(1_000, 100);

const corpus = fc.record({
  points: shapeOf(1, 1),
  visible: fc
    .uniqueArray(fc.integer({ min: 1, max: 12 }), { minLength: 1, maxLength: 12 })
    .map((ids) => classes(...ids)),
  query: fc.record({
    dense: vector.map(unit),
    terms: fc.uniqueArray(fc.integer({ min: -8, max: 8 }), { maxLength: 5 }),
    limit: fc.integer({ min: 1, max: 30 }),
    documents: fc.option(fc.uniqueArray(fc.integer({ min: 1, max: 6 }).map(docId), { maxLength: 4 }), {
      nil: undefined,
    }),
  }),
});

// the oracle --------------------------------------------------------------------------------------------------

interface Scored {
  readonly point: IndexPoint;
  readonly score: number;
}

function scan(points: readonly IndexPoint[], request: SearchRequest): { dense: Scored[]; sparse: Scored[] } {
  const visible = points.filter(
    (p) => p.tenant === request.tenant && includesClass(request.visible, p.classId),
  );
  const wanted = visible.filter((p) => request.documents?.includes(p.documentId) ?? true);
  return {
    dense: wanted.map((p) => ({ point: p, score: dot(p.embedding, request.dense) })),
    sparse: wanted
      .filter((p) => request.terms.some((term) => weightOf(p, term) > 0))
      .map((p) => ({ point: p, score: bm25(p, request.terms, visible) })),
  };
}

function bm25(p: IndexPoint, terms: readonly number[], visible: readonly IndexPoint[]): number {
  return terms.reduce((sum, term) => {
    const df = visible.filter((other) => weightOf(other, term) > 0).length;
    return sum + weightOf(p, term) * Math.log(1 + (visible.length - df + 0.5) / (df + 0.5));
  }, 0);
}

const weightOf = (p: IndexPoint, term: number) => p.terms.weights[Array.from(p.terms.ids).indexOf(term)] ?? 0;

const dot = (a: Float32Array, b: Float32Array) => a.reduce((sum, x, i) => sum + x * (b[i] ?? 0), 0);

/** The same scores at every rank, each chunk with its own score, all of its ids, in the promised order. */
function expectSame(result: SearchResult, expected: ReturnType<typeof scan>, limit: number) {
  expectList(result.dense, expected.dense, 1e-4, limit);
  expectList(result.sparse, expected.sparse, 1e-5, limit);
}

function expectList(
  hits: readonly Hit[],
  expected: readonly Scored[],
  tolerance: number,
  limit: number,
): void {
  const best = [...expected].sort((a, b) => b.score - a.score).slice(0, limit);
  expect(hits.length).toBe(best.length);
  for (const [rank, hit] of hits.entries()) {
    const own = expected.find(({ point: p }) => p.chunkId === hit.chunkId);
    expect(own?.point).toMatchObject({
      documentId: hit.documentId,
      classId: hit.classId,
      version: hit.version,
    });
    expect(Math.abs(hit.score - (own?.score ?? Number.NaN))).toBeLessThan(tolerance);
    expect(Math.abs(hit.score - (best[rank]?.score ?? Number.NaN))).toBeLessThan(tolerance);
    const next = hits[rank + 1];
    if (next !== undefined)
      expect(hit.score > next.score || (hit.score === next.score && hit.chunkId < next.chunkId)).toBe(true);
  }
}
