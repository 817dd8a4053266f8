/** Where the milliseconds of a question go, seen by wrapping the parts that `retrieve` is given. */
import { randomUUID } from 'node:crypto';
import { type RetrieveParts, retrieve } from '../../../src/retrieve/retrieve.ts';
import { percentile } from '../measures.ts';
import { table } from '../table.ts';
import { LIMIT } from './contest.ts';
import type { DataSet } from './data-set.ts';
import { identityOf } from './identity.ts';
import { openProduct } from './product.ts';

const STEPS = [
  'until search',
  'authorize',
  'embed',
  'search',
  'hydrate',
  'judge, redact, compose',
  'receipt',
  'whole',
] as const;
type Step = (typeof STEPS)[number];

export interface StepTimes {
  readonly caller: string;
  /** Medians in milliseconds. `authorize` and `embed` run beside each other, before the search. */
  readonly p50: Readonly<Record<Step, number>>;
}

interface Span {
  readonly part: 'embedder' | 'database' | 'visibleSets' | 'index' | 'audit';
  readonly from: number;
  readonly to: number;
}

const WARM_UP = 5;

export async function measureSteps(
  data: DataSet,
  callers: readonly string[],
  questions: readonly string[],
): Promise<readonly StepTimes[]> {
  const product = await openProduct(data.stores);
  let spans: Span[] = [];
  const parts = watched(product.core.retrieve, (span) => spans.push(span));
  try {
    const results: StepTimes[] = [];
    for (const caller of callers) {
      const times: Record<Step, number>[] = [];
      const asked = [...questions.slice(0, WARM_UP), ...questions];
      for (const query of asked) {
        spans = [];
        const began = performance.now();
        await retrieve(parts, identityOf(caller), {
          requestId: randomUUID(),
          query,
          limit: LIMIT,
          filters: {},
        });
        times.push(stepsOf(spans, began, performance.now()));
      }
      results.push({ caller, p50: medians(times.slice(WARM_UP)) });
    }
    return results;
  } finally {
    await product.close();
  }
}

function watched(parts: RetrieveParts, note: (span: Span) => void): RetrieveParts {
  const watch = <T extends object>(part: Span['part'], target: T): T =>
    watchCalls(target, (from, to) => note({ part, from, to }));
  return {
    ...parts,
    embedder: watch('embedder', parts.embedder),
    database: watch('database', parts.database),
    visibleSets: watch('visibleSets', parts.visibleSets),
    index: watch('index', parts.index),
    audit: watch('audit', parts.audit),
  };
}

/** The same object, but told of how long each asynchronous call of its methods takes. */
function watchCalls<T extends object>(target: T, note: (from: number, to: number) => void): T {
  return new Proxy(target, {
    get(object, key) {
      const value: unknown = Reflect.get(object, key, object);
      if (typeof value !== 'function') return value;
      return (...args: unknown[]) => {
        const from = performance.now();
        const result: unknown = Reflect.apply(value, object, args);
        if (result instanceof Promise) {
          const done = () => note(from, performance.now());
          result.then(done, done);
        }
        return result;
      };
    },
  });
}

function stepsOf(spans: readonly Span[], began: number, ended: number): Record<Step, number> {
  const of = (part: Span['part']) => spans.filter((span) => span.part === part);
  const length = (some: readonly Span[]) => some.reduce((sum, { from, to }) => sum + to - from, 0);
  const searched = of('index');
  const searchFrom = Math.min(...searched.map(({ from }) => from), ended);
  const searchTo = Math.max(...searched.map(({ to }) => to), searchFrom);
  const receipt = of('audit');
  const receiptFrom = Math.min(...receipt.map(({ from }) => from), ended);
  const authorizing = [...of('database'), ...of('visibleSets')].filter(({ to }) => to <= searchFrom);
  const hydrating = of('database').filter(({ from, to }) => from >= searchTo && to <= receiptFrom);
  return {
    'until search': searchFrom - began,
    authorize: Math.max(...authorizing.map(({ to }) => to), began) - began,
    embed: length(of('embedder')),
    search: searchTo - searchFrom,
    hydrate: length(hydrating),
    'judge, redact, compose': receiptFrom - searchTo - length(hydrating),
    receipt: length(receipt),
    whole: ended - began,
  };
}

function medians(times: readonly Record<Step, number>[]): Record<Step, number> {
  return Object.fromEntries(
    STEPS.map((step) => [
      step,
      percentile(
        times.map((one) => one[step]),
        0.5,
      ),
    ]),
  ) as Record<Step, number>;
}

/** @param served client-side medians of the same callers over HTTP, where they were measured */
export function stepsTable(results: readonly StepTimes[], served: ReadonlyMap<string, number>): string {
  return table(
    ['caller', ...STEPS, 'HTTP and tokens'],
    results.map(({ caller, p50 }) => {
      const over = served.get(caller);
      return [
        caller,
        ...STEPS.map((step) => p50[step].toFixed(2)),
        over === undefined ? '' : (over - p50.whole).toFixed(2),
      ];
    }),
  );
}
