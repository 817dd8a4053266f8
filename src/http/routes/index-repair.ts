import { createRoute, z } from '@hono/zod-openapi';
import type { Log } from '../../telemetry/log.ts';
import { JSON_BYTES, jsonBodyUpTo } from '../body.ts';
import type { WatchCaller } from '../caller-watch.ts';
import { newRoutes } from '../env.ts';
import { jsonBody, jsonResponse } from '../openapi.ts';
import { progressLine, progressStream } from '../progress-stream.ts';
import type { Services } from '../services.ts';

const deadLetter = z.strictObject({
  document_id: z.uuid(),
  operation: z.string(),
  attempts: z.int(),
  last_error: z.string(),
  since: z.iso.datetime(),
});

export const deadLettersView = z.strictObject({
  request_id: z.string(),
  dead_letters: z.array(deadLetter),
  /** There are more than these. */
  more: z.boolean(),
});

const list = createRoute({
  method: 'get',
  path: '/v1/index/dead-letters',
  summary: 'Documents that the index could not take after ten attempts; needs administer',
  responses: { 200: jsonResponse(deadLettersView, 'Those of your tenant, the oldest first, at most 1000.') },
});

export const retriedView = z.strictObject({ request_id: z.string(), retried: z.int() });

const retry = createRoute({
  method: 'post',
  path: '/v1/index/dead-letters/retry',
  summary: 'Let the index try again; needs administer',
  middleware: jsonBodyUpTo(JSON_BYTES),
  request: { body: jsonBody(z.strictObject({ documents: z.array(z.uuid()).max(1000).optional() })) },
  responses: { 200: jsonResponse(retriedView, 'How many documents will be tried again.') },
});

export const rebuildLine = progressLine(z.strictObject({ passages: z.int() }));

const rebuild = {
  method: 'post',
  path: '/v1/index/rebuild',
  summary: 'Build the index anew from the database and switch to it; needs administer',
  responses: {
    200: {
      description: 'Lines of progress, and at the end how many passages were copied.',
      content: { 'application/x-ndjson': { schema: rebuildLine } },
    },
  },
} as const;

/** What those need who mend the index. */
export function indexRepairRoutes(services: Services, log: Log, watchCaller: WatchCaller) {
  const { maintenance } = services;
  const routes = newRoutes()
    .openapi(list, async (c) => {
      const caller = c.get('caller');
      const { letters, more } = await maintenance.deadLetters(caller);
      const deadLetters = letters.map(({ document, operation, attempts, lastError, since }) => ({
        document_id: document,
        operation,
        attempts,
        last_error: lastError,
        since: new Date(since).toISOString(),
      }));
      return c.json({ request_id: caller.requestId, dead_letters: deadLetters, more }, 200);
    })
    .openapi(retry, async (c) => {
      const caller = c.get('caller');
      const { documents } = c.req.valid('json');
      return c.json(
        { request_id: caller.requestId, retried: await maintenance.retryDeadLetters(caller, documents) },
        200,
      );
    });
  // registered by hand: the answer is a stream
  routes.openAPIRegistry.registerPath(rebuild);
  routes.post(rebuild.path, async (c) => {
    const caller = c.get('caller');
    // rejects here, with a status of its own, when the caller may not
    const work = await maintenance.rebuild(caller);
    const watch = watchCaller(caller, rebuild.path);
    return c.body(progressStream(work, { request: caller.requestId, log, watch }), 200, {
      'content-type': 'application/x-ndjson',
    });
  });
  return routes;
}
