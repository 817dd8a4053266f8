import { measure, requireCalibratable } from '../../../src/assembly/index-service.ts';
import { parseCalibration } from '../../../src/index/calibration.ts';
import { tenantId } from '../../../src/policy/ids.ts';
import { table } from '../table.ts';
import type { DataSet } from './data-set.ts';
import { openProduct } from './product.ts';

/** As `bulkhead index calibrate` does without options. */
const BUDGET_MS = 120_000;

/**
 * What `bulkhead index calibrate` does, on the data set, unless it was done before.
 * @returns its table, or `undefined` when an earlier one is in force
 */
export async function calibrate(
  { client, policy, stores }: Pick<DataSet, 'client' | 'policy' | 'stores'>,
  again: boolean,
): Promise<string | undefined> {
  const { rows } = await client.query<{ body: unknown }>('select body from bulkhead.index_calibration');
  // one that this version does not read is none
  if (rows.some(({ body }) => parseCalibration(body) !== undefined) && !again) return undefined;
  console.error('Calibrating the index');
  const { core, close } = await openProduct(stores);
  try {
    const settings = {
      index: requireCalibratable(core.index),
      tenant: tenantId(policy.tenant),
      fingerprint: core.embedder.fingerprint,
    };
    const { measurements } = await measure(core.database, settings, BUDGET_MS, () => {});
    return table(
      ['visible', 'chunks', 'ranges', 'classes', 'form', 'way', 'ms', 'recall', 'chosen'],
      measurements.map((one) => [
        one.set,
        ...[one.passages, one.ranges, one.classes].map(String),
        one.form,
        one.way,
        one.ms.toFixed(1),
        one.recall.toFixed(3),
        one.chosen ? 'yes' : '',
      ]),
    );
  } finally {
    await close();
  }
}
