import { createRoute, z } from '@hono/zod-openapi';
import { JSON_BYTES, jsonBodyUpTo } from '../body.ts';
import { newRoutes } from '../env.ts';
import { jsonBody, jsonResponse } from '../openapi.ts';
import { explanationView } from '../schemas.ts';
import type { Services } from '../services.ts';
import { plainText, present, principalKey } from '../validation.ts';

const request = z
  .strictObject({
    // a malformed id is the id of nothing, and answered like it
    document: plainText(200),
    subject: principalKey
      .optional()
      .describe('absent: the caller; others need audit and a dominating clearance'),
    actor: principalKey.optional().describe('a service acting for the subject'),
  })
  .openapi('ExplainRequest');

const route = createRoute({
  method: 'post',
  path: '/v1/explain',
  summary: 'Why a subject may or may not read a document',
  middleware: jsonBodyUpTo(JSON_BYTES),
  request: { body: jsonBody(request) },
  responses: { 200: jsonResponse(explanationView, 'The decision and what it rests on.') },
});

export function explainRoutes(services: Services) {
  return newRoutes().openapi(route, async (c) => {
    const caller = c.get('caller');
    const asked = c.req.valid('json');
    const { decision, reason, label, steps } = await services.explain(caller, present(asked));
    return c.json(
      {
        request_id: caller.requestId,
        document_id: asked.document,
        decision,
        reason: reason ?? null,
        label,
        steps,
      },
      200,
    );
  });
}
