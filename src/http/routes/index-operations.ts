import { createRoute, z } from '@hono/zod-openapi';
import { BulkheadError } from '../../errors.ts';
import type { Log } from '../../telemetry/log.ts';
import type { WatchCaller } from '../caller-watch.ts';
import { newRoutes } from '../env.ts';
import { calibrationLine, indexStatsView } from '../index-views.ts';
import { jsonResponse } from '../openapi.ts';
import { progressStream } from '../progress-stream.ts';
import type { Services } from '../services.ts';
import { issuesOf, queryInteger } from '../validation.ts';

const stats = createRoute({
  method: 'get',
  path: '/v1/index/stats',
  summary: 'What the index has to cope with: passages, classes, how scattered they are; needs administer',
  responses: { 200: jsonResponse(indexStatsView, 'The figures of your tenant.') },
});

const calibrateQuery = z.strictObject({ seconds: queryInteger(5, 1_800, 120) });

const calibrate = {
  method: 'post',
  path: '/v1/index/calibrate',
  summary: 'Measure the index and plan searches by what was found; needs administer',
  request: { query: calibrateQuery },
  responses: {
    200: {
      description: 'Lines of progress, and at the end what was measured and stored.',
      content: { 'application/x-ndjson': { schema: calibrationLine } },
    },
  },
} as const;

/** What those who look after the index need. */
export function indexRoutes(services: Services, log: Log, watchCaller: WatchCaller) {
  const routes = newRoutes().openapi(stats, async (c) => {
    const caller = c.get('caller');
    return c.json({ request_id: caller.requestId, ...(await services.maintenance.indexStats(caller)) }, 200);
  });
  // registered by hand: the answer is a stream
  routes.openAPIRegistry.registerPath(calibrate);
  routes.post(calibrate.path, async (c) => {
    const options = readQuery(c.req.queries());
    const caller = c.get('caller');
    // rejects here, with a status of its own, when the caller may not, or there is nothing to calibrate
    const run = await services.maintenance.calibrate(caller, options);
    const watch = watchCaller(caller, calibrate.path);
    const toLine = (calibration: object) => ({ calibration });
    return c.body(progressStream(run, { request: caller.requestId, log, watch, toLine }), 200, {
      'content-type': 'application/x-ndjson',
    });
  });
  return routes;
}

/** A parameter that comes twice is a list, which is none of what it may be. */
function readQuery(queries: Readonly<Record<string, string[]>>): { readonly seconds: number } {
  const given = Object.entries(queries).map(([name, values]) => [
    name,
    values.length === 1 ? values[0] : values,
  ]);
  const query = calibrateQuery.safeParse(Object.fromEntries(given));
  if (query.success) return query.data;
  throw new BulkheadError('invalid_request', 'A field of the query did not validate.', {
    issues: issuesOf(query.error),
  });
}
