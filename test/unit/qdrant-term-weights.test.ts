import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TermWeights } from '../../src/index/qdrant-term-weights.ts';
import { classId } from '../../src/policy/ids.ts';
import { visibilityFilter } from '../../src/policy/visibility-filter.ts';
import { classes, HARBOUR, MEADOW } from '../helpers/vector-index.ts';

interface Asked {
  readonly path: string;
  readonly filter: { must: { key: string; match?: { any?: number[] }; range?: object }[] };
  readonly limit?: number;
}

/** An index of `chunks` visible points, each with the terms that `termsOf` gives it. */
function indexOf(chunks: number, termsOf: (n: number) => readonly number[]) {
  const asked: Asked[] = [];
  const read = async (_method: string, path: string, body?: unknown) => {
    const request = { path, ...(body as Omit<Asked, 'path'>) };
    asked.push(request);
    if (path.endsWith('/count')) return { count: chunks };
    const length = Math.min(chunks, request.limit ?? 0);
    return {
      points: Array.from({ length }, (_, n) => ({ id: n, vector: { terms: { indices: termsOf(n) } } })),
    };
  };
  return { asked, weights: new TermWeights({ read }, 'bulkhead') };
}

const idf = (n: number, df: number) => Math.log(1 + (n - df + 0.5) / (df + 0.5));

describe('term weights', () => {
  it('are those of BM25 over every chunk while they are few, in steps of 1/512', async () => {
    const { weights } = indexOf(100, (n) => (n < 30 ? [5, 6] : [7]));
    const { chunks, factors } = await weights.of(MEADOW, classes(1), [5, 7, 8, -1]);
    expect(chunks).toBe(100);
    for (const [at, df] of [30, 70, 0, 0].entries())
      expect(Math.abs((factors[at] ?? 0) - idf(100, df))).toBeLessThan(1 / 1_024);
    expect(factors.every((factor) => Number.isInteger(factor * 512) && factor > 0)).toBe(true);
  });

  it('are scaled from a sample above, a term that is not in it as in half a chunk of it', async () => {
    const { weights } = indexOf(51_200, (n) => (n % 4 === 0 ? [5] : [6]));
    const { factors } = await weights.of(MEADOW, classes(1), [5, 8]);
    expect(factors[0]).toBeCloseTo(idf(51_200, 12_800), 2);
    expect(factors[1]).toBeCloseTo(idf(51_200, 50), 2);
  });

  it('find a signed term id where the index keeps it unsigned', async () => {
    const { weights } = indexOf(10, () => [4_294_967_295]);
    expect((await weights.of(MEADOW, classes(1), [-1])).factors[0]).toBeCloseTo(idf(10, 10), 2);
  });

  it('come from classes at even distances where there are many', async () => {
    const { asked, weights } = indexOf(100_000, () => [5]);
    const visible = visibilityFilter(
      [0, 100_000].flatMap((first) => Array.from({ length: 5_120 }, (_, n) => classId(first + n))),
    );
    if (visible.kind === 'nothing') throw new Error('a test needs classes');
    await weights.of(MEADOW, visible, [5]);
    const sampled = asked.at(-1)?.filter.must.find(({ key }) => key === 'class')?.match?.any ?? [];
    expect(sampled).toHaveLength(256);
    expect(sampled.slice(0, 3)).toEqual([0, 40, 80]);
    expect(sampled.slice(127, 130)).toEqual([5_080, 100_000, 100_040]);
    expect(asked.every(({ filter }) => filter.must.some(({ key }) => key === 'tenant'))).toBe(true);
  });

  it('are counted once for searches that ask together or one after the other, and per tenant', async () => {
    const { asked, weights } = indexOf(10, () => [5]);
    const visible = classes(1, 2);
    await Promise.all([1, 2, 3].map(() => weights.of(MEADOW, visible, [5])));
    await weights.of(MEADOW, classes(1, 2), [6]);
    expect(asked).toHaveLength(2);
    await weights.of(HARBOUR, visible, [5]);
    await weights.of(MEADOW, classes(1), [5]);
    expect(asked).toHaveLength(6);
  });

  it('are counted again after a write of this process where they were exact', async () => {
    const few = indexOf(10, () => [5]);
    const many = indexOf(10_000, () => [5]);
    for (const { weights, asked } of [few, many]) {
      await weights.of(MEADOW, classes(1), [5]);
      weights.noteWrite();
      await Promise.all([1, 2].map(() => weights.of(MEADOW, classes(1), [5])));
      expect(asked).toHaveLength(weights === few.weights ? 4 : 2);
    }
  });

  it('add up exactly in single precision, in any order, for questions of any length', () =>
    fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 2_000_000 }),
        fc.uniqueArray(fc.integer({ min: 0, max: 500 }), { minLength: 1, maxLength: 120, size: 'max' }),
        fc.infiniteStream(fc.integer({ min: 1, max: 281 })),
        async (chunks, terms, steps) => {
          const { weights } = indexOf(chunks, (n) => [n % 7, 10 + (n % 50)]);
          const { factors } = await weights.of(MEADOW, classes(1), terms);
          const products = factors.map((factor) => Math.fround(factor * ((steps.next().value ?? 1) / 128)));
          const sum = (list: readonly number[]) => list.reduce((total, x) => Math.fround(total + x), 0);
          expect(sum([...products].reverse())).toBe(sum(products));
          expect(sum([...products].sort((a, b) => a - b))).toBe(sum(products));
        },
      ),
      { numRuns: 200 },
    ));
});
