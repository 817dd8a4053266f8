import { OpenAPIHono } from '@hono/zod-openapi';
import { BulkheadError } from '../errors.ts';
import type { Caller } from './services.ts';
import { issuesOf } from './validation.ts';

export interface Env {
  Variables: {
    requestId: string;
    /** What the client calls its request; told back where a standard asks for it. */
    givenRequestId: string | undefined;
    /** Set by `authenticated` alone. */
    caller: Caller;
  };
}

/**
 * Routes of one resource. What does not validate is refused with each path named; a path parameter that cannot be
 * an id is an id that nothing has.
 */
export function newRoutes(): OpenAPIHono<Env> {
  return new OpenAPIHono<Env>({
    defaultHook: (result) => {
      if (result.success) return;
      if (result.target === 'param') throw new BulkheadError('not_found', 'No id looks like this.');
      const issues = issuesOf(result.error);
      const where = result.target === 'json' ? 'body' : result.target;
      const fields = issues.length === 1 ? 'A field' : `${issues.length} fields`;
      throw new BulkheadError('invalid_request', `${fields} of the ${where} did not validate.`, { issues });
    },
  });
}
