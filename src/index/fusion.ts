import type { ChunkId } from '../policy/ids.ts';
import type { Hit } from './vector-index.ts';

export interface FusedHit {
  readonly hit: Hit;
  readonly score: number;
}

/**
 * Reciprocal rank fusion (Cormack, Clarke and Büttcher, SIGIR 2009): the sum of 1 / (k + rank) over the lists
 * that hold a chunk, ranks from 1. Scores of the lists are not compared, only their order.
 */
export function reciprocalRankFusion(
  lists: readonly (readonly Hit[])[],
  { k = 60, limit }: { readonly k?: number; readonly limit: number },
): readonly FusedHit[] {
  return fuse(lists, (_list, rank) => 1 / (k + rank)).slice(0, limit);
}

/**
 * Sum of each list's scores, scaled to 0–1 by its lowest and highest (all equal: 1) and multiplied by the
 * list's weight. A list without a chunk adds nothing to it.
 * @param weights one for each list; a missing one counts as 0
 */
export function weightedSum(
  lists: readonly (readonly Hit[])[],
  weights: readonly number[],
): readonly FusedHit[] {
  const scales = lists.map(minMaxScale);
  return fuse(lists, (list, _rank, hit) => (weights[list] ?? 0) * (scales[list]?.(hit.score) ?? 0));
}

function minMaxScale(hits: readonly Hit[]): (score: number) => number {
  const scores = hits.map((hit) => hit.score);
  const low = Math.min(...scores);
  const high = Math.max(...scores);
  return high > low ? (score) => (score - low) / (high - low) : () => 1;
}

function fuse(
  lists: readonly (readonly Hit[])[],
  contribution: (list: number, rank: number, hit: Hit) => number,
): readonly FusedHit[] {
  const fused = new Map<ChunkId, FusedHit>();
  for (const [list, hits] of lists.entries())
    for (const [index, hit] of hits.entries()) {
      const before = fused.get(hit.chunkId);
      const score = (before?.score ?? 0) + contribution(list, index + 1, hit);
      fused.set(hit.chunkId, { hit: before?.hit ?? hit, score });
    }
  return [...fused.values()].sort((a, b) => b.score - a.score || a.hit.chunkId - b.hit.chunkId);
}
