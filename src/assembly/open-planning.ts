/** What searches are planned by: how much callers may see, and what was measured of the index. */
import { parseCalibration } from '../index/calibration.ts';
import type { PlanConstants } from '../index/planner.ts';
import { instant } from '../policy/ids.ts';
import { InstalledCalibration } from '../store/calibrations.ts';
import { ClassCounts } from '../store/class-counts.ts';
import type { Database } from '../store/database.ts';
import { type Log, summarizeError } from '../telemetry/log.ts';

const now = () => instant(Date.now());

export function openClassCounts(database: Database, log: Log): ClassCounts {
  return new ClassCounts({
    database,
    now,
    onFailure: (error) => log.warn({ error: summarizeError(error) }, 'visible passages could not be counted'),
  });
}

/**
 * The calibration in force, for a process that searches an index which plans. Says in the log when there is none:
 * then every search is exact.
 */
export async function openCalibration(
  database: Database,
  log: Log,
  fingerprint: string,
): Promise<() => PlanConstants | undefined> {
  const installed = new InstalledCalibration({
    database,
    fingerprint,
    parse: parseCalibration,
    now,
    onMissing: () =>
      log.warn(
        'The index has not been calibrated: every search is exact, and slower than it need be. Run: bulkhead index calibrate',
      ),
    onFailure: (error) => log.warn({ error: summarizeError(error) }, 'the calibration could not be read'),
  });
  await installed.refresh();
  return () => installed.current();
}
