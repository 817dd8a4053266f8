import { createRoute, z } from '@hono/zod-openapi';
import { LONGEST_DAYS } from '../../admin/api-keys.ts';
import { isoOf, keyListView, keyOf, keyRights, shownKeyView } from '../api-key-views.ts';
import { JSON_BYTES, jsonBodyUpTo } from '../body.ts';
import { newRoutes } from '../env.ts';
import { jsonBody, jsonResponse, nothing } from '../openapi.ts';
import type { Services } from '../services.ts';
import { containerPath, labelName, page, plainText, present, principalKey } from '../validation.ts';

const bounded = jsonBodyUpTo(JSON_BYTES);
const params = z.object({ id: z.string().regex(/^[a-z2-7]{16}$/) });
const days = z.int().min(1).max(LONGEST_DAYS).optional();

const list = createRoute({
  method: 'get',
  path: '/v1/api-keys',
  summary: 'Keys of services, without their secrets; needs administer at the root',
  request: { query: z.strictObject({ ...page, service: principalKey.optional() }) },
  responses: { 200: jsonResponse(keyListView, 'A page, by id.') },
});

const create = createRoute({
  method: 'post',
  path: '/v1/api-keys',
  summary: 'Make a key for a service; needs administer at the root',
  description:
    'The key is in the answer and nowhere else. It may read and do no more than you may, and from then on you may ' +
    'not raise its service.',
  middleware: bounded,
  request: {
    body: jsonBody(
      z.strictObject({
        service: principalKey,
        name: plainText(200),
        rights: keyRights,
        level: labelName.optional().describe('the highest that it reads'),
        compartments: z.array(labelName).max(64).optional(),
        containers: z.array(containerPath).min(1).max(1_000).optional(),
        days: days.describe('until it expires; 90 by default'),
      }),
    ),
  },
  responses: { 201: jsonResponse(shownKeyView, 'Made.') },
});

const rotate = createRoute({
  method: 'post',
  path: '/v1/api-keys/{id}/rotate',
  summary: 'Make a new key in the place of one; needs administer at the root',
  middleware: bounded,
  request: {
    params,
    body: jsonBody(
      z.strictObject({
        days: days.describe('until the new key expires; as long as the old one was made for, by default'),
        overlap_seconds: z
          .int()
          .min(0)
          .max(30 * 86_400)
          .optional()
          .describe('for which the old key still works; a day by default'),
      }),
    ),
  },
  responses: { 201: jsonResponse(shownKeyView, 'Made.') },
});

const revoke = createRoute({
  method: 'delete',
  path: '/v1/api-keys/{id}',
  summary: 'End a key at once; needs administer at the root',
  request: { params },
  responses: { 204: nothing },
});

export function apiKeyRoutes({ admin }: Services) {
  return newRoutes()
    .openapi(list, async (c) => {
      const caller = c.get('caller');
      const { items, next } = await admin.listApiKeys(caller, c.req.valid('query'));
      return c.json({ request_id: caller.requestId, keys: items.map(keyOf), next_cursor: next ?? null }, 200);
    })
    .openapi(create, async (c) => {
      const caller = c.get('caller');
      const { id, key, expiresAt } = await admin.createApiKey(caller, c.req.valid('json'));
      return c.json({ request_id: caller.requestId, id, key, expires_at: isoOf(expiresAt) }, 201);
    })
    .openapi(rotate, async (c) => {
      const caller = c.get('caller');
      const { days, overlap_seconds: seconds } = c.req.valid('json');
      const overlapMs = seconds === undefined ? undefined : seconds * 1_000;
      const rotation = present({ key: c.req.valid('param').id, days, overlapMs });
      const { id, key, expiresAt } = await admin.rotateApiKey(caller, rotation);
      return c.json({ request_id: caller.requestId, id, key, expires_at: isoOf(expiresAt) }, 201);
    })
    .openapi(revoke, async (c) => {
      await admin.revokeApiKey(c.get('caller'), c.req.valid('param').id);
      return c.body(null, 204);
    });
}
