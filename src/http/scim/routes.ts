/** The SCIM 2.0 server (RFC 7643, RFC 7644), for the one source that the caller is bound to. */
import { z } from '@hono/zod-openapi';
import type { Context } from 'hono';
import type { ScimCaller } from '../../directory/scim/client.ts';
import {
  MAX_PAYLOAD_BYTES,
  resourceTypes,
  schemas,
  serviceProviderConfig,
} from '../../directory/scim/discovery.ts';
import { GROUP, type ResourceSchema, userSchema } from '../../directory/scim/schemas.ts';
import { noResource } from '../../directory/scim/scim-error.ts';
import type { ResourceType } from '../../directory/scim/search.ts';
import type { ScimResources, ScimService } from '../../directory/scim/service.ts';
import type { Json } from '../../directory/scim/views.ts';
import { BulkheadError } from '../../errors.ts';
import { jsonBodyUpTo } from '../body.ts';
import { type Env, newRoutes } from '../env.ts';
import {
  bodyOf,
  projectionOf,
  queryOf,
  requireScimType,
  resourceResponse,
  scimResponse,
  searchOf,
} from './requests.ts';

const SCIM_PREFIX = '/scim/v2';
const bounded = [...jsonBodyUpTo(MAX_PAYLOAD_BYTES), requireScimType];
const json = { 'application/scim+json': { schema: z.record(z.string(), z.unknown()) } };
const withId = { params: z.object({ id: z.string().max(200) }) };

type Method = 'get' | 'post' | 'put' | 'patch' | 'delete';
type Routes = ReturnType<typeof newRoutes>;
type Handler = (c: Context<Env>) => Response | Promise<Response>;

/** Adds a route, and a line on it to the OpenAPI document; SCIM describes its resources itself, at /Schemas. */
function add(routes: Routes, method: Method, path: string, summary: string, handler: Handler): void {
  const address = `${SCIM_PREFIX}${path}`;
  routes.openAPIRegistry.registerPath({
    method,
    path: address,
    summary: `SCIM: ${summary}`,
    request: { ...(path.includes('{id}') && withId) },
    responses: { 200: { description: 'As RFC 7644 has it.', content: json } },
  });
  const hasBody = method === 'post' || method === 'put' || method === 'patch';
  routes.on([method.toUpperCase()], [address.replace('{id}', ':id')], ...(hasBody ? bounded : []), handler);
}

/** @param origin of this server as callers see it */
export function scimRoutes(scim: ScimService, origin: string) {
  const base = `${origin}${SCIM_PREFIX}`;
  const callerOf = (c: Context<Env>): ScimCaller => ({ ...c.get('caller'), base });
  const subjectOf = (c: Context<Env>) => scim.binding(c.get('caller').identity).subjectAttribute;
  const routes = newRoutes();

  add(routes, 'get', '/ServiceProviderConfig', 'what is offered', (c) => {
    subjectOf(c);
    return scimResponse(c, serviceProviderConfig(base));
  });
  addDiscovery(routes, '/ResourceTypes', (c) => resourceTypes(subjectOf(c), base));
  addDiscovery(routes, '/Schemas', (c) => schemas(subjectOf(c), base));
  addSearch(routes, '', ['User', 'Group'], scim, callerOf);
  addSearch(routes, '/Users', ['User'], scim, callerOf);
  addSearch(routes, '/Groups', ['Group'], scim, callerOf);
  addResources(routes, '/Users', (c) => userSchema(subjectOf(c)), scim.users, callerOf);
  addResources(routes, '/Groups', () => GROUP, scim.groups, callerOf);
  add(routes, 'post', '/Bulk', 'several changes', async (c) =>
    scimResponse(c, await scim.bulk(callerOf(c), await bodyOf(c))),
  );
  add(routes, 'get', '/Me', 'not offered', (c) => {
    subjectOf(c);
    throw new BulkheadError('not_implemented', 'A provisioning client is no user.');
  });
  return routes;
}

function addDiscovery(routes: Routes, path: string, all: (c: Context<Env>) => readonly Json[]): void {
  add(routes, 'get', path, 'what is offered', (c) => {
    const resources = all(c);
    // RFC 7644 §4: nothing is left out of discovery
    if (c.req.query('filter') !== undefined)
      throw new BulkheadError('right_missing', 'Discovery is not filtered.');
    return scimResponse(c, {
      schemas: ['urn:ietf:params:scim:api:messages:2.0:ListResponse'],
      totalResults: resources.length,
      startIndex: 1,
      itemsPerPage: resources.length,
      Resources: resources,
    });
  });
  add(routes, 'get', `${path}/{id}`, 'what is offered', (c) => {
    const found = all(c).find(({ id }) => id === c.req.param('id'));
    if (found === undefined) throw noResource();
    return scimResponse(c, found);
  });
}

type CallerOf = (c: Context<Env>) => ScimCaller;

function addSearch(
  routes: Routes,
  path: string,
  types: readonly ResourceType[],
  scim: ScimService,
  callerOf: CallerOf,
): void {
  if (path !== '')
    add(routes, 'get', path, 'a page of resources', async (c) =>
      scimResponse(c, await scim.search(callerOf(c), types, queryOf(c))),
    );
  add(routes, 'post', `${path}/.search`, 'a page of resources', async (c) =>
    scimResponse(c, await scim.search(callerOf(c), types, searchOf(await bodyOf(c)))),
  );
}

function addResources(
  routes: Routes,
  path: string,
  schemaOf: (c: Context<Env>) => ResourceSchema,
  resources: ScimResources,
  callerOf: CallerOf,
): void {
  const one = `${path}/{id}`;
  const idOf = (c: Context<Env>) => c.req.param('id') ?? '';
  const ifMatch = (c: Context<Env>) => c.req.header('if-match');
  add(routes, 'post', path, 'create', async (c) => {
    const created = await resources.create(callerOf(c), await bodyOf(c), projectionOf(c) ?? {});
    return resourceResponse(c, schemaOf(c), created, 201);
  });
  add(routes, 'get', one, 'one resource', async (c) =>
    resourceResponse(c, schemaOf(c), await resources.get(callerOf(c), idOf(c), projectionOf(c) ?? {}), 200),
  );
  add(routes, 'put', one, 'replace', async (c) => {
    const projection = projectionOf(c) ?? {};
    const replaced = await resources.replace(callerOf(c), idOf(c), await bodyOf(c), ifMatch(c), projection);
    return resourceResponse(c, schemaOf(c), replaced, 200);
  });
  add(routes, 'patch', one, 'change', async (c) => {
    const projection = projectionOf(c);
    const patched = await resources.patch(callerOf(c), idOf(c), await bodyOf(c), ifMatch(c), projection);
    // whoever adds a member to a group of thousands is not sent the others (RFC 7644 §3.5.2)
    if (path === '/Groups' && projection === undefined)
      return c.body(null, 204, { etag: `W/"${patched.version}"` });
    return resourceResponse(c, schemaOf(c), patched, 200);
  });
  add(routes, 'delete', one, 'delete', async (c) => {
    await resources.remove(callerOf(c), idOf(c), ifMatch(c));
    return c.body(null, 204);
  });
}
