/** The answers on the index as a whole, as the API describes them. */
import { z } from '@hono/zod-openapi';

const count = z.int().nonnegative();

export const indexStatsView = z.strictObject({
  request_id: z.string(),
  passages: count,
  classes: count,
  blocks: count,
  passages_per_class: z.strictObject({ median: count, p95: count, largest: count }),
  subtrees: z.strictObject({
    containers: count,
    median_ranges: count,
    widest: z.array(z.strictObject({ path: z.string(), classes: count, ranges: count })),
  }),
  waiting: count,
  /** `null` before the first one; `exact` for an index that needs none. */
  calibration: z.union([
    z.strictObject({ measured_at: z.string(), grown: z.number().nullable(), advice: z.string().nullable() }),
    z.literal('exact'),
    z.null(),
  ]),
});

const measurement = z.strictObject({
  set: z.string(),
  ranges: count,
  classes: count,
  passages: count,
  form: z.enum(['ranges', 'any']),
  way: z.string(),
  queries: count,
  ms: z.number(),
  recall: z.number(),
  chosen: z.boolean(),
});

export const calibrationView = z.strictObject({ passages: count, measurements: z.array(measurement) });

export const calibrationLine = z.union([
  z.strictObject({ done: count, total: count }),
  z.strictObject({ calibration: calibrationView }),
  z.strictObject({ error: z.strictObject({ code: z.string(), detail: z.string() }) }),
]);
