import fc from 'fast-check';
import { expect } from 'vitest';
import type {
  Hit,
  IndexPoint,
  SearchRequest,
  SearchResult,
  VisibleClasses,
} from '../../src/index/vector-index.ts';
import { chunkId, classId, documentId, type TenantId, tenantId } from '../../src/policy/ids.ts';
import { includesClass, visibilityFilter } from '../../src/policy/visibility-filter.ts';

export const DIMENSION = 8;
export const MEADOW = tenantId(1);
export const HARBOUR = tenantId(2);

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

export function point(shape: PointShape): IndexPoint {
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

export const docId = (n: number) => documentId(`00000000-0000-4000-8000-${String(n).padStart(12, '0')}`);

export function classes(...ids: number[]): VisibleClasses {
  const filter = visibilityFilter(ids.map(classId));
  if (filter.kind === 'nothing') throw new Error('a test needs classes');
  return filter;
}

function unit(seed: readonly number[]): Float32Array {
  const numbers = Array.from({ length: DIMENSION }, (_, i) => Math.sin(i + 1) + (seed[i] ?? 0));
  const length = Math.hypot(...numbers) || 1;
  return Float32Array.from(numbers, (x) => x / length);
}

export const QUERY = { dense: unit([0, 1]), terms: [11, 12], limit: 100 };

export const requestOf = (changes: Partial<SearchRequest>): SearchRequest => ({
  tenant: MEADOW,
  visible: classes(1),
  ...QUERY,
  ...changes,
});

export const chunksOf = (result: SearchResult) =>
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
            fc.integer({ min: 1, max: 280 }).map((w) => w / 128),
          ),
          { selector: ([id]) => id, maxLength: 6 },
        ),
        seed: vector,
      }),
      { maxLength: 20 },
    )
    .map((shapes) => shapes.map((shape, n) => point({ ...shape, chunk: firstChunk + n })));

/** Documents of their own, so that removing them takes nothing visible along. */
export const hiddenPoints = shapeOf(1_000, 100);

export const corpus = fc.record({
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

/** @param idfStep what the adapter rounds IDF to a multiple of, at least one; 0 = nothing */
export function scan(
  points: readonly IndexPoint[],
  request: SearchRequest,
  idfStep = 0,
): { dense: Scored[]; sparse: Scored[] } {
  const visible = points.filter(
    (p) => p.tenant === request.tenant && includesClass(request.visible, p.classId),
  );
  const wanted = visible.filter((p) => request.documents?.includes(p.documentId) ?? true);
  return {
    dense: wanted.map((p) => ({ point: p, score: dot(p.embedding, request.dense) })),
    sparse: wanted
      .filter((p) => request.terms.some((term) => weightOf(p, term) > 0))
      .map((p) => ({ point: p, score: bm25(p, request.terms, visible, idfStep) })),
  };
}

function bm25(
  p: IndexPoint,
  terms: readonly number[],
  visible: readonly IndexPoint[],
  idfStep: number,
): number {
  return terms.reduce((sum, term) => {
    const df = visible.filter((other) => weightOf(other, term) > 0).length;
    const idf = Math.log(1 + (visible.length - df + 0.5) / (df + 0.5));
    const rounded = idfStep === 0 ? idf : Math.max(1, Math.round(idf / idfStep)) * idfStep;
    return sum + weightOf(p, term) * rounded;
  }, 0);
}

const weightOf = (p: IndexPoint, term: number) => p.terms.weights[Array.from(p.terms.ids).indexOf(term)] ?? 0;

const dot = (a: Float32Array, b: Float32Array) => a.reduce((sum, x, i) => sum + x * (b[i] ?? 0), 0);

/** The same scores at every rank, each chunk with its own score, all of its ids, in the promised order. */
export function expectSame(result: SearchResult, expected: ReturnType<typeof scan>, limit: number) {
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
    expect(Object.keys(hit).sort()).toEqual(['chunkId', 'score']);
    expect(Math.abs(hit.score - (own?.score ?? Number.NaN))).toBeLessThan(tolerance);
    expect(Math.abs(hit.score - (best[rank]?.score ?? Number.NaN))).toBeLessThan(tolerance);
    const next = hits[rank + 1];
    if (next !== undefined)
      expect(hit.score > next.score || (hit.score === next.score && hit.chunkId < next.chunkId)).toBe(true);
  }
}
