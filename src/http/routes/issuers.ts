import { createRoute, z } from '@hono/zod-openapi';
import { newRoutes } from '../env.ts';
import { nothing } from '../openapi.ts';
import type { Services } from '../services.ts';

const reload = createRoute({
  method: 'post',
  path: '/v1/issuers/{issuer}/keys:reload',
  summary:
    'Forget an issuer’s signing keys and fetch them anew, when one was withdrawn; needs administer. Other processes do it within five seconds; after another reload it waits until a second has passed',
  request: { params: z.object({ issuer: z.string().regex(/^[a-z0-9][a-z0-9._-]{0,62}$/) }) },
  responses: { 204: nothing },
});

/** What an administrator does about whoever issues tokens. */
export function issuerRoutes(services: Pick<Services, 'reloadIssuerKeys'>) {
  return newRoutes().openapi(reload, async (c) => {
    await services.reloadIssuerKeys(c.get('caller'), c.req.valid('param').issuer);
    return c.body(null, 204);
  });
}
