import { describeSpace } from '../embed/embedder.ts';
import { BulkheadError } from '../errors.ts';
import type { CalibrationRun, Caller, IndexStatsView, Services } from '../http/services.ts';
import { type Calibratable, type CalibrationReport, calibrate, isCalibratable } from '../index/calibrate.ts';
import { GROWTH, type Measurement } from '../index/calibration.ts';
import { planSearch } from '../index/planner.ts';
import type { TenantId } from '../policy/ids.ts';
import type { Authority } from '../store/authority.ts';
import { storeCalibration } from '../store/calibrations.ts';
import type { Database } from '../store/database.ts';
import { type IndexStats, readIndexStats } from '../store/index-stats.ts';
import { now, type Parts } from './core.ts';
import { requireOnly } from './index-work.ts';
import { need } from './need.ts';

/**
 * What is known of the index, and its calibration.
 * @param requireAdminister rejects a caller without `administer` on the root
 */
export function indexService(
  { database, config, index, embedder }: Parts,
  requireAdminister: (caller: Caller) => Promise<Authority>,
): Pick<Services['maintenance'], 'indexStats' | 'calibrate'> {
  // two at once would measure each other
  const state = { isMeasuring: false };
  const fingerprint = async () => (embedder ?? (await describeSpace(config.modelManifest))).fingerprint;
  return {
    indexStats: async (caller) => {
      const { context, subject } = await requireAdminister(caller);
      const stats = await readIndexStats(database, context, await fingerprint());
      return statsView(stats, subject.tenant, config.qdrant !== undefined);
    },
    calibrate: async (caller, { seconds }) => {
      const { subject } = await requireAdminister(caller);
      // how fast the index is hangs on all that it holds, and others plan by what is found
      await requireOnly(database, subject.tenant);
      const calibratable = requireCalibratable(need(index, 'index'));
      const settings = { index: calibratable, tenant: subject.tenant, fingerprint: await fingerprint() };
      if (state.isMeasuring)
        throw new BulkheadError('conflict', 'A calibration is under way; it must have the index to itself.');
      state.isMeasuring = true;
      return (onProgress) =>
        measure(database, settings, seconds * 1000, onProgress).finally(() => {
          state.isMeasuring = false;
        });
    },
  };
}

export function requireCalibratable(index: object): Calibratable {
  if (isCalibratable(index)) return index;
  throw new BulkheadError(
    'conflict',
    'The index in the database compares every visible passage: it is exact by nature, and there is nothing to calibrate.',
  );
}

/** Measures the index and stores what was found. */
export async function measure(
  database: Database,
  settings: { readonly index: Calibratable; readonly tenant: TenantId; readonly fingerprint: string },
  budgetMs: number,
  onProgress: Parameters<CalibrationRun>[0],
): ReturnType<CalibrationRun> {
  const clock = () => performance.now();
  const report = await calibrate({ ...settings, budgetMs, random: Math.random, now, clock, onProgress });
  await storeCalibration(database, settings.fingerprint, now(), report);
  return reportView(report);
}

function reportView(report: CalibrationReport): Awaited<ReturnType<CalibrationRun>> {
  return {
    passages: report.points,
    measurements: report.measurements.map((measurement) => ({
      set: measurement.set,
      ranges: measurement.ranges,
      classes: measurement.classes,
      passages: measurement.chunks,
      form: measurement.plan.form,
      way: wayOf(measurement.plan.mode),
      queries: measurement.queries,
      ms: measurement.ms,
      recall: measurement.recall,
      chosen: isChosen(report, measurement),
    })),
  };
}

function wayOf(mode: Measurement['plan']['mode']): string {
  return mode.kind === 'exact' ? 'exact' : `${mode.kind} ${mode.beam}`;
}

/** Whether this is how such a set will be searched from now on. */
function isChosen(report: CalibrationReport, { plan, ...shape }: Measurement): boolean {
  const chosen = planSearch(shape, report, { limit: 1, exact: false });
  return chosen.form === plan.form && wayOf(chosen.mode) === wayOf(plan.mode);
}

function statsView(stats: IndexStats, tenant: TenantId, isPlanned: boolean): IndexStatsView {
  const { chunks, classes, blocks, chunksPerClass, subtrees, waiting } = stats;
  return {
    passages: chunks,
    classes,
    blocks,
    passages_per_class: chunksPerClass,
    subtrees: {
      containers: subtrees.count,
      median_ranges: subtrees.medianRanges,
      widest: [...subtrees.widest],
    },
    waiting,
    calibration: isPlanned ? calibrationOf(stats, tenant) : 'exact',
  };
}

/** How much another tenant has is nobody's business here: growth is told of the tenant that was measured. */
function calibrationOf({ calibration, chunks }: IndexStats, tenant: TenantId): IndexStatsView['calibration'] {
  if (calibration === undefined) return null;
  const { measuredAt, points } = calibration;
  const grown = calibration.tenant === tenant && points > 0 ? chunks / points : null;
  return {
    measured_at: new Date(measuredAt).toISOString(),
    grown: grown === null ? null : Math.round(grown * 100) / 100,
    advice:
      grown !== null && grown > GROWTH
        ? `The index has grown ${grown.toFixed(1)}-fold since: searches may miss passages until you run bulkhead index calibrate.`
        : null,
  };
}
