/** How long one question after the other takes: every contestant in turn, so that whatever else happens falls on all. */

import { classId } from '../../../src/policy/ids.ts';
import { visibilityFilter } from '../../../src/policy/visibility-filter.ts';
import { percentile } from '../measures.ts';
import { seeded, shuffled } from '../random.ts';
import type { Asked } from './asking.ts';
import { type Contest, type Contestant, type ContestantName, LIMIT } from './contest.ts';
import type { DataSet } from './data-set.ts';
import { freshCallers, type Reader } from './layout.ts';

export interface Times {
  readonly asked: number;
  readonly failed: number;
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
  /** Passages in an answer, on average. */
  readonly passages: number;
}

export interface CallerTimes {
  readonly caller: string;
  readonly kind: Reader['kind'];
  readonly share: number;
  readonly visibleChunks: number;
  readonly classes: number;
  readonly ranges: number;
  readonly times: Readonly<Partial<Record<ContestantName, Times>>>;
  /** First questions of callers of whom nothing is cached, against Bulkhead. */
  readonly cold: Times;
  /** Answers that said `complete` with fewer passages than there are. */
  readonly falselyComplete: number;
}

/** Where filters are hard: a share between these in scattered classes. */
export function isHard({ kind, share }: Pick<Reader, 'kind' | 'share'>): boolean {
  return kind === 'scattered' && share >= 0.02 && share <= 0.2;
}

const WARM_UP = 3;
/** A contestant that takes longer in all for one caller is asked no more questions; at least so many it is asked. */
const BUDGET_MS = 10_000;
const AT_LEAST = 5;

function contestantsFor(contest: Contest, reader: Reader): readonly Contestant[] {
  return [...contest.contestants.values()].filter(({ name }) => name !== 'bare' || isHard(reader));
}

export async function timeCaller(
  contest: Contest,
  data: DataSet,
  reader: Reader,
  questions: readonly string[],
): Promise<CallerTimes> {
  const { layout, policy, spec } = data;
  const contestants = contestantsFor(contest, reader);
  const visibleChunks = layout.visibleChunks(reader.name);
  const expected = Math.min(LIMIT, visibleChunks);
  const product = contest.contestants.get('bulkhead');
  const cold = product === undefined ? [] : await askFresh(product, reader, questions);
  for (const question of questions.slice(0, WARM_UP))
    for (const contestant of contestants) await contestant.ask(reader.name, question);
  const answers = await askInTurn(contestants, reader.name, questions);
  const positions = Array.from({ length: spec.classes }, (_, i) => i);
  const seen = positions.filter((i) => layout.mayRead(reader.name, i));
  const filter = visibilityFilter(seen.map((i) => classId(policy.classIds[i] ?? 0)));
  return {
    caller: reader.name,
    kind: reader.kind,
    share: reader.share,
    visibleChunks,
    classes: seen.length,
    ranges: filter.kind === 'nothing' ? 0 : filter.ranges.length,
    times: Object.fromEntries([...answers].map(([name, asked]) => [name, timesOf(asked)])),
    cold: timesOf(cold),
    falselyComplete: [...cold, ...(answers.get('bulkhead') ?? [])].filter((one) =>
      isFalselyComplete(one, expected),
    ).length,
  };
}

async function askFresh(
  product: Contestant,
  reader: Reader,
  questions: readonly string[],
): Promise<readonly Asked[]> {
  const cold: Asked[] = [];
  for (const [i, caller] of freshCallers(reader.name).entries())
    cold.push(await product.ask(caller, questions[i % questions.length] ?? ''));
  return cold;
}

async function askInTurn(
  contestants: readonly Contestant[],
  caller: string,
  questions: readonly string[],
): Promise<ReadonlyMap<ContestantName, readonly Asked[]>> {
  const answers = new Map<ContestantName, Asked[]>(contestants.map(({ name }) => [name, []]));
  const spent = new Map<ContestantName, number>();
  const random = seeded(questions.length);
  // an order of its own: in a fixed one, everybody finds the caches always as the same other left them
  for (const [i, question] of questions.entries())
    for (const contestant of shuffled(contestants, random)) {
      const { name } = contestant;
      if (i >= AT_LEAST && (spent.get(name) ?? 0) > BUDGET_MS) continue;
      const asked = await contestant.ask(caller, question);
      if (asked.failed !== undefined) console.error(`${name}, ${caller}: ${asked.failed}`);
      spent.set(name, (spent.get(name) ?? 0) + (asked.failed === undefined ? asked.ms : 0));
      answers.get(name)?.push(asked);
    }
  return answers;
}

function isFalselyComplete({ body }: Asked, expected: number): boolean {
  const { passages, complete } = JSON.parse(body) as { passages: readonly unknown[]; complete: boolean };
  return complete && passages.length < expected;
}

/** Of those that were answered. */
function timesOf(all: readonly Asked[]): Times {
  const answers = all.filter(({ failed }) => failed === undefined);
  const ms = answers.map((one) => one.ms);
  const passages = answers.map(
    ({ body }) => (JSON.parse(body) as { passages: readonly unknown[] }).passages.length,
  );
  return {
    asked: all.length,
    failed: all.length - answers.length,
    p50: percentile(ms, 0.5),
    p95: percentile(ms, 0.95),
    p99: percentile(ms, 0.99),
    passages: passages.reduce((sum, n) => sum + n, 0) / Math.max(1, passages.length),
  };
}
