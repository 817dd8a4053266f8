import { createRoute, z } from '@hono/zod-openapi';
import type { Context } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { BulkheadError } from '../../errors.ts';
import { SecurityEventRefused } from '../../identity/security-event-refusal.ts';
import { mediaTypeOf } from '../body.ts';
import { type Env, newRoutes } from '../env.ts';
import type { Services } from '../services.ts';

/** An event token is a few hundred bytes. */
const MAX_KILOBYTES = 64;
const MEDIA_TYPE = 'application/secevent+jwt';

const refusedView = z
  .strictObject({
    err: z.enum([
      'invalid_request',
      'invalid_key',
      'invalid_issuer',
      'invalid_audience',
      'authentication_failed',
    ]),
    description: z.string(),
  })
  .openapi('SecurityEventRefused', { description: 'RFC 8935 section 2.4.' });

const limit = bodyLimit({
  maxSize: MAX_KILOBYTES * 1024,
  onError: () => {
    throw new BulkheadError('payload_too_large', `An event may be ${MAX_KILOBYTES} KB at most.`);
  },
});

const push = createRoute({
  method: 'post',
  path: '/security-events',
  summary:
    'For configured transmitters: one security event token (RFC 8417), pushed (RFC 8935); its signature says whose',
  middleware: limit,
  request: { body: { required: true, content: { [MEDIA_TYPE]: { schema: z.string() } } } },
  responses: {
    202: { description: 'It is taken care of, now or by the same token earlier; whoever it is about.' },
    400: {
      description: 'It is not accepted, and will not be.',
      content: { 'application/json': { schema: refusedView } },
    },
  },
});

/** Outside of `/v1`, where nobody without an access token of their own gets. */
export function securityEventRoutes({ securityEvents }: Pick<Services, 'securityEvents'>) {
  const routes = newRoutes();
  routes.openapi(push, async (c) => {
    if (securityEvents === undefined)
      throw new BulkheadError('not_found', 'No stream of security events is configured.');
    if (mediaTypeOf(c.req.header('content-type')) !== MEDIA_TYPE)
      throw new BulkheadError('unsupported_media_type', `Send the event as ${MEDIA_TYPE}.`);
    const token = await c.req.text();
    const authorization = c.req.header('authorization');
    try {
      await securityEvents.receive({ token, authorization, requestId: c.get('requestId') });
      return c.body(null, 202);
    } catch (error) {
      if (!(error instanceof SecurityEventRefused)) throw error;
      return refused(c, error);
    }
  });
  return routes;
}

/** The description is for whoever runs the transmitter, and the same whatever there is here. */
function refused(c: Context<Env>, { code, description }: SecurityEventRefused) {
  c.header('content-language', 'en');
  return c.json({ err: code, description }, 400);
}
