/** What the planner's searches find of what is there, at every share of what a caller may see. */

import type { VectorIndex } from '../../../src/index/vector-index.ts';
import { chunkId } from '../../../src/policy/ids.ts';
import { fuse, search } from '../../../src/retrieve/3-search.ts';
import type { Authorized, Searched } from '../../../src/retrieve/stages.ts';
import { embeddedQuestion } from '../embedded-question.ts';
import { mean, overlap, percentile } from '../measures.ts';
import { table } from '../table.ts';
import { LIMIT } from './contest.ts';
import type { DataSet } from './data-set.ts';
import { bestOf, type ExactHit, ExactSearch } from './exact.ts';
import { authorizedOf } from './identity.ts';
import type { Reader } from './layout.ts';
import { planOf } from './plan.ts';
import { openProduct, type Product } from './product.ts';
import { startProxy } from './qdrant-proxy.ts';
import { atLeast, type Verdict } from './verdict.ts';

export interface RecallOf {
  readonly caller: string;
  readonly visibleChunks: number;
  readonly classes: number;
  readonly ranges: number;
  readonly plan: string;
  readonly searchP50: number;
  /** Of the ten nearest vectors, how many the dense list begins with. */
  readonly dense: number;
  /** Of the ten best of both lists, the dense one exact. */
  readonly fused: number;
}

const LEAST_RECALL = 0.99;
const DEPTH = 200;

/** Searches go through a proxy that tells what was asked; it costs each about a millisecond. */
export async function measureRecall(
  data: DataSet,
  readers: readonly Reader[],
  questions: readonly string[],
): Promise<readonly RecallOf[]> {
  const exact = new ExactSearch(data.spec, data.pieces);
  const proxy = await startProxy(data.stores.qdrantUrl);
  const product = await openProduct(data.stores, { QDRANT_URL: proxy.url });
  try {
    const results: RecallOf[] = [];
    for (const reader of readers) {
      console.error(`Recall: ${reader.name}`);
      results.push(await recallOf(data, product, exact, reader, questions, () => proxy.take()));
    }
    return results;
  } finally {
    await product.close();
    await proxy.close();
  }
}

async function recallOf(
  { layout }: DataSet,
  { core }: Product,
  exact: ExactSearch,
  reader: Reader,
  questions: readonly string[],
  take: () => Parameters<typeof planOf>[0],
): Promise<RecallOf> {
  const authorized = await authorizedOf(core, reader.name);
  const visible = exact.visible(layout, reader.name);
  const count = layout.visibleChunks(reader.name);
  const plans = new Set<string>();
  const found = { dense: [] as number[], fused: [] as number[], ms: [] as number[] };
  for (const [i, question] of questions.entries()) {
    const prepared = await embeddedQuestion(core.embedder, question);
    // the first search of a visible set reads more than the others
    if (i === 0) await search(core.index, authorized, prepared);
    take();
    const { searched, ms } = await timedSearch(core.index, authorized, prepared);
    plans.add(planOf(take()));
    const best = bestOf(exact.scores(prepared.vector), visible, DEPTH);
    found.ms.push(ms);
    found.dense.push(
      share(
        best.slice(0, LIMIT).map(idOf),
        searched.lists.dense.slice(0, LIMIT).map(({ chunkId }) => String(chunkId)),
      ),
    );
    found.fused.push(overlap(fusedExactly(best, searched), top(searched.candidates)));
  }
  const { searched } = authorized;
  return {
    caller: reader.name,
    visibleChunks: count,
    classes: searched.kind === 'nothing' ? 0 : searched.size,
    ranges: searched.kind === 'nothing' ? 0 : searched.ranges.length,
    plan: [...plans].join('; '),
    searchP50: percentile(found.ms, 0.5),
    dense: mean(found.dense),
    fused: mean(found.fused),
  };
}

async function timedSearch(
  index: VectorIndex,
  authorized: Authorized,
  prepared: Parameters<typeof search>[2],
): Promise<{ readonly searched: Searched; readonly ms: number }> {
  const began = performance.now();
  const searched = await search(index, authorized, prepared);
  return { searched, ms: performance.now() - began };
}

/** What both lists make together when the dense one is exact. */
function fusedExactly(best: readonly ExactHit[], { lists }: Searched): readonly string[] {
  const dense = best.map(({ chunk, score }) => ({ chunkId: chunkId(chunk + 1), score }));
  return top(fuse({ dense, sparse: lists.sparse }));
}

function top(candidates: Searched['candidates']): readonly string[] {
  return candidates.slice(0, LIMIT).map(({ hit }) => String(hit.chunkId));
}

const idOf = ({ chunk }: ExactHit): string => String(chunk + 1);

function share(wanted: readonly string[], found: readonly string[]): number {
  const there = new Set(found);
  return wanted.length === 0 ? 1 : wanted.filter((id) => there.has(id)).length / wanted.length;
}

export function recallTable(results: readonly RecallOf[]): string {
  return table(
    [
      'caller',
      'visible chunks',
      'classes',
      'ranges',
      'plan',
      'search p50 ms',
      'dense recall@10',
      'fused recall@10',
    ],
    results.map((one) => [
      one.caller,
      String(one.visibleChunks),
      String(one.classes),
      String(one.ranges),
      one.plan,
      one.searchP50.toFixed(1),
      one.dense.toFixed(4),
      one.fused.toFixed(4),
    ]),
  );
}

export function recallVerdicts(results: readonly RecallOf[]): readonly Verdict[] {
  return results.flatMap(({ caller, dense, fused }) => [
    atLeast(`${caller}: dense recall@10`, dense, LEAST_RECALL),
    atLeast(`${caller}: fused recall@10`, fused, LEAST_RECALL),
  ]);
}
