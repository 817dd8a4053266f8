import { createRoute, z } from '@hono/zod-openapi';
import type { ContainerDetail } from '../../admin/containers.ts';
import { JSON_BYTES, jsonBodyUpTo } from '../body.ts';
import { newRoutes } from '../env.ts';
import { jsonBody, jsonResponse, nothing } from '../openapi.ts';
import { containerView } from '../schemas.ts';
import type { Services } from '../services.ts';
import {
  bounds,
  boundsView,
  compartments,
  containerPath,
  entries,
  entryBody,
  inOrder,
  labelName,
  page,
  plainText,
  principalKey,
  toBounds,
} from '../validation.ts';

/** A path in one segment, its slashes as %2F, with or without the first. */
const params = z.object({
  container: plainText(1_000)
    .transform((path) => (path.startsWith('/') ? path : `/${path}`))
    .openapi({ type: 'string', example: 'hr/payroll' }),
});

const label = z.strictObject({ level: labelName.nullable(), compartments });
const right = plainText(100).describe('ingest, label, grant, audit, administer or unmask:<kind>');
const bounded = jsonBodyUpTo(JSON_BYTES);

const list = createRoute({
  method: 'get',
  path: '/v1/containers',
  summary: 'The containers whose documents the caller may read, and those where they hold a right',
  request: { query: z.strictObject({ ...page, cursor: plainText(1_000).optional() }) },
  responses: {
    200: jsonResponse(
      z.strictObject({
        request_id: z.string(),
        containers: z.array(z.strictObject({ path: z.string(), rights: z.array(z.string()) })),
        next_cursor: z.string().nullable(),
      }),
      'A page, by path.',
    ),
  },
});

const create = createRoute({
  method: 'post',
  path: '/v1/containers',
  summary: 'Create a container; needs administer on its parent, and grant when it has entries',
  middleware: bounded,
  request: {
    body: jsonBody(
      z.strictObject({
        path: containerPath,
        level: labelName.nullable().default(null),
        compartments,
        inherits: z.boolean().default(true),
        entries: entries.default([]),
      }),
    ),
  },
  responses: { 201: jsonResponse(z.strictObject({ request_id: z.string(), path: z.string() }), 'Created.') },
});

const get = createRoute({
  method: 'get',
  path: '/v1/containers/{container}',
  summary: 'Label and entries of a container; needs grant, label, audit or administer there',
  request: { params },
  responses: { 200: jsonResponse(containerView, 'What it says itself.') },
});

const setLabel = createRoute({
  method: 'patch',
  path: '/v1/containers/{container}/label',
  summary: 'Replace the label of a container; needs label',
  middleware: bounded,
  request: { params, body: jsonBody(label) },
  responses: { 204: nothing },
});

const setAccess = createRoute({
  method: 'patch',
  path: '/v1/containers/{container}/access',
  summary: 'Whether allows from above reach what is in it; needs grant',
  middleware: bounded,
  request: { params, body: jsonBody(z.strictObject({ inherits: z.boolean() })) },
  responses: { 204: nothing },
});

const move = createRoute({
  method: 'post',
  path: '/v1/containers/{container}/move',
  summary:
    'Move it, with everything below it, below another container; needs administer, grant and label at both ends',
  middleware: bounded,
  request: { params, body: jsonBody(z.strictObject({ to: containerPath })) },
  responses: { 200: jsonResponse(z.strictObject({ request_id: z.string(), path: z.string() }), 'Moved.') },
});

const grant = createRoute({
  method: 'post',
  path: '/v1/containers/{container}/entries',
  summary: 'Add an entry; needs grant',
  middleware: bounded,
  request: { params, body: jsonBody(entryBody) },
  responses: { 201: jsonResponse(z.strictObject({ request_id: z.string(), id: z.int() }), 'Added.') },
});

const revoke = createRoute({
  method: 'delete',
  path: '/v1/containers/{container}/entries',
  summary: 'Remove the entries of one principal and effect; needs grant',
  request: {
    params,
    query: z.strictObject({ principal: principalKey, effect: z.enum(['allow', 'deny']).default('allow') }),
  },
  responses: { 204: nothing },
});

const bindRole = createRoute({
  method: 'post',
  path: '/v1/containers/{container}/roles',
  summary: 'Give a right here and below; needs administer',
  middleware: bounded,
  request: {
    params,
    body: jsonBody(z.strictObject({ principal: principalKey, right, ...bounds }).refine(inOrder)),
  },
  responses: { 204: nothing },
});

const unbindRole = createRoute({
  method: 'delete',
  path: '/v1/containers/{container}/roles',
  summary: 'Take a right away; needs administer',
  request: { params, query: z.strictObject({ principal: principalKey, right }) },
  responses: { 204: nothing },
});

const revokeOne = createRoute({
  method: 'delete',
  path: '/v1/entries/{id}',
  summary: 'Remove one entry of a container; needs grant',
  request: {
    params: z.object({
      id: z
        .string()
        .regex(/^[1-9]\d{0,14}$/)
        .transform(Number)
        .openapi({ type: 'integer' }),
    }),
  },
  responses: { 204: nothing },
});

export function containerRoutes({ admin }: Services) {
  return newRoutes()
    .openapi(list, async (c) => {
      const caller = c.get('caller');
      const { items, next } = await admin.listContainers(caller, c.req.valid('query'));
      const listed = items.map(({ path, rights }) => ({ path, rights }));
      return c.json({ request_id: caller.requestId, containers: listed, next_cursor: next ?? null }, 200);
    })
    .openapi(create, async (c) => {
      const caller = c.get('caller');
      const { level, compartments, ...rest } = c.req.valid('json');
      await admin.createContainer(caller, { ...rest, label: { level, compartments } });
      return c.json({ request_id: caller.requestId, path: rest.path }, 201);
    })
    .openapi(get, async (c) => {
      const caller = c.get('caller');
      const detail = await admin.getContainer(caller, c.req.valid('param').container);
      return c.json({ request_id: caller.requestId, ...detailView(detail) }, 200);
    })
    .openapi(setLabel, async (c) => {
      const { container } = c.req.valid('param');
      await admin.setContainerLabel(c.get('caller'), { container, label: c.req.valid('json') });
      return c.body(null, 204);
    })
    .openapi(setAccess, async (c) => {
      const { container } = c.req.valid('param');
      await admin.setInherits(c.get('caller'), { container, ...c.req.valid('json') });
      return c.body(null, 204);
    })
    .openapi(move, async (c) => {
      const caller = c.get('caller');
      const { container } = c.req.valid('param');
      const path = await admin.moveContainer(caller, { container, ...c.req.valid('json') });
      return c.json({ request_id: caller.requestId, path }, 200);
    })
    .openapi(grant, async (c) => {
      const caller = c.get('caller');
      const { container } = c.req.valid('param');
      const id = await admin.grant(caller, { container, entry: c.req.valid('json') });
      return c.json({ request_id: caller.requestId, id }, 201);
    })
    .openapi(revoke, async (c) => {
      const { container } = c.req.valid('param');
      await admin.revoke(c.get('caller'), { container, ...c.req.valid('query') });
      return c.body(null, 204);
    })
    .openapi(bindRole, async (c) => {
      const { container } = c.req.valid('param');
      const { principal, right, ...validity } = c.req.valid('json');
      await admin.bindRole(c.get('caller'), { container, principal, right, ...toBounds(validity) });
      return c.body(null, 204);
    })
    .openapi(unbindRole, async (c) => {
      const { container } = c.req.valid('param');
      await admin.unbindRole(c.get('caller'), { container, ...c.req.valid('query') });
      return c.body(null, 204);
    })
    .openapi(revokeOne, async (c) => {
      await admin.revoke(c.get('caller'), { entry: c.req.valid('param').id });
      return c.body(null, 204);
    });
}

function detailView({ path, label, inherits, entries, rights }: ContainerDetail) {
  return {
    path,
    label,
    inherits,
    entries: entries.map(({ id, effect, principal, displayName, ...bounds }) => ({
      id,
      effect,
      principal,
      display_name: displayName,
      ...boundsView(bounds),
    })),
    rights,
  };
}
