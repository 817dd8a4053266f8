import { createRoute, z } from '@hono/zod-openapi';
import { JSON_BYTES, jsonBodyUpTo } from '../body.ts';
import { newRoutes } from '../env.ts';
import { jsonBody, jsonResponse } from '../openapi.ts';
import type { Services } from '../services.ts';

const health = createRoute({
  method: 'get',
  path: '/healthz',
  summary: 'The process is up',
  responses: { 200: jsonResponse(z.strictObject({ status: z.literal('ok') }), 'It is.') },
});

const readinessView = z.strictObject({
  status: z.enum(['ready', 'not ready']),
  parts: z.record(z.string(), z.enum(['ok', 'not ok'])),
});

const readiness = createRoute({
  method: 'get',
  path: '/readyz',
  summary: 'Every part that a query needs works',
  responses: {
    200: jsonResponse(readinessView, 'Ready.'),
    503: jsonResponse(readinessView, 'Not ready.'),
  },
});

const differencesView = z.strictObject({
  missing: z.int(),
  'stale-version': z.int(),
  'wrong-class': z.int(),
  orphan: z.int(),
});

const doctor = createRoute({
  method: 'post',
  path: '/v1/doctor',
  summary: 'Compare the index with the database, and repair it; needs administer',
  middleware: jsonBodyUpTo(JSON_BYTES),
  request: { body: jsonBody(z.strictObject({ repair: z.boolean().default(false) })) },
  responses: {
    200: jsonResponse(
      z.strictObject({
        request_id: z.string(),
        repaired: z.boolean(),
        differences: differencesView,
        /** After the repair; without one, the same. */
        remaining: differencesView,
      }),
      'How many passages differ, and how.',
    ),
  },
});

const reembed = createRoute({
  method: 'post',
  path: '/v1/reembed',
  summary: 'Embed every passage with the configured model and switch to it; needs administer',
  responses: {
    200: jsonResponse(z.strictObject({ request_id: z.string(), passages: z.int() }), 'Done and switched.'),
  },
});

/** What those who run the service need. The first two need no token and say nothing of the tenant. */
export function operationRoutes(services: Services) {
  return newRoutes()
    .openapi(health, (c) => c.json({ status: 'ok' }, 200))
    .openapi(readiness, async (c) => {
      const parts = Object.entries(await services.readiness());
      const ready = parts.every(([, ok]) => ok);
      const view = Object.fromEntries(parts.map(([part, ok]) => [part, ok ? 'ok' : 'not ok']));
      return c.json({ status: ready ? 'ready' : 'not ready', parts: view }, ready ? 200 : 503);
    })
    .openapi(doctor, async (c) => {
      const caller = c.get('caller');
      const { repair } = c.req.valid('json');
      const compared = await services.maintenance.doctor(caller, { repair });
      return c.json({ request_id: caller.requestId, repaired: repair, ...compared }, 200);
    })
    .openapi(reembed, async (c) => {
      const caller = c.get('caller');
      const passages = await services.maintenance.reembed(caller);
      return c.json({ request_id: caller.requestId, passages }, 200);
    });
}
