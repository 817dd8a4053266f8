/**
 * Measures the installed index, so that plans rest on it and not on somebody else's machine: visible sets drawn
 * from the real classes, each searched in every way that a plan may take, with vectors that are near stored ones.
 */
import { BulkheadError } from '../errors.ts';
import type { ClassId, Instant, TenantId } from '../policy/ids.ts';
import { deriveConstants, isRight, type Measurement } from './calibration.ts';
import { type ClassSizes, type DrawnSet, drawVisible, type Layout } from './draw-visible.ts';
import type { Calibration, FilterForm, SearchMode, SearchPlan } from './planner.ts';
import { runsOf } from './runs.ts';
import type { Hit, SearchRequest } from './vector-index.ts';

/** An index whose searches can be told how to go. */
export interface Calibratable {
  /**
   * The dense list alone, searched by this plan and no other, for a live collection. Exact compares the vectors
   * themselves, never their quantised form.
   */
  searchAs(request: SearchRequest, plan: SearchPlan): Promise<readonly Hit[]>;
  /** Vectors of the tenant's points, about evenly drawn; fewer if there are fewer. */
  sampleVectors(tenant: TenantId, count: number): Promise<readonly Float32Array[]>;
  /** How many of the tenant's points each class has, as the index itself counts them; none for others. */
  classSizes(tenant: TenantId): Promise<ReadonlyMap<ClassId, number>>;
}

export interface CalibrationOptions {
  readonly index: Calibratable;
  readonly fingerprint: string;
  readonly tenant: TenantId;
  /** Longest time it may take, about. */
  readonly budgetMs: number;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  readonly now: () => Instant;
  /** Milliseconds that only ever grow. */
  readonly clock: () => number;
  /** In rounds of one query through every way. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
}

export interface CalibrationReport extends Calibration {
  readonly measurements: readonly Measurement[];
}

/** As long a list as stage 3 of a query asks for: the beam is never narrower than that. */
const LIMIT = 200;
/** Recall is of the first ten: what people see. */
const TOP = 10;
const SHARES = [1, 0.1, 0.5, 0.04, 0.2, 0.01, 0.001, 0.0001];
/** Two is the shape of one folder: what is in it, and the folder itself among its siblings. */
const LAYOUTS: readonly Layout[] = [1, 2, 4, 10, 100, 'scattered'];
/** Filters of more ranges have never paid. */
const MOST_RANGES = 200;
const MODES: readonly SearchMode[] = [
  { kind: 'exact' },
  { kind: 'graph', beam: LIMIT },
  { kind: 'graph', beam: 256 },
  { kind: 'graph', beam: 512 },
  { kind: 'acorn', beam: LIMIT },
];
const SAMPLES = 50;
const FEWEST_QUERIES = 4;
/** A way this much slower than the best right one will not be taken. */
const HOPELESS = 4;

/**
 * Takes no more than about the budget, less for a small index.
 * @throws BulkheadError `conflict` for a tenant without points; what the index throws
 */
export async function calibrate(options: CalibrationOptions): Promise<CalibrationReport> {
  const { index, tenant, fingerprint, now, random } = options;
  const sizes = await index.classSizes(tenant);
  const queries = (await index.sampleVectors(tenant, SAMPLES)).map((vector) => perturbed(vector, random));
  if (queries.length === 0 || sizes.size === 0)
    throw new BulkheadError('conflict', 'The index holds no passage of this tenant: nothing to measure.');
  const measurements = await measureAll(options, drawSets(sizes, random), queries);
  const points = [...sizes.values()].reduce((total, chunks) => total + chunks, 0);
  return { fingerprint, measuredAt: now(), tenant, points, ...deriveConstants(measurements), measurements };
}

/** All visible first: it is what a hurried calibration must not miss. */
function drawSets(sizes: ClassSizes, random: () => number): readonly DrawnSet[] {
  const sets = SHARES.flatMap((share) =>
    // everything is everything, however it is drawn
    (share === 1 ? LAYOUTS.slice(0, 1) : LAYOUTS).flatMap(
      (layout) => drawVisible(sizes, layout, share, random) ?? [],
    ),
  );
  return sets.filter((set, i) => sets.findIndex((other) => isAlike(set, other)) === i);
}

/** A small index has no hundredth of a percent. */
function isAlike(a: DrawnSet, b: DrawnSet): boolean {
  return a.chunks === b.chunks && a.visible.ranges.length === b.visible.ranges.length;
}

/** Each set gets its part of the time that is left: the longer a search takes, the fewer of it are made. */
async function measureAll(
  options: CalibrationOptions,
  sets: readonly DrawnSet[],
  queries: readonly Float32Array[],
): Promise<readonly Measurement[]> {
  const { clock, budgetMs, onProgress } = options;
  const deadline = clock() + budgetMs;
  const total = sets.length * queries.length;
  const measurements: Measurement[] = [];
  for (const [i, set] of sets.entries()) {
    if (clock() > deadline) break;
    const until = clock() + (deadline - clock()) / (sets.length - i);
    const onRound = (round: number) => onProgress?.(i * queries.length + round, total);
    measurements.push(...(await new SetBench(options, set, queries).measure(until, onRound)));
  }
  onProgress?.(total, total);
  return measurements;
}

function plansFor({ visible }: DrawnSet): readonly SearchPlan[] {
  const forms: readonly FilterForm[] = visible.ranges.length <= MOST_RANGES ? ['ranges', 'any'] : ['any'];
  return MODES.flatMap((mode) => forms.map((form) => ({ form, mode })));
}

interface Run {
  readonly ms: number;
  readonly recall: number;
  readonly isShort: boolean;
}

interface Lane {
  readonly plan: SearchPlan;
  readonly runs: Run[];
}

/**
 * The measurements of one set of classes. Every query goes through all plans before the next one does, so that
 * whatever else the machine is doing slows all of them alike.
 */
class SetBench {
  readonly #options: CalibrationOptions;
  readonly #set: DrawnSet;
  readonly #queries: readonly Float32Array[];

  constructor(options: CalibrationOptions, set: DrawnSet, queries: readonly Float32Array[]) {
    this.#options = options;
    this.#set = set;
    this.#queries = queries;
  }

  async measure(until: number, onRound: (round: number) => void): Promise<readonly Measurement[]> {
    const lanes = plansFor(this.#set).map((plan): Lane => ({ plan, runs: [] }));
    for (const { plan } of lanes) await this.#search(plan, 0);
    for (const query of this.#queries.keys()) {
      const isEnough = query >= FEWEST_QUERIES;
      if (isEnough && this.#options.clock() > until) break;
      const bar = await this.#barOf(query);
      for (const lane of lanes)
        if (!isEnough || !isHopeless(lane, lanes)) lane.runs.push(await this.#run(lane.plan, query, bar));
      onRound(query + 1);
    }
    return lanes.map((lane) => this.#measurementOf(lane));
  }

  async #run(plan: SearchPlan, query: number, bar: number): Promise<Run> {
    const { clock } = this.#options;
    const { chunks } = this.#set;
    const start = clock();
    const hits = await this.#search(plan, query);
    const ms = clock() - start;
    // held against scores, not ids: of two as near, either is right
    const right = hits.slice(0, TOP).filter(({ score }) => score >= bar - 1e-6).length;
    const recall = Math.min(1, right / Math.min(TOP, chunks));
    return { ms, recall, isShort: hits.length < Math.min(LIMIT, chunks) };
  }

  /** The score that the tenth of the nearest has. */
  async #barOf(query: number): Promise<number> {
    const nearest = await this.#search({ form: 'any', mode: { kind: 'exact' } }, query);
    return nearest[Math.min(TOP, nearest.length) - 1]?.score ?? Number.NEGATIVE_INFINITY;
  }

  #search(plan: SearchPlan, query: number): Promise<readonly Hit[]> {
    const { index, tenant } = this.#options;
    const dense = this.#queries[query] ?? new Float32Array();
    return index.searchAs({ tenant, visible: this.#set.visible, dense, terms: [], limit: LIMIT }, plan);
  }

  #measurementOf({ plan, runs }: Lane): Measurement {
    const { visible, chunks } = this.#set;
    const shape = { ranges: visible.ranges.length, runs: runsOf(visible), classes: visible.size, chunks };
    return { set: nameOf(this.#set), ...shape, plan, queries: runs.length, ...resultOf(runs) };
  }
}

function resultOf(runs: readonly Run[]): Run {
  return {
    ms: median(runs.map(({ ms }) => ms)),
    recall: runs.reduce((sum, { recall }) => sum + recall, 0) / Math.max(1, runs.length),
    isShort: runs.some(({ isShort }) => isShort),
  };
}

/** Far slower than another that is right: a few queries tell as much. */
function isHopeless({ runs }: Lane, lanes: readonly Lane[]): boolean {
  const right = lanes.map((lane) => resultOf(lane.runs)).filter(isRight);
  return resultOf(runs).ms > HOPELESS * Math.min(...right.map(({ ms }) => ms));
}

/** A question is near an answer and not the answer: the vector turned by about 27 degrees, cosine 0.9. */
function perturbed(vector: Float32Array, random: () => number): Float32Array {
  const spread = 0.5 / Math.sqrt(vector.length);
  // a sum of three uniforms with the variance 1 is as good as a normal one here
  const noise = () => (random() + random() + random() - 1.5) * 2 * spread;
  const moved = vector.map((x) => x + noise());
  const length = Math.hypot(...moved) || 1;
  return moved.map((x) => x / length);
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[sorted.length >> 1] ?? 0;
}

function nameOf({ layout, share }: DrawnSet): string {
  const percent = `${Number((share * 100).toPrecision(2))} %`;
  if (layout === 'scattered') return `${percent} scattered`;
  return `${percent} in ${layout} ${layout === 1 ? 'run' : 'runs'}`;
}

/** The index in the database is not: it compares every visible point, whatever the plan. */
export function isCalibratable(index: object): index is Calibratable {
  return 'searchAs' in index && 'sampleVectors' in index && 'classSizes' in index;
}
