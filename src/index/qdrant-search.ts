/** The two searches of one request, as Qdrant takes them, and the lists that come back. */
import type { Schemas } from '@qdrant/js-client-rest';
import type { SearchPlan } from './planner.ts';
import { garbledAnswer } from './qdrant-calls.ts';
import { searchFilterText } from './qdrant-filters.ts';
import type { Quantization } from './qdrant-layout.ts';
import { denseName, TERMS } from './qdrant-names.ts';
import { pointsOf, toHit, unsigned } from './qdrant-points.ts';
import type { Hit, SearchTarget } from './vector-index.ts';

/** Points of equal score that are looked at to find those with the lowest ids. */
const MOST_TIED = 4_096;
const OVERSAMPLING = 2;

export interface Query extends Pick<Schemas['QueryRequest'], 'using' | 'params'> {
  /** In JSON. */
  readonly queryText: string;
  /** In JSON: it may name tens of thousands of classes, and is written once for all searches of a visible set. */
  readonly filterText: string;
  /** A list that holds so many may end before equal scores that the limit would part; absent = the limit. */
  readonly fewest?: number | undefined;
}

/** Sends bodies in JSON to `points/query/batch` of the collection that is searched, each as soon as it is there. */
export type Send = (bodies: readonly (string | Promise<string>)[]) => Promise<readonly unknown[]>;

export function denseQuery(
  request: SearchTarget,
  dense: Float32Array,
  plan: SearchPlan,
  fingerprint: string,
  quantization: Quantization,
): Query {
  return {
    // a third of what `JSON.stringify` takes, digit by digit the same
    queryText: `[${dense.join()}]`,
    using: denseName(fingerprint),
    filterText: searchFilterText(request, plan.form),
    params: searchParams(plan, quantization),
  };
}

/** @param factors of the request's terms, one each */
export function sparseQuery(request: SearchTarget, plan: SearchPlan, factors: readonly number[]): Query {
  return {
    queryText: JSON.stringify({ indices: request.terms.map(unsigned), values: factors }),
    using: TERMS,
    fewest: request.fewest,
    filterText: searchFilterText(request, plan.form),
  };
}

/**
 * Qdrant answers the queries of one call one after another, and words are there before the vector: apart, both take
 * little longer than the slower of them.
 */
export type Sending = 'together' | 'apart';

/**
 * The best hits of each query, equal scores by chunk id: one call for all of them, or one for each as soon as it is
 * there, and more only where equal scores reach over the limit and fewer than `fewest` hits are above them.
 */
export async function bestHits(
  send: Send,
  pending: readonly (Query | Promise<Query>)[],
  limit: number,
  sending: Sending,
): Promise<readonly (readonly Hit[])[]> {
  const lists = await firstHits(send, pending, limit + 1, sending);
  const queries = await Promise.all(pending);
  return Promise.all(
    queries.map((query, at) => {
      const list = lists[at] ?? [];
      const above = aboveTies(list, limit);
      const isEnough = above.length >= Math.min(query.fewest ?? limit, list.length);
      return isEnough ? inOrder(above) : settleTies(send, query, list, limit);
    }),
  );
}

async function firstHits(
  send: Send,
  pending: readonly (Query | Promise<Query>)[],
  limit: number,
  sending: Sending,
): Promise<readonly (readonly Hit[])[]> {
  const calls = sending === 'together' ? [pending] : pending.map((query) => [query]);
  const bodies = calls.map(async (queries) => batchText(await Promise.all(queries), limit));
  // one that is rejected is not waited for where nothing is sent any more
  for (const body of bodies) body.catch(() => {});
  const answers = await send(bodies).catch(async (error: unknown) => {
    // a query that was never there says itself why
    await Promise.all(pending);
    throw error;
  });
  return calls.flatMap((queries, at) => listsOf(answers[at], queries.length));
}

/** What is surely among the best: where equal scores reach over the limit, which of them come back is chance. */
function aboveTies(hits: readonly Hit[], limit: number): readonly Hit[] {
  if (hits.length <= limit || !isTied(hits, limit)) return hits.slice(0, limit);
  const tied = hits.at(-1)?.score;
  return hits.filter(({ score }) => score !== tied);
}

async function settleTies(
  send: Send,
  query: Query,
  first: readonly Hit[],
  limit: number,
): Promise<readonly Hit[]> {
  const deepest = limit + MOST_TIED;
  let hits = first;
  for (let depth = limit + 1; depth < deepest && hits.length >= depth && isTied(hits, limit); ) {
    depth = Math.min(4 * depth, deepest);
    hits = (await firstHits(send, [query], depth, 'together'))[0] ?? [];
  }
  return inOrder(hits).slice(0, limit);
}

function inOrder(hits: readonly Hit[]): readonly Hit[] {
  return [...hits].sort((a, b) => b.score - a.score || a.chunkId - b.chunkId);
}

function batchText(queries: readonly Query[], limit: number): string {
  return `{"searches":[${queries.map((query) => searchText(query, limit)).join()}]}`;
}

function listsOf(answer: unknown, queries: number): readonly (readonly Hit[])[] {
  if (!Array.isArray(answer) || answer.length !== queries) throw garbledAnswer();
  return answer.map((list: unknown) => pointsOf(list).map(toHit));
}

/** Ids and scores alone come back: reading the payload of two hundred hits takes a quarter of a search. */
function searchText({ filterText, queryText, using, params }: Query, limit: number): string {
  const rest = JSON.stringify({ using, params, limit, with_payload: false, with_vector: false });
  return `{"filter":${filterText},"query":${queryText},${rest.slice(1)}`;
}

/** Whether more hits of the score at the limit may follow the last one. */
function isTied(hits: readonly Hit[], limit: number): boolean {
  return hits[limit - 1]?.score === hits.at(-1)?.score;
}

/** Exact search never uses the quantised vectors. */
function searchParams({ mode }: SearchPlan, quantization: Quantization): Schemas['SearchParams'] {
  if (mode.kind === 'exact') return { exact: true, quantization: { ignore: true } };
  return {
    hnsw_ef: mode.beam,
    ...(mode.kind === 'acorn' ? { acorn: { enable: true, max_selectivity: 1 } } : {}),
    ...(quantization === 'int8' ? { quantization: { rescore: true, oversampling: OVERSAMPLING } } : {}),
  };
}
