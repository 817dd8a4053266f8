import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { VectorCollections, VectorIndex, VisibleClasses } from '../../src/index/vector-index.ts';
import { chunkId, classId } from '../../src/policy/ids.ts';
import { includesClass, NOTHING } from '../../src/policy/visibility-filter.ts';
import {
  chunksOf,
  classes,
  corpus,
  DIMENSION,
  docId,
  expectSame,
  HARBOUR,
  hiddenPoints,
  MEADOW,
  point,
  QUERY,
  requestOf,
  scan,
} from '../helpers/vector-index.ts';

const NUM_RUNS = 30;
/** Each run of a property makes, fills and drops a collection. */
const PATIENCE_MS = 120_000;

interface ContractOptions {
  /** Of each property; fewer where making a collection takes long. */
  readonly numRuns?: number;
  /** What the adapter rounds IDF to a multiple of; 0 = nothing. */
  readonly idfStep?: number;
}

/** What every adapter must do. Each test works in a collection of its own, made live for it. */
export function vectorIndexContract(
  name: string,
  open: () => Promise<{ collections: VectorCollections; close: () => Promise<void> }>,
  { numRuns = NUM_RUNS, idfStep = 0 }: ContractOptions = {},
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

    it(
      'finds exactly what a scan of the visible points finds, with the same scores',
      () =>
        fc.assert(
          fc.asyncProperty(corpus, async ({ points, visible, query }) => {
            await withIndex(async (index) => {
              await index.upsert(points);
              const request = { tenant: MEADOW, visible, ...query };
              expectSame(await index.search(request), scan(points, request, idfStep), request.limit);
            });
          }),
          { numRuns },
        ),
      PATIENCE_MS,
    );

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
          expectSame(await index.search(request), scan(points, request, idfStep), request.limit);
          expect(await index.count(MEADOW, visible)).toBe(
            points.filter((p) => includesClass(visible, p.classId)).length,
          );
        }
      }));

    it(
      'answers byte for byte the same after hidden points come and go',
      () =>
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
          { numRuns },
        ),
      PATIENCE_MS,
    );

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
        expect(narrowed.dense).toEqual(all.dense.filter((hit) => hit.chunkId === 2));
        expect(narrowed.sparse).toEqual(all.sparse.filter((hit) => hit.chunkId === 2));
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
        expect(chunksOf(later)).toEqual([[1], [1]]);
        expect(await index.locate(MEADOW, [chunkId(1)])).toMatchObject([{ classId: 2, version: 2 }]);
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

    it('removes a document, or its versions before one and none after', () =>
      withIndex(async (index) => {
        await index.upsert([
          point({ chunk: 1 }),
          point({ chunk: 2, version: 2 }),
          point({ chunk: 4, version: 3 }),
          point({ chunk: 3, document: 2 }),
        ]);
        await index.removeDocument(MEADOW, docId(1), 2);
        expect(chunksOf(await index.search(requestOf({})))).toEqual([
          [2, 3, 4],
          [2, 3, 4],
        ]);
        await index.removeDocument(MEADOW, docId(1));
        expect(chunksOf(await index.search(requestOf({})))).toEqual([[3], [3]]);
        expect(await index.count(MEADOW, classes(1))).toBe(1);
      }));

    it('removes single points of one tenant', () =>
      withIndex(async (index) => {
        await index.upsert([1, 2, 3].map((n) => point({ chunk: n })));
        await index.upsert([point({ chunk: 4, tenant: HARBOUR })]);
        await index.removePoints(MEADOW, [1, 3, 4, 99].map(chunkId));
        await index.removePoints(MEADOW, []);
        expect(chunksOf(await index.search(requestOf({})))).toEqual([[2], [2]]);
        expect(await index.count(MEADOW, classes(1))).toBe(1);
        expect(await index.count(HARBOUR, classes(1))).toBe(1);
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

    it('tells what it holds of single points as last written, and of no others', () =>
      withIndex(async (index) => {
        await index.upsert([
          point({ chunk: 7, document: 2, class: 3 }),
          point({ chunk: 1, version: 2, class: 5 }),
          point({ chunk: 2, document: 3 }),
          point({ chunk: 3 }),
        ]);
        await index.upsert([point({ chunk: 4, tenant: HARBOUR })]);
        await index.moveDocument(MEADOW, docId(2), classId(9));
        await index.removeDocument(MEADOW, docId(3));
        const chunks = [7, 1, 2, 4, 99].map(chunkId);
        expect(await index.locate(MEADOW, chunks)).toEqual([
          { chunkId: 1, documentId: docId(1), version: 2, classId: 5 },
          { chunkId: 7, documentId: docId(2), version: 1, classId: 9 },
        ]);
        expect((await index.locate(HARBOUR, chunks)).map((p) => p.chunkId)).toEqual([4]);
        expect(await index.locate(MEADOW, [])).toEqual([]);
        const many = Array.from({ length: 400 }, (_, n) => chunkId(n + 1));
        expect((await index.locate(MEADOW, many)).map((p) => p.chunkId)).toEqual([1, 3, 7]);
      }));

    it('refuses vectors of another length', () =>
      withIndex(async (index) => {
        const short = { ...point({ chunk: 1 }), embedding: new Float32Array(DIMENSION - 1) };
        await expect(index.upsert([short])).rejects.toMatchObject({ code: 'model_changed' });
        await expect(index.search(requestOf({ dense: short.embedding }))).rejects.toMatchObject({
          code: 'model_changed',
        });
      }));

    it('searches while the embedding is still on its way, and fails as it does', () =>
      withIndex(async (index) => {
        const at = requestOf({});
        const never = Promise.reject(new Error('no embedding'));
        await expect(index.search({ ...at, dense: never })).rejects.toThrow('no embedding');
        await index.upsert([point({ chunk: 1 }), point({ chunk: 2, terms: [[12, 1]] })]);
        const late = new Promise<Float32Array>((resolve) => setImmediate(resolve, at.dense));
        expect(await index.search({ ...at, dense: late })).toEqual(await index.search(at));
        const failed = Promise.reject(new Error('no embedding'));
        await expect(index.search({ ...at, dense: failed })).rejects.toThrow('no embedding');
        expect(await index.search(at)).toEqual(await index.search(at));
      }));

    it('searches the live collection only, and switches at once', () =>
      withIndex(async (before) => {
        const { collections } = opened;
        await before.upsert([point({ chunk: 1 })]);
        const next = await collections.open({ fingerprint: 'next', dimension: DIMENSION });
        await next.upsert([point({ chunk: 1 }), point({ chunk: 2 })]);
        await expect(next.search(requestOf({}))).rejects.toMatchObject({ code: 'model_changed' });
        await expect(next.locate(MEADOW, [chunkId(1)])).rejects.toMatchObject({ code: 'model_changed' });
        expect(chunksOf(await before.search(requestOf({})))).toEqual([[1], [1]]);
        await expect(collections.drop(`model-${made}`)).rejects.toMatchObject({ code: 'conflict' });

        await next.moveDocument(MEADOW, docId(1), classId(3));
        expect(chunksOf(await before.search(requestOf({ visible: classes(3) })))).toEqual([[1], [1]]);

        await collections.switchTo('next');
        await expect(before.search(requestOf({}))).rejects.toMatchObject({ code: 'model_changed' });
        await expect(before.locate(MEADOW, [chunkId(1)])).rejects.toMatchObject({ code: 'model_changed' });
        expect((await next.locate(MEADOW, [chunkId(1), chunkId(2)])).map((p) => p.classId)).toEqual([3, 3]);
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

    it('fills a second generation that nobody searches before it takes the place of the first', () =>
      withIndex(async (index) => {
        const space = { fingerprint: `model-${made}`, dimension: DIMENSION };
        await index.upsert([point({ chunk: 1 }), point({ chunk: 2, document: 2 })]);
        const rebuild = await opened.collections.rebuild(space);
        expect(await rebuild.index.listPoints(MEADOW, undefined, 10)).toEqual([]);
        await rebuild.index.upsert([point({ chunk: 3, document: 3 })]);
        expect(chunksOf(await index.search(requestOf({})))).toEqual([
          [1, 2],
          [1, 2],
        ]);
        expect(await index.count(MEADOW, classes(1))).toBe(2);
        // what the first is given, and what goes from it or moves, the second follows
        await index.upsert([point({ chunk: 4, document: 4 })]);
        await index.moveDocument(MEADOW, docId(3), classId(2));
        await rebuild.swap();
        expect((await index.locate(MEADOW, [1, 3, 4].map(chunkId))).map((p) => p.chunkId)).toEqual([3, 4]);
        const expected = [[4], [4]];
        expect(chunksOf(await index.search(requestOf({})))).toEqual(expected);
        const reopened = await opened.collections.open(space);
        expect(chunksOf(await reopened.search(requestOf({})))).toEqual(expected);
        expect(chunksOf(await reopened.search(requestOf({ visible: classes(2) })))).toEqual([[3], [3]]);
        expect(await reopened.count(MEADOW, classes(1, 2))).toBe(2);
        expect(await opened.collections.live()).toBe(space.fingerprint);
        await index.upsert([point({ chunk: 5, document: 5 })]);
        expect(chunksOf(await index.search(requestOf({})))).toEqual([
          [4, 5],
          [4, 5],
        ]);
      }));

    it('changes generations under searches that each see all of one', () =>
      withIndex(async (index) => {
        const space = { fingerprint: `model-${made}`, dimension: DIMENSION };
        const numbers = (first: number) => Array.from({ length: 40 }, (_, n) => first + n);
        await index.upsert(numbers(1).map((n) => point({ chunk: n })));
        const rebuild = await opened.collections.rebuild(space);
        await rebuild.index.upsert(numbers(101).map((n) => point({ chunk: n })));
        const seen: string[] = [];
        let swapped = false;
        const asking = Array.from({ length: 4 }, async () => {
          for (let after = 0; after < 3; after += swapped ? 1 : 0)
            seen.push(JSON.stringify(chunksOf(await index.search(requestOf({})))));
        });
        await rebuild.swap();
        swapped = true;
        await Promise.all(asking);
        const [old, fresh] = [1, 101].map((n) => JSON.stringify([numbers(n), numbers(n)]));
        expect(new Set(seen).has(fresh ?? '')).toBe(true);
        expect(seen.filter((one) => one !== old && one !== fresh)).toEqual([]);
      }));

    it('keeps the live generation whatever a rebuild that was overtaken gives up', () =>
      withIndex(async (index) => {
        const space = { fingerprint: `model-${made}`, dimension: DIMENSION };
        await index.upsert([point({ chunk: 1 })]);
        const both = await Promise.allSettled([1, 2].map(() => opened.collections.rebuild(space)));
        const [first, second] = both.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
        // of two that began at once, one may have been given up
        const swapped = await Promise.allSettled([first?.swap()]);
        if (swapped[0]?.status === 'rejected') await second?.swap();
        await first?.abandon();
        await second?.abandon();
        expect(await opened.collections.live()).toBe(space.fingerprint);
        await index.upsert([point({ chunk: 2 })]);
        expect(chunksOf(await index.search(requestOf({})))).toEqual([[2], [2]]);
      }));

    it('gives up a second generation, and one that was broken off, without a trace', () =>
      withIndex(async (index) => {
        const space = { fingerprint: `model-${made}`, dimension: DIMENSION };
        await index.upsert([point({ chunk: 1 })]);
        const abandoned = await opened.collections.rebuild(space);
        await abandoned.index.upsert([point({ chunk: 2 })]);
        await abandoned.abandon();
        expect(chunksOf(await index.search(requestOf({})))).toEqual([[1], [1]]);
        await expect(abandoned.swap()).rejects.toThrow();

        const brokenOff = await opened.collections.rebuild(space);
        await brokenOff.index.upsert([point({ chunk: 3 })]);
        const next = await opened.collections.rebuild(space);
        expect(await next.index.listPoints(MEADOW, undefined, 10)).toEqual([]);
        await next.index.upsert([point({ chunk: 4 })]);
        await next.swap();
        expect(chunksOf(await index.search(requestOf({})))).toEqual([[4], [4]]);
        await expect(
          opened.collections.rebuild({ fingerprint: 'nowhere', dimension: DIMENSION }),
        ).rejects.toMatchObject({ code: 'model_changed' });
      }));
  });
}
