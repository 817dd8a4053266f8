import { createRoute, z } from '@hono/zod-openapi';
import type { Revocation } from '../../store/revocations.ts';
import { JSON_BYTES, jsonBodyUpTo } from '../body.ts';
import { newRoutes } from '../env.ts';
import { jsonBody, jsonResponse } from '../openapi.ts';
import type { Services } from '../services.ts';
import { page, plainText } from '../validation.ts';

const fields = {
  kind: z.enum(['user', 'session', 'client', 'key']),
  id: plainText(400).describe('<issuer>|<id>, compared as it is'),
  reason: plainText(200),
};

const viewFields = {
  ...fields,
  issued_until: z.iso
    .datetime()
    .nullable()
    .describe('what was issued until then is refused; null where nothing of it ever counts again'),
  revoked_at: z.iso.datetime(),
};

const view = z.strictObject({ request_id: z.string(), ...viewFields }).openapi('Revocation');

const revoke = createRoute({
  method: 'post',
  path: '/v1/revocations',
  summary:
    'Take back what was issued to a user or a client so far, or a session or a key for good; needs administer at the root, unless it is your own',
  middleware: jsonBodyUpTo(JSON_BYTES),
  request: {
    body: jsonBody(
      z.strictObject(fields).openapi('RevocationRequest', {
        example: { kind: 'user', id: 'workforce|petra.fuchs', reason: 'laptop lost' },
      }),
    ),
  },
  responses: {
    200: jsonResponse(view, 'It holds from the next answer on, whether or not anybody ever had such an id.'),
  },
});

const list = createRoute({
  method: 'get',
  path: '/v1/revocations',
  summary: 'What was taken back; needs administer at the root',
  request: { query: z.strictObject({ ...page, cursor: plainText(410).optional() }) },
  responses: {
    200: jsonResponse(
      z
        .strictObject({
          request_id: z.string(),
          revocations: z.array(z.strictObject(viewFields)),
          next_cursor: z.string().nullable(),
        })
        .openapi('Revocations'),
      'A page, by kind and id.',
    ),
  },
});

export function revocationRoutes({ admin }: Services) {
  return newRoutes()
    .openapi(revoke, async (c) => {
      const caller = c.get('caller');
      const revocation = await admin.revokeCredential(caller, c.req.valid('json'));
      return c.json({ request_id: caller.requestId, ...viewOf(revocation) }, 200);
    })
    .openapi(list, async (c) => {
      const caller = c.get('caller');
      const { items, next } = await admin.listRevocations(caller, c.req.valid('query'));
      const revocations = items.map(viewOf);
      return c.json({ request_id: caller.requestId, revocations, next_cursor: next ?? null }, 200);
    });
}

function viewOf({ kind, id, reason, issuedUntil, revokedAt }: Revocation) {
  return {
    kind,
    id,
    reason,
    issued_until: issuedUntil === undefined ? null : new Date(issuedUntil).toISOString(),
    revoked_at: new Date(revokedAt).toISOString(),
  };
}
