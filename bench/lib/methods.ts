/** The ways to rank that the bench compares, all from the two lists of one search. */
import { reciprocalRankFusion, weightedSum } from '../../src/index/fusion.ts';
import type { Hit, SearchResult } from '../../src/index/vector-index.ts';
import type { ChunkId } from '../../src/policy/ids.ts';
import type { Collection } from './collections.ts';
import { mean, ndcg, recall } from './measures.ts';

export type Ranker = (lists: SearchResult) => readonly Hit[];

const hitsOf = (fused: readonly { readonly hit: Hit }[]): readonly Hit[] => fused.map(({ hit }) => hit);

export const rankFusion =
  (k: number): Ranker =>
  ({ dense, sparse }) =>
    hitsOf(reciprocalRankFusion([dense, sparse], { k, limit: dense.length + sparse.length }));

/** @param weight of the dense list; the other has the rest */
export const minMaxSum =
  (weight: number): Ranker =>
  ({ dense, sparse }) =>
    hitsOf(weightedSum([dense, sparse], [weight, 1 - weight]));

export const METHODS: Readonly<Record<string, Ranker>> = {
  dense: ({ dense }) => dense,
  BM25: ({ sparse }) => sparse,
  'hybrid, rank fusion (k 60)': rankFusion(60),
  'hybrid, min-max sum': minMaxSum(0.5),
};

export interface Score {
  readonly ndcg10: number;
  readonly recall100: number;
  /** How many questions had a relevant document among the visible ones. */
  readonly questions: number;
}

/** Documents in the order of their best chunk. */
function documentsOf(hits: readonly Hit[], externalIds: ReadonlyMap<ChunkId, string>): readonly string[] {
  return [...new Set(hits.map(({ chunkId }) => externalIds.get(chunkId) ?? ''))];
}

/**
 * Scores a ranker on all questions that have a relevant document among those the reader may read.
 * @param lists of the questions, in their order
 */
export function score(
  collection: Collection,
  lists: readonly SearchResult[],
  ranker: Ranker,
  externalIds: ReadonlyMap<ChunkId, string>,
  mayRead: (externalId: string) => boolean,
): Score {
  const gains: number[] = [];
  const recalls: number[] = [];
  for (const [i, { id }] of collection.questions.entries()) {
    const found = lists[i];
    const judged = [...(collection.judgements.get(id) ?? [])].filter(([document]) => mayRead(document));
    if (found === undefined || judged.length === 0) continue;
    const grades = new Map(judged);
    const ranked = documentsOf(ranker(found), externalIds);
    gains.push(ndcg(ranked, grades));
    recalls.push(recall(ranked, grades));
  }
  return { ndcg10: mean(gains), recall100: mean(recalls), questions: gains.length };
}
