import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type FusedHit, reciprocalRankFusion, weightedSum } from '../../src/index/fusion.ts';
import type { Hit } from '../../src/index/vector-index.ts';
import { chunkId } from '../../src/policy/ids.ts';

const RUNS = { numRuns: Number(process.env.BULKHEAD_TEST_RUNS ?? 300) };
const hit = (chunk: number, score: number): Hit => ({ chunkId: chunkId(chunk), score });

/** A list as an index returns it: distinct chunks, by score, then chunk id. */
const list = fc
  .uniqueArray(fc.tuple(fc.integer({ min: 1, max: 30 }), fc.integer({ min: -50, max: 50 })), {
    selector: ([chunk]) => chunk,
    maxLength: 20,
  })
  .map((pairs) =>
    pairs
      .map(([chunk, score]) => hit(chunk, score))
      .sort((a, b) => b.score - a.score || a.chunkId - b.chunkId),
  );
const pair = fc.tuple(list, list);
const chunks = (fused: readonly FusedHit[]) => fused.map((one) => one.hit.chunkId);

function expectOrdered(fused: readonly FusedHit[]): void {
  for (const [rank, { hit: own, score }] of fused.entries()) {
    const next = fused[rank + 1];
    if (next)
      expect(score > next.score || (score === next.score && own.chunkId < next.hit.chunkId)).toBe(true);
  }
}

describe('reciprocal rank fusion', () => {
  const fuse = (lists: readonly (readonly Hit[])[]) => reciprocalRankFusion(lists, { limit: 100 });

  it('returns each chunk of any list once, by score and then chunk id', () =>
    fc.assert(
      fc.property(pair, (lists) => {
        const fused = fuse(lists);
        const all = new Set(lists.flat().map((one) => one.chunkId));
        expect(new Set(chunks(fused))).toEqual(all);
        expect(fused.length).toBe(all.size);
        expectOrdered(fused);
      }),
      RUNS,
    ));

  it('scores a chunk by the sum of 1 / (60 + rank)', () =>
    fc.assert(
      fc.property(pair, (lists) => {
        for (const { hit: one, score } of fuse(lists)) {
          const ranks = lists.map((hits) => hits.findIndex((other) => other.chunkId === one.chunkId) + 1);
          const expected = ranks.reduce((sum, rank) => sum + (rank === 0 ? 0 : 1 / (60 + rank)), 0);
          expect(score).toBeCloseTo(expected, 12);
        }
      }),
      RUNS,
    ));

  it('does not depend on the order of two lists, nor on the size of their scores', () =>
    fc.assert(
      fc.property(pair, ([a, b]) => {
        const scaled = a.map((one) => ({ ...one, score: one.score * 1_000 + 7 }));
        const scores = (fused: readonly FusedHit[]) => fused.map((one) => [one.hit.chunkId, one.score]);
        expect(scores(fuse([b, a]))).toEqual(scores(fuse([a, b])));
        expect(scores(fuse([scaled, b]))).toEqual(scores(fuse([a, b])));
      }),
      RUNS,
    ));

  it('keeps the order of a single list, and the limit', () =>
    fc.assert(
      fc.property(list, fc.nat(25), (hits, limit) => {
        const expected = hits.slice(0, limit).map((one) => one.chunkId);
        expect(chunks(reciprocalRankFusion([hits, []], { limit }))).toEqual(expected);
      }),
      RUNS,
    ));

  it('puts a chunk that both lists hold before one that a single list ranks the same', () => {
    const fused = fuse([
      [hit(1, 9), hit(2, 8)],
      [hit(3, 5), hit(2, 4)],
    ]);
    expect(chunks(fused)).toEqual([2, 1, 3]);
  });
});

describe('the weighted sum', () => {
  it('returns each chunk once, in order, with scores from 0 to the sum of the weights', () =>
    fc.assert(
      fc.property(pair, (lists) => {
        const fused = weightedSum(lists, [0.7, 0.3]);
        expect(new Set(chunks(fused)).size).toBe(new Set(lists.flat().map((one) => one.chunkId)).size);
        for (const { score } of fused) {
          expect(score).toBeGreaterThanOrEqual(0);
          expect(score).toBeLessThanOrEqual(1 + 1e-12);
        }
        expectOrdered(fused);
      }),
      RUNS,
    ));

  it('is not moved by scaling or shifting the scores of a list', () =>
    fc.assert(
      fc.property(pair, ([a, b]) => {
        const scaled = a.map((one) => ({ ...one, score: one.score * 4 + 16 }));
        const scores = (fused: readonly FusedHit[]) => fused.map((one) => [one.hit.chunkId, one.score]);
        expect(scores(weightedSum([scaled, b], [1, 1]))).toEqual(scores(weightedSum([a, b], [1, 1])));
      }),
      RUNS,
    ));

  it('gives 1 to each hit of a list whose scores are equal, and nothing to a list without a weight', () => {
    expect(weightedSum([[hit(1, 5), hit(2, 5)]], [2]).map((one) => one.score)).toEqual([2, 2]);
    expect(weightedSum([[], [hit(1, 5)]], [1]).map((one) => one.score)).toEqual([0]);
  });
});
