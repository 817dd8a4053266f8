/** The JSON of the AuthZEN Authorization API 1.0. What is not known in a request is ignored, as it says (§10.1.1). */
import { z } from '@hono/zod-openapi';
import { plainText } from './validation.ts';

/** Evaluations in one request. */
const MAX_EVALUATIONS = 100;
const MAX_RESULTS = 200;
const DEFAULT_RESULTS = 50;

/** Told by the enforcement point; rights never come from it. */
const properties = z.record(z.string(), z.unknown()).optional();

const type = plainText(200);
const id = plainText(1_000);
const entity = z.object({ type, id, properties }).openapi('AuthzenEntity');
/** Whose id, if there is one, is ignored. */
const anyOfType = z.object({ type, properties });
const action = z.object({ name: plainText(200), properties }).openapi('AuthzenAction');

export const context = z
  .object({
    /** Our own: to be told why not. */
    reasons: z.boolean().optional().describe('also say why a decision is false, where the asker may know'),
  })
  .loose()
  .optional();

export const evaluationRequest = z
  .object({ subject: entity, action, resource: entity, context })
  .openapi('AuthzenEvaluationRequest');

const semantics = ['execute_all', 'deny_on_first_deny', 'permit_on_first_permit'] as const;

export const evaluationsRequest = z
  .object({
    subject: entity.optional(),
    action: action.optional(),
    resource: entity.optional(),
    context,
    // each is looked at by itself: one that is wrong is denied and stops no other
    evaluations: z.array(z.record(z.string(), z.unknown())).max(MAX_EVALUATIONS).optional(),
    options: z
      .object({ evaluations_semantic: z.enum(semantics).optional() })
      .loose()
      .optional(),
  })
  .openapi('AuthzenEvaluationsRequest');

const page = z
  .object({
    token: z.string().max(2_000).optional(),
    limit: z
      .int()
      .min(0)
      .transform((limit) => Math.min(limit, MAX_RESULTS))
      .default(DEFAULT_RESULTS),
  })
  .prefault({});

export const subjectSearchRequest = z.object({ subject: anyOfType, action, resource: entity, context, page });
export const resourceSearchRequest = z.object({
  subject: entity,
  action,
  resource: anyOfType,
  context,
  page,
});
export const actionSearchRequest = z.object({ subject: entity, resource: entity, context, page });

export const decisionView = z
  .object({ decision: z.boolean(), context: z.record(z.string(), z.unknown()).optional() })
  .openapi('AuthzenDecision');

export const evaluationsView = z.union([decisionView, z.object({ evaluations: z.array(decisionView) })]);

const pageView = z.object({ next_token: z.string(), count: z.int() });
const contextView = z.object({ assumes: z.string() });
export const entitiesView = z.object({
  page: pageView,
  context: contextView,
  results: z.array(z.object({ type: z.string(), id: z.string() })),
});
export const actionsView = z.object({
  page: pageView,
  context: contextView,
  results: z.array(z.object({ name: z.string() })),
});
