import { createRoute, z } from '@hono/zod-openapi';
import { BulkheadError } from '../../errors.ts';
import type { Log } from '../../telemetry/log.ts';
import type { WatchCaller } from '../caller-watch.ts';
import { encryptionView, rotateLine } from '../encryption-views.ts';
import { newRoutes } from '../env.ts';
import { jsonResponse } from '../openapi.ts';
import { progressStream } from '../progress-stream.ts';
import type { Services } from '../services.ts';
import { issuesOf } from '../validation.ts';

const status = createRoute({
  method: 'get',
  path: '/v1/encryption',
  summary: 'Data keys, and passages that wait to be sealed; needs administer',
  responses: { 200: jsonResponse(encryptionView, 'Those of your tenant.') },
});

const flag = z
  .enum(['true', 'false'])
  .default('false')
  .transform((text) => text === 'true');
const rotateQuery = z.strictObject({ data_keys: flag, term_keys: flag });

const rotate = {
  method: 'post',
  path: '/v1/encryption/rotate',
  summary: 'Wrap data keys by the current key, and make new data keys; needs administer',
  request: { query: rotateQuery },
  responses: {
    200: {
      description: 'Lines of progress, and at the end what was done. Broken off, it goes on by itself.',
      content: { 'application/x-ndjson': { schema: rotateLine } },
    },
  },
} as const;

/** For those who keep the keys. */
export function encryptionRoutes(services: Services, log: Log, watchCaller: WatchCaller) {
  const { maintenance } = services;
  const routes = newRoutes().openapi(status, async (c) => {
    const caller = c.get('caller');
    return c.json({ request_id: caller.requestId, ...(await maintenance.encryption(caller)) }, 200);
  });
  // registered by hand: the answer is a stream
  routes.openAPIRegistry.registerPath(rotate);
  routes.post(rotate.path, async (c) => {
    const asked = rotateQuery.safeParse(c.req.query());
    if (!asked.success)
      throw new BulkheadError('invalid_request', 'A rotation takes data_keys and term_keys, true or false.', {
        issues: issuesOf(asked.error),
      });
    const caller = c.get('caller');
    const { data_keys: dataKeys, term_keys: termKeys } = asked.data;
    // rejects here, with a status of its own, when the caller may not, or there is nothing to rotate
    const work = await maintenance.rotateKeys(caller, { dataKeys, termKeys });
    const watch = watchCaller(caller, rotate.path);
    return c.body(progressStream(work, { request: caller.requestId, log, watch }), 200, {
      'content-type': 'application/x-ndjson',
    });
  });
  return routes;
}
