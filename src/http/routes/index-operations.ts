import { createRoute, z } from '@hono/zod-openapi';
import { BulkheadError, toBulkheadError } from '../../errors.ts';
import { type Log, summarizeError } from '../../telemetry/log.ts';
import { newRoutes } from '../env.ts';
import { calibrationLine, indexStatsView } from '../index-views.ts';
import { jsonResponse } from '../openapi.ts';
import type { CalibrationRun, Caller, Services } from '../services.ts';
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
export function indexRoutes(services: Services, log: Log) {
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
    return c.body(progressOf(run, caller, log), 200, { 'content-type': 'application/x-ndjson' });
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

/** It is not broken off with the connection: what was measured is stored, for whoever asks next. */
function progressOf(run: CalibrationRun, caller: Caller, log: Log): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  let isRead = true;
  return new ReadableStream({
    start: (controller) => {
      const emit = (line: z.infer<typeof calibrationLine>) => {
        if (isRead) controller.enqueue(encoder.encode(`${JSON.stringify(line)}\n`));
      };
      run((done, total) => emit({ done, total }))
        .then((calibration) => emit({ calibration }))
        .catch((error: unknown) => {
          log.error({ request_id: caller.requestId, error: summarizeError(error) }, 'calibration failed');
          const { code, detail } = toBulkheadError(error);
          emit({ error: { code, detail } });
        })
        .finally(() => {
          if (isRead) controller.close();
        });
    },
    cancel: () => {
      isRead = false;
    },
  });
}
