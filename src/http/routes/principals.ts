import { createRoute, z } from '@hono/zod-openapi';
import type { PrincipalDetail, PrincipalView } from '../../admin/principals.ts';
import { JSON_BYTES, jsonBodyUpTo } from '../body.ts';
import { newRoutes } from '../env.ts';
import { jsonBody, jsonResponse, nothing } from '../openapi.ts';
import { principalDetailView, principalListView } from '../schemas.ts';
import type { Services } from '../services.ts';
import {
  bounds,
  compartments,
  containerPath,
  inOrder,
  labelName,
  page,
  plainText,
  principalKey,
  storedBoundsView,
  toBounds,
} from '../validation.ts';

const bounded = jsonBodyUpTo(JSON_BYTES);
const params = z.object({ principal: principalKey });

const list = createRoute({
  method: 'get',
  path: '/v1/principals',
  summary: 'Accounts and groups; needs administer at the root, or grant somewhere',
  request: {
    query: z.strictObject({
      ...page,
      cursor: plainText(400).optional(),
      prefix: plainText(200).optional().describe('of the key or the display name'),
    }),
  },
  responses: { 200: jsonResponse(principalListView, 'A page, by key.') },
});

const create = createRoute({
  method: 'post',
  path: '/v1/principals',
  summary: 'Create an account or a group; needs administer at the root',
  middleware: bounded,
  request: {
    body: jsonBody(
      z.strictObject({
        principal: principalKey.describe('its kind says what is made'),
        display_name: plainText(200),
        email: plainText(320).optional(),
      }),
    ),
  },
  responses: {
    201: jsonResponse(z.strictObject({ request_id: z.string(), principal: z.string() }), 'Created.'),
  },
});

const get = createRoute({
  method: 'get',
  path: '/v1/principals/{principal}',
  summary: 'What a principal holds; needs administer at the root',
  request: { params },
  responses: { 200: jsonResponse(principalDetailView, 'Members, clearances, rights and ceiling.') },
});

const setStatus = createRoute({
  method: 'patch',
  path: '/v1/principals/{principal}',
  summary: 'Disable or enable an account; needs administer at the root',
  middleware: bounded,
  request: { params, body: jsonBody(z.strictObject({ status: z.enum(['active', 'disabled']) })) },
  responses: { 204: nothing },
});

const member = z.strictObject({ member: principalKey, ...bounds }).refine(inOrder, {
  message: 'must begin before it ends',
  path: ['from'],
});

const addMember = createRoute({
  method: 'post',
  path: '/v1/principals/{principal}/members',
  summary: 'Add a member to a group; needs administer at the root',
  middleware: bounded,
  request: { params, body: jsonBody(member) },
  responses: { 204: nothing },
});

const setMembers = createRoute({
  method: 'put',
  path: '/v1/principals/{principal}/members',
  summary: 'Replace the members of a group; needs administer at the root',
  middleware: bounded,
  request: { params, body: jsonBody(z.strictObject({ members: z.array(member).max(10_000) })) },
  responses: { 204: nothing },
});

const removeMember = createRoute({
  method: 'delete',
  path: '/v1/principals/{principal}/members/{member}',
  summary: 'Remove a member from a group; needs administer at the root',
  request: { params: z.object({ principal: principalKey, member: principalKey }) },
  responses: { 204: nothing },
});

const grantClearance = createRoute({
  method: 'post',
  path: '/v1/principals/{principal}/clearances',
  summary: 'Give a clearance; needs administer at the root',
  middleware: bounded,
  request: {
    params,
    body: jsonBody(z.strictObject({ level: labelName, compartments, ...bounds }).refine(inOrder)),
  },
  responses: { 204: nothing },
});

const revokeClearance = createRoute({
  method: 'delete',
  path: '/v1/principals/{principal}/clearances',
  summary: 'Take a clearance of exactly this level and these compartments away; needs administer at the root',
  request: {
    params,
    query: z.strictObject({
      level: labelName,
      compartments: plainText(4_000)
        .default('')
        .transform((names) => names.split(',').filter((name) => name !== ''))
        .openapi({ type: 'string', description: 'separated by commas', example: 'payroll,legal' }),
    }),
  },
  responses: { 204: nothing },
});

const setCeiling = createRoute({
  method: 'put',
  path: '/v1/principals/{principal}/ceiling',
  summary: 'How far a service may act for people; needs administer at the root',
  middleware: bounded,
  request: {
    params,
    body: jsonBody(
      z.strictObject({ level: labelName, compartments, containers: z.array(containerPath).max(1_000) }),
    ),
  },
  responses: { 204: nothing },
});

export function principalRoutes({ admin }: Services) {
  return newRoutes()
    .openapi(list, async (c) => {
      const caller = c.get('caller');
      const { items, next } = await admin.listPrincipals(caller, c.req.valid('query'));
      const principals = items.map(principalView);
      return c.json({ request_id: caller.requestId, principals, next_cursor: next ?? null }, 200);
    })
    .openapi(create, async (c) => {
      const caller = c.get('caller');
      const { principal, display_name: displayName, email } = c.req.valid('json');
      await makerOf(admin, principal)(caller, { principal, displayName, email });
      return c.json({ request_id: caller.requestId, principal }, 201);
    })
    .openapi(get, async (c) => {
      const caller = c.get('caller');
      const detail = await admin.getPrincipal(caller, c.req.valid('param').principal);
      return c.json({ request_id: caller.requestId, ...detailView(detail) }, 200);
    })
    .openapi(setStatus, async (c) => {
      const { principal } = c.req.valid('param');
      const isActive = c.req.valid('json').status === 'active';
      await (isActive ? admin.enableAccount : admin.disableAccount)(c.get('caller'), principal);
      return c.body(null, 204);
    })
    .openapi(addMember, async (c) => {
      const group = c.req.valid('param').principal;
      const { member, ...validity } = c.req.valid('json');
      await admin.addMember(c.get('caller'), { group, member, ...toBounds(validity) });
      return c.body(null, 204);
    })
    .openapi(setMembers, async (c) => {
      const group = c.req.valid('param').principal;
      const { members } = c.req.valid('json');
      const inputs = members.map(({ member, ...validity }) => ({ member, ...toBounds(validity) }));
      await admin.setMembers(c.get('caller'), { group, members: inputs });
      return c.body(null, 204);
    })
    .openapi(removeMember, async (c) => {
      const { principal: group, member } = c.req.valid('param');
      await admin.removeMember(c.get('caller'), { group, member });
      return c.body(null, 204);
    })
    .openapi(grantClearance, async (c) => {
      const { level, compartments, ...validity } = c.req.valid('json');
      const clearance = { ...c.req.valid('param'), level, compartments, ...toBounds(validity) };
      await admin.grantClearance(c.get('caller'), clearance);
      return c.body(null, 204);
    })
    .openapi(revokeClearance, async (c) => {
      await admin.revokeClearance(c.get('caller'), { ...c.req.valid('param'), ...c.req.valid('query') });
      return c.body(null, 204);
    })
    .openapi(setCeiling, async (c) => {
      await admin.setActorCeiling(c.get('caller'), { ...c.req.valid('param'), ...c.req.valid('json') });
      return c.body(null, 204);
    });
}

/** `everyone` goes to the first, which refuses it like any other key that is not a user's. */
function makerOf(admin: Services['admin'], principal: string) {
  if (principal.startsWith('group:')) return admin.createGroup;
  return principal.startsWith('service:') ? admin.createService : admin.createUser;
}

function principalView({ principal, kind, displayName, status }: PrincipalView) {
  return { principal, kind, display_name: displayName, status };
}

function detailView({ members, clearances, rights, ceiling, ...view }: PrincipalDetail) {
  return {
    ...principalView(view),
    members: members.map(({ member, ...row }) => ({ member, ...storedBoundsView(row) })),
    clearances: clearances.map(({ id, level, compartments, ...row }) => ({
      id,
      level,
      compartments,
      ...storedBoundsView(row),
    })),
    rights: rights.map(({ id, container, right, ...row }) => ({
      id,
      container,
      right,
      ...storedBoundsView(row),
    })),
    ceiling: ceiling ?? null,
  };
}
