/**
 * How one search goes through the index. The plan knows what the caller may see and what was measured of the
 * installed index; it never knows how large the rest is, so nothing hidden can change it.
 *
 * The cost model, in milliseconds as a caller waits for them. Exact search compares every visible point:
 *
 *   base + perChunk · visible chunks + perItem · items of the filter (ranges, or ids)
 *
 * What a search through the graph costs follows no such line: it grows as less is visible, and falls again where the
 * index gives the graph up by itself. It is taken from the slowest measurement of the sets that come next
 * in size, below and above, in no more runs than are judged together.
 *
 * The graph is fast, and for a scattered part of the collection it returns a fraction of what it should without saying
 * so; therefore it is admitted only where it was measured to return what exact search returns. `calibrate.ts`
 * fits all of this to the installed index. Fitted there: sets of 0.01 to 100 % of one tenant's chunks in 1, 2, 4,
 * 10 and 100 runs of consecutive classes and in scattered ones, each in both forms. A calibration tells of a
 * collection of the size it was made on; admission holds up to twice that (see `calibration.ts`).
 */
import { runsOf } from './runs.ts';
import type { SearchTarget } from './vector-index.ts';

/** What is known of a caller's visible part before it is searched. */
export interface VisibleShape {
  /** Stretches of consecutive class ids: what a filter is made of. */
  readonly ranges: number;
  /** Stretches with few other ids between (`runsOf`): what the graph is searched through. */
  readonly runs: number;
  readonly classes: number;
  /** As last counted; `undefined` until they are: such a search is exact. */
  readonly chunks: number | undefined;
}

/** The class condition as the index takes it: a few ranges, or one list of ids. */
export type FilterForm = 'ranges' | 'any';

export type SearchMode =
  /** Every visible point is compared. */
  | { readonly kind: 'exact' }
  /** The graph, with points that the filter refuses left out of the way; `beam` candidates are kept. */
  | { readonly kind: 'graph'; readonly beam: number }
  /** The graph, with neighbours of refused points looked at too (ACORN, Patel et al., SIGMOD 2024). */
  | { readonly kind: 'acorn'; readonly beam: number };

export interface SearchPlan {
  readonly form: FilterForm;
  readonly mode: SearchMode;
}

/** Milliseconds, none of them negative. */
export interface ExactCost {
  readonly base: number;
  readonly perChunk: number;
  /** Of each range or id in the filter. */
  readonly perItem: number;
}

/** One measured set that the way was right on. */
export interface GraphTime {
  readonly runs: number;
  readonly chunks: number;
  readonly ms: number;
}

/** From how many visible chunks on the graph was right, for sets in at most so many runs. */
export interface Admission {
  readonly runs: number;
  readonly chunks: number;
}

/** One way through the graph that was measured. */
export interface GraphOption {
  readonly kind: 'graph' | 'acorn';
  readonly beam: number;
  readonly form: FilterForm;
  readonly times: readonly GraphTime[];
  /** Ascending in both; a set in more runs than the last one is never searched this way. */
  readonly admitted: readonly Admission[];
}

/** What was found out about one installed index. Plans rest on the constants below the line. */
export interface Calibration {
  readonly fingerprint: string;
  /** Milliseconds since 1970. */
  readonly measuredAt: number;
  /** Whose points it was measured on, and how many there were: to tell when it is out of date. */
  readonly tenant: number;
  readonly points: number;
  // -----------------------------------------------------------------------------------------------------------
  readonly exact: Readonly<Record<FilterForm, ExactCost>>;
  readonly graphs: readonly GraphOption[];
  /** A set of more ranges goes as a list of ids. */
  readonly maxRanges: number;
}

/** The constants alone. */
export type PlanConstants = Pick<Calibration, 'exact' | 'graphs' | 'maxRanges'>;

/**
 * The graph has to be this much cheaper: exact search is right in any case and owes nothing to hidden points, and
 * figures are no better than a fifth.
 */
const WORTH_IT = 0.8;
/** What the planner takes for granted of an index that nobody has measured: right at any value, and slower. */
const UNMEASURED_MAX_RANGES = 100;

/**
 * The fastest way that was measured to be right. Without a calibration, and where `exact` is asked for, every
 * visible point is compared.
 */
export function planSearch(
  shape: VisibleShape,
  calibration: PlanConstants | undefined,
  request: { readonly limit: number; readonly exact: boolean },
): SearchPlan {
  const forms = formsFor(shape, calibration?.maxRanges ?? UNMEASURED_MAX_RANGES);
  if (calibration === undefined) return { form: forms[0], mode: { kind: 'exact' } };
  const exact = forms.map((form) => exactOption(form, shape, calibration.exact[form]));
  if (request.exact || shape.chunks === undefined) return cheapest(exact);
  const graphs = calibration.graphs
    .filter(({ form }) => forms.includes(form))
    .flatMap((option) => graphOption(option, shape, request.limit));
  return cheapest([...exact, ...graphs]);
}

/**
 * The plan of one search. A filter on documents makes it exact: what that leaves of the visible part has not been
 * counted, and an exact search of it costs no more than the documents hold.
 */
export function planFor(request: SearchTarget, calibration: PlanConstants | undefined): SearchPlan {
  const { visible, visibleChunks, documents, limit } = request;
  const shape = {
    ranges: visible.ranges.length,
    runs: runsOf(visible),
    classes: visible.size,
    chunks: visibleChunks,
  };
  return planSearch(shape, calibration, {
    limit,
    exact: request.exact === true || documents !== undefined,
  });
}

/**
 * Whether a search through the graph came back with less than is there, as far as was counted. It is then made
 * again, exactly.
 */
export function isShort(plan: SearchPlan, found: number, request: SearchTarget): boolean {
  if (plan.mode.kind === 'exact') return false;
  return found < Math.min(request.limit, request.visibleChunks ?? Number.POSITIVE_INFINITY);
}

interface Option {
  readonly plan: SearchPlan;
  readonly ms: number;
}

type Forms = readonly [FilterForm, ...FilterForm[]];

function formsFor({ ranges }: VisibleShape, maxRanges: number): Forms {
  return ranges <= maxRanges ? ['ranges', 'any'] : ['any'];
}

function exactOption(form: FilterForm, shape: VisibleShape, cost: ExactCost): Option {
  const ms = cost.base + cost.perChunk * (shape.chunks ?? 0) + cost.perItem * itemsOf(form, shape);
  return { plan: { form, mode: { kind: 'exact' } }, ms };
}

/** Sets whose sizes differ by less than this factor are of one size. */
const SAME = 1.25;

/**
 * The measured sets that a set lies between: those of the next smaller size and of the next larger one, or of its own.
 * Above the largest, the graph costs about what it cost there.
 */
function ofAboutTheSize(times: readonly GraphTime[], size: number): readonly GraphTime[] {
  const sizes = times.map(({ chunks }) => chunks);
  const below = Math.max(...sizes.filter((chunks) => chunks <= size * SAME));
  const above = Math.min(...sizes.filter((chunks) => chunks >= size / SAME));
  const [from, to] = [Math.min(below, above), Math.max(below, Number.isFinite(above) ? above : below)];
  return times.filter(({ chunks }) => chunks >= from / SAME && chunks <= to * SAME);
}

/** A beam narrower than the list asked for would be widened by the index anyway. */
function graphOption(option: GraphOption, shape: VisibleShape, limit: number): readonly Option[] {
  const { kind, beam, form, times, admitted } = option;
  const { chunks = 0, runs } = shape;
  const admission = admitted.find((like) => like.runs >= runs);
  if (admission === undefined || chunks < admission.chunks) return [];
  const alike = ofAboutTheSize(
    times.filter((time) => time.runs <= admission.runs),
    chunks,
  );
  if (alike.length === 0) return [];
  const ms = Math.max(...alike.map((time) => time.ms)) / WORTH_IT;
  return [{ plan: { form, mode: { kind, beam: Math.max(beam, limit) } }, ms }];
}

function itemsOf(form: FilterForm, { ranges, classes }: VisibleShape): number {
  return form === 'ranges' ? ranges : classes;
}

/** The first of equals: exact ones are listed before the graph, ranges before ids. */
function cheapest(options: readonly Option[]): SearchPlan {
  const [first, ...rest] = options;
  if (first === undefined) return { form: 'any', mode: { kind: 'exact' } };
  return rest.reduce((best, option) => (option.ms < best.ms ? option : best), first).plan;
}
