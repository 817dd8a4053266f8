/** From measurements to the constants that plans rest on. */
import { z } from 'zod';
import { fitNonNegative } from './fit.ts';
import type {
  Admission,
  Calibration,
  ExactCost,
  FilterForm,
  GraphOption,
  GraphTime,
  PlanConstants,
  SearchPlan,
} from './planner.ts';

/** One drawn set of classes, searched in one way. */
export interface Measurement {
  /** How the set was drawn, for people: `3 % in 10 runs`. */
  readonly set: string;
  readonly ranges: number;
  readonly runs: number;
  readonly classes: number;
  readonly chunks: number;
  readonly plan: SearchPlan;
  readonly queries: number;
  /** Median. */
  readonly ms: number;
  /** Share of the ten nearest that came back among the first ten. */
  readonly recall: number;
  /** Some list was shorter than it should have been. */
  readonly isShort: boolean;
}

/**
 * What counts as right. The promise is 0.99; a few hundred hits are all that is measured, and what shows 0.995 in
 * them is seldom less than that.
 */
export const ENOUGH_RECALL = 0.995;
/** An index may grow this much before what was measured of it no longer holds. */
export const GROWTH = 2;
/** Sets in up to so many runs are judged together. */
const RUN_BUCKETS = [1, 2, 4, 16, 128, Number.MAX_SAFE_INTEGER];

/** The constants that follow from measurements of one index. Pure. */
export function deriveConstants(measurements: readonly Measurement[]): PlanConstants {
  const inForm = (form: FilterForm) => measurements.filter(({ plan }) => plan.form === form);
  return {
    exact: { ranges: exactCost(inForm('ranges'), 'ranges'), any: exactCost(inForm('any'), 'any') },
    graphs: graphOptions(measurements),
    maxRanges: Math.max(0, ...inForm('ranges').map(({ ranges }) => ranges)),
  };
}

/** Of a form that no set was searched in: it is taken only where there is no other. */
const UNMEASURED: ExactCost = { base: Number.MAX_VALUE, perChunk: 0, perItem: 0 };

function exactCost(measurements: readonly Measurement[], form: FilterForm): ExactCost {
  const exact = measurements.filter(({ plan }) => plan.mode.kind === 'exact');
  if (exact.length === 0) return UNMEASURED;
  const rows = exact.map((measurement) => [1, measurement.chunks, itemsOf(measurement, form)]);
  const [base = 0, perChunk = 0, perItem = 0] = fitNonNegative(rows, exact.map(msOf));
  return { base, perChunk, perItem };
}

function graphOptions(measurements: readonly Measurement[]): readonly GraphOption[] {
  const groups = new Map<string, Measurement[]>();
  for (const measurement of measurements)
    if (measurement.plan.mode.kind !== 'exact') {
      const key = JSON.stringify(measurement.plan);
      groups.set(key, [...(groups.get(key) ?? []), measurement]);
    }
  return withoutNoise([...groups.values()].flatMap((group) => graphOption(group) ?? []));
}

/**
 * A wider beam never costs less, nor does ACORN, which looks at more of the graph, cost less than the plain graph:
 * where the clock says otherwise, something else was running.
 */
function withoutNoise(options: readonly GraphOption[]): readonly GraphOption[] {
  return options.map((option) => {
    const cheaper = options.filter(
      ({ form, kind, beam }) =>
        form === option.form && beam <= option.beam && (kind === option.kind || kind === 'graph'),
    );
    const ofSameSet = (a: GraphTime) =>
      cheaper.flatMap(({ times }) => times.filter((b) => a.chunks === b.chunks && a.runs === b.runs));
    return {
      ...option,
      times: option.times.map((time) => ({ ...time, ms: Math.max(...ofSameSet(time).map(msOf)) })),
    };
  });
}

/** @param group measurements of one plan; none is made of a plan that is right nowhere */
function graphOption(group: readonly Measurement[]): GraphOption | undefined {
  const plan = group[0]?.plan;
  const admitted = admissions(group);
  if (plan === undefined || plan.mode.kind === 'exact' || admitted.length === 0) return undefined;
  const right = group.filter(isRight);
  const times = right.map((m) => ({ runs: m.runs, chunks: m.chunks, ms: msOf(m) }));
  return { ...plan.mode, form: plan.form, times, admitted };
}

/**
 * From which number of visible chunks on the plan is right, for sets in ever more runs. The fewer are visible of
 * a graph, the sooner a search loses its way; when the index grows, the same number is a smaller share. So a plan
 * is admitted only above `GROWTH` times the largest set it failed on, and never below the smallest it was right
 * on. More runs are never easier: a failure counts against every set in as many or more.
 */
function admissions(group: readonly Measurement[]): readonly Admission[] {
  const found: Admission[] = [];
  let previous = 0;
  for (const [i, runs] of RUN_BUCKETS.entries()) {
    const edge = RUN_BUCKETS.slice(i).find((top) => group.some((m) => bucketOf(m.runs) === top));
    if (edge === undefined) break;
    const failedAt = group.filter((m) => m.runs <= edge && !isRight(m)).map((m) => m.chunks);
    const above = Math.max(0, ...failedAt) * GROWTH;
    const rightAt = group.filter((m) => bucketOf(m.runs) === edge && m.chunks > above).map((m) => m.chunks);
    if (rightAt.length === 0) break;
    previous = Math.max(previous, Math.min(...rightAt));
    found.push({ runs, chunks: previous });
  }
  return found;
}

export function isRight({ recall, isShort }: Pick<Measurement, 'recall' | 'isShort'>): boolean {
  return recall >= ENOUGH_RECALL && !isShort;
}

function bucketOf(runs: number): number {
  return RUN_BUCKETS.find((top) => runs <= top) ?? Number.MAX_SAFE_INTEGER;
}

function itemsOf({ ranges, classes }: Measurement, form: FilterForm): number {
  return form === 'ranges' ? ranges : classes;
}

/** A clock that says zero says nothing. */
function msOf({ ms }: Pick<Measurement, 'ms'>): number {
  return Math.max(ms, 0.01);
}

const ms = z.number().nonnegative();
const form = z.enum(['ranges', 'any']);
const exact = z.object({ base: ms, perChunk: ms, perItem: ms });
const constants = z.object({
  fingerprint: z.string(),
  measuredAt: z.number(),
  tenant: z.number(),
  points: z.number(),
  exact: z.object({ ranges: exact, any: exact }),
  graphs: z.array(
    z.object({
      kind: z.enum(['graph', 'acorn']),
      beam: z.number().int().positive(),
      form,
      times: z.array(z.object({ runs: z.number(), chunks: z.number(), ms })),
      admitted: z.array(z.object({ runs: z.number(), chunks: z.number() })),
    }),
  ),
  maxRanges: z.number(),
});

/** A stored calibration; `undefined` for what is none, so that searches stay exact. */
export function parseCalibration(body: unknown): Calibration | undefined {
  return constants.safeParse(body).data;
}
