/** What other settings would score, everything visible, computed by the oracle without another ingest. */

import { BM25 } from '../../src/index/terms.ts';
import type { SearchResult } from '../../src/index/vector-index.ts';
import { DEPTH, type JudgedCollection } from './judged-run.ts';
import { METHODS, minMaxSum, type Ranker, rankFusion, type Score, score } from './methods.ts';
import type { Bm25Parameters } from './oracle.ts';

export interface Alternative extends Score {
  readonly setting: string;
}

const AVERAGE_LENGTHS = [30, 60, 90, 120, 180];
const SATURATIONS = [
  { k1: 0.9, b: 0.4 },
  { k1: 1.2, b: 0.4 },
  { k1: 1.5, b: 0.75 },
  { k1: 2, b: 0.75 },
];
const DENSE_WEIGHTS = [0.3, 0.4, 0.6, 0.7];
const RANK_CONSTANTS = [10, 30, 100];
const DEPTHS = [50, 100, 400];
const DEEPEST = 400;

export function alternatives(judged: JudgedCollection): readonly Alternative[] {
  const bm25: Ranker = METHODS.BM25 ?? (({ sparse }) => sparse);
  const dense = judged.prepared.map(({ vector }) => judged.oracle.dense(vector, everything, DEEPEST));
  const listsWith = (depth: number, parameters: Bm25Parameters): readonly SearchResult[] =>
    judged.collection.questions.map(({ text }, i) => ({
      dense: dense[i]?.slice(0, depth) ?? [],
      sparse: judged.oracle.sparse(text, everything, depth, parameters),
    }));
  const rate = (setting: string, lists: readonly SearchResult[], ranker: Ranker): Alternative => ({
    setting,
    ...score(judged.collection, lists, ranker, judged.oracle.externalIds(), everything),
  });
  const withBm25 = (setting: string, changes: Partial<Bm25Parameters>) => {
    const lists = listsWith(DEPTH, { ...BM25, ...changes });
    return [rate(`BM25, ${setting}`, lists, bm25), rate(`min-max sum, ${setting}`, lists, minMaxSum(0.5))];
  };
  const usual = listsWith(DEPTH, BM25);
  const own = judged.oracle.averageLength;
  return [
    ...AVERAGE_LENGTHS.flatMap((averageLength) =>
      withBm25(`average length ${averageLength}`, { averageLength }),
    ),
    ...withBm25(`average length ${own.toFixed(0)}, its own`, { averageLength: own }),
    ...SATURATIONS.flatMap(({ k1, b }) => withBm25(`k1 ${k1}, b ${b}`, { k1, b })),
    ...DENSE_WEIGHTS.map((weight) => rate(`min-max sum, dense ${weight}`, usual, minMaxSum(weight))),
    ...RANK_CONSTANTS.map((k) => rate(`rank fusion, k ${k}`, usual, rankFusion(k))),
    ...DEPTHS.flatMap((depth) => {
      const lists = listsWith(depth, BM25);
      return [
        rate(`min-max sum, ${depth} of each`, lists, minMaxSum(0.5)),
        rate(`rank fusion, ${depth} of each`, lists, rankFusion(60)),
      ];
    }),
  ];
}

const everything = (): boolean => true;
