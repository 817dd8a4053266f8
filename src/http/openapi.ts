/** How routes describe themselves, and the document made of it. */
import type { OpenAPIHono } from '@hono/zod-openapi';
import { z } from '@hono/zod-openapi';
import type { Env } from './env.ts';

/** A required JSON body. */
export function jsonBody<S extends z.ZodType>(schema: S) {
  return { required: true, content: { 'application/json': { schema } } } as const;
}

/** One successful JSON response. Routes are held to their schema by tests, not by types. */
export function jsonResponse(schema: z.ZodType<unknown>, description: string) {
  return { description, content: { 'application/json': { schema } } } as const;
}

export const nothing = { description: 'Done; there is nothing to say.' } as const;

const problemSchema = z
  .strictObject({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    detail: z.string(),
    code: z.string(),
    request_id: z.string(),
    errors: z.array(z.strictObject({ path: z.string(), message: z.string() })).optional(),
  })
  .openapi('Problem', { description: 'RFC 9457 problem details.' });

const PUBLIC = new Set(['/healthz', '/readyz', '/openapi.json', '/security-events']);

/** OpenAPI 3.1, of what this process serves. Every operation may also answer with a problem. */
export function describeApi(app: OpenAPIHono<Env>, version: string, url: string) {
  const { openAPIRegistry: registry } = app;
  registry.registerComponent('securitySchemes', 'bearer', {
    type: 'http',
    scheme: 'bearer',
    bearerFormat: 'JWT',
    description: 'An access token (RFC 9068) of a configured issuer, or an API key of a service.',
  });
  registry.register('Problem', problemSchema);
  const document = app.getOpenAPI31Document({
    openapi: '3.1.0',
    info: {
      title: 'Bulkhead',
      version,
      description: 'Retrieval that never returns text its caller is not cleared for.',
      license: { name: 'Apache-2.0', url: 'https://www.apache.org/licenses/LICENSE-2.0' },
    },
    servers: [{ url }],
    security: [{ bearer: [] }],
  });
  const served = new Set(app.routes.map(({ method, path }) => `${method} ${path}`));
  for (const [path, item] of Object.entries(document.paths ?? {})) {
    for (const method of ['get', 'post', 'put', 'patch', 'delete'] as const) {
      const operation = item[method];
      if (operation === undefined) continue;
      if (!served.has(`${method.toUpperCase()} ${path.replaceAll(/\{(\w+)\}/g, ':$1')}`)) {
        delete item[method];
        continue;
      }
      operation.operationId = operationId(method, path);
      if (PUBLIC.has(path)) operation.security = [];
      operation.responses = { ...operation.responses, default: PROBLEM };
    }
    if (Object.keys(item).length === 0) delete document.paths?.[path];
  }
  return document;
}

const PROBLEM = {
  description: 'What went wrong. What you may not see is answered like what does not exist.',
  content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
};

/** `post /v1/documents:batch` → `post_documents_batch`. */
function operationId(method: string, path: string): string {
  const words = path.replace(/^\/v1/, '').split(/[^a-z0-9_]+/i);
  return [method, ...words].filter((word) => word !== '').join('_');
}
