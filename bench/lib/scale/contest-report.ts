/** The tables of the contest, and what they should say. */
import { table } from '../table.ts';
import { type ContestantName, LIMIT } from './contest.ts';
import { type CallerTimes, isHard, type Times } from './latency.ts';
import type { Throughput } from './saturation.ts';
import { atLeast, atMost, type Verdict } from './verdict.ts';

export const EASY = 'sees all, ≤ 1 %, or a few ranges';
export const HARD = '4–20 % in scattered classes';

const TARGETS = { easyP50: 1.25, throughput: 0.65, hardBare: 1.25, hardUnprotected: 2 };
const LETTERS: Readonly<Record<ContestantName, string>> = {
  unprotected: 'a',
  bulkhead: 'b',
  'post-filter': 'c',
  bare: 'bare',
};

/** Where Bulkhead should cost next to nothing. The other half scattered is neither easy nor hard. */
export function isEasy({ kind, share }: Pick<CallerTimes, 'kind' | 'share'>): boolean {
  return kind !== 'scattered' || share <= 0.01;
}

export function latencyTable(callers: readonly CallerTimes[]): string {
  const ms = (times: Times | undefined, key: 'p50' | 'p95' | 'p99') => times?.[key].toFixed(1) ?? '';
  const rows = callers.map(({ caller, visibleChunks, classes, ranges, times, cold, ...rest }) => {
    const { unprotected: a, bulkhead: b, 'post-filter': c, bare } = times;
    return [
      caller,
      `${visibleChunks} in ${classes} (${ranges})`,
      ...[a, b].flatMap((one) => [ms(one, 'p50'), ms(one, 'p95'), ms(one, 'p99')]),
      ms(c, 'p50'),
      ms(c, 'p99'),
      c === undefined ? '' : c.passages.toFixed(1),
      ms(bare, 'p50'),
      ratio(b, a),
      isHard(rest) ? ratio(b, bare) : '',
      ratio(c, b),
      ms(cold, 'p50'),
    ];
  });
  return table(
    [
      'caller',
      'chunks in classes (ranges)',
      'a p50',
      'p95',
      'p99',
      'b p50',
      'p95',
      'p99',
      'c p50',
      'p99',
      'c found',
      'bare p50',
      'b/a',
      'b/bare',
      'c/b',
      'b cold p50',
    ],
    rows,
  );
}

function ratio(one: Times | undefined, other: Times | undefined): string {
  return one === undefined || other === undefined ? '' : quotient(one, other).toFixed(2);
}

function quotient(one: Times | undefined, other: Times | undefined): number {
  return (one?.p50 ?? Number.NaN) / (other?.p50 ?? Number.NaN);
}

export function throughputTable(results: readonly Throughput[]): string {
  return table(
    [
      ...['callers', 'at once', 'contestant', 'answers a second', 'p50 ms', 'p99 ms', 'failed', 'of (a)'],
      ...['server', 'postgres', 'qdrant', 'client'].map((part) => `${part} CPU ms`),
    ],
    results.map((one) => [
      one.mix,
      String(one.concurrency),
      LETTERS[one.contestant],
      one.perSecond.toFixed(1),
      one.p50.toFixed(1),
      one.p99.toFixed(1),
      String(one.failed),
      shareOfUnprotected(results, one).toFixed(2),
      ...(['server', 'postgres', 'qdrant', 'client'] as const).map((part) =>
        ((one.cpu[part] * 1000) / one.answers).toFixed(1),
      ),
    ]),
  );
}

function shareOfUnprotected(results: readonly Throughput[], one: Throughput): number {
  const a = results.find(
    ({ mix, concurrency, contestant }) =>
      mix === one.mix && concurrency === one.concurrency && contestant === 'unprotected',
  );
  return one.perSecond / (a?.perSecond ?? Number.NaN);
}

export function contestVerdicts(
  callers: readonly CallerTimes[],
  throughput: readonly Throughput[],
): readonly Verdict[] {
  const verdicts: Verdict[] = [];
  for (const { caller, visibleChunks, times, falselyComplete, ...rest } of callers) {
    const { unprotected: a, bulkhead: b, 'post-filter': c, bare } = times;
    if (isEasy(rest)) verdicts.push(atMost(`${caller}: p50 of b / a`, quotient(b, a), TARGETS.easyP50));
    if (isHard(rest)) {
      verdicts.push(atMost(`${caller}: p50 of b / bare`, quotient(b, bare), TARGETS.hardBare));
      verdicts.push(atMost(`${caller}: p50 of b / a`, quotient(b, a), TARGETS.hardUnprotected));
    }
    verdicts.push(atMost(`${caller}: p50 of b / c`, quotient(b, c), 1));
    verdicts.push(
      atLeast(`${caller}: passages in an answer of b`, b?.passages ?? 0, Math.min(LIMIT, visibleChunks)),
    );
    verdicts.push(atMost(`${caller}: failed answers of b`, b?.failed ?? 0, 0));
    verdicts.push(atMost(`${caller}: falsely complete answers`, falselyComplete, 0));
  }
  for (const one of throughput)
    if (one.contestant === 'bulkhead' && one.mix === EASY)
      verdicts.push(
        atLeast(
          `throughput of b / a, ${one.concurrency} at once`,
          shareOfUnprotected(throughput, one),
          TARGETS.throughput,
        ),
      );
  return verdicts;
}
