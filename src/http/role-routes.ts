/** Which process serves which route: the least that the design's roles need, in one place. */
import type { Hono } from 'hono';
import type { ServiceRole } from '../store/process-role.ts';
import type { Env } from './env.ts';

/** What an app is for. An operator's is never listened to: it answers the one command that opened it. */
export type AppRole = ServiceRole | 'operator';

/**
 * The role that serves a route; `all` serves every one. `single`: only where one process is all roles, because the work
 * is done in more than one of them. `operator`: work on the index as a whole, which the indexer's own credentials are
 * for. `api`: whoever answers callers. `every`: whoever runs at all.
 */
type Owner = Exclude<AppRole, 'indexer' | 'all'> | 'single' | 'api' | 'every';

const OWNERS: Readonly<Record<string, Owner>> = {
  'GET /healthz': 'every',
  'GET /readyz': 'every',
  'GET /openapi.json': 'api',
  'GET /.well-known/oauth-protected-resource': 'api',
  'GET /.well-known/oauth-protected-resource/*': 'api',

  'POST /v1/retrieve': 'retrieve',
  'GET /v1/documents': 'retrieve',
  'GET /v1/documents/:id': 'retrieve',
  'GET /': 'retrieve',
  'GET /signin': 'retrieve',
  'GET /signin/:issuer': 'retrieve',
  'GET /callback': 'retrieve',
  'GET /callback/:issuer': 'retrieve',
  'GET /step-up': 'retrieve',
  'POST /backchannel-logout/:issuer': 'retrieve',
  'GET /signed-out': 'retrieve',
  'POST /signout': 'retrieve',
  'GET /ask': 'retrieve',
  'POST /ask': 'retrieve',
  'GET /assets/:file': 'retrieve',

  'POST /v1/documents': 'ingest',
  'POST /v1/documents:batch': 'ingest',
  'POST /v1/documents:pending': 'ingest',
  'DELETE /v1/documents/:id': 'ingest',

  'PATCH /v1/documents/:id/access': 'admin',
  'PATCH /v1/documents/:id/label': 'admin',
  'GET /v1/containers': 'admin',
  'POST /v1/containers': 'admin',
  'GET /v1/containers/:container': 'admin',
  'PATCH /v1/containers/:container/label': 'admin',
  'PATCH /v1/containers/:container/access': 'admin',
  'POST /v1/containers/:container/move': 'admin',
  'POST /v1/containers/:container/entries': 'admin',
  'DELETE /v1/containers/:container/entries': 'admin',
  'POST /v1/containers/:container/roles': 'admin',
  'DELETE /v1/containers/:container/roles': 'admin',
  'DELETE /v1/entries/:id': 'admin',
  'GET /v1/principals': 'admin',
  'POST /v1/principals': 'admin',
  'GET /v1/principals/:principal': 'admin',
  'PATCH /v1/principals/:principal': 'admin',
  'POST /v1/principals/:principal/members': 'admin',
  'PUT /v1/principals/:principal/members': 'admin',
  'DELETE /v1/principals/:principal/members/:member': 'admin',
  'POST /v1/principals/:principal/clearances': 'admin',
  'DELETE /v1/principals/:principal/clearances': 'admin',
  'PUT /v1/principals/:principal/ceiling': 'admin',
  'GET /v1/api-keys': 'admin',
  'POST /v1/api-keys': 'admin',
  'POST /v1/api-keys/:id/rotate': 'admin',
  'DELETE /v1/api-keys/:id': 'admin',
  'POST /v1/explain': 'admin',
  'POST /v1/issuers/:issuer/keys:reload': 'admin',
  'POST /security-events': 'admin',
  'GET /v1/revocations': 'admin',
  'POST /v1/revocations': 'admin',
  'GET /.well-known/authzen-configuration': 'admin',
  'POST /access/v1/evaluation': 'admin',
  'POST /access/v1/evaluations': 'admin',
  'POST /access/v1/search/subject': 'admin',
  'POST /access/v1/search/resource': 'admin',
  'POST /access/v1/search/action': 'admin',
  'GET /v1/index/stats': 'admin',
  'GET /v1/index/dead-letters': 'admin',
  'POST /v1/index/dead-letters/retry': 'admin',

  'GET /v1/directory': 'admin',
  'POST /v1/directory:import': 'admin',
  'GET /scim/v2/ServiceProviderConfig': 'admin',
  'GET /scim/v2/ResourceTypes': 'admin',
  'GET /scim/v2/ResourceTypes/:id': 'admin',
  'GET /scim/v2/Schemas': 'admin',
  'GET /scim/v2/Schemas/:id': 'admin',
  'POST /scim/v2/.search': 'admin',
  'GET /scim/v2/Users': 'admin',
  'POST /scim/v2/Users': 'admin',
  'POST /scim/v2/Users/.search': 'admin',
  'GET /scim/v2/Users/:id': 'admin',
  'PUT /scim/v2/Users/:id': 'admin',
  'PATCH /scim/v2/Users/:id': 'admin',
  'DELETE /scim/v2/Users/:id': 'admin',
  'GET /scim/v2/Groups': 'admin',
  'POST /scim/v2/Groups': 'admin',
  'POST /scim/v2/Groups/.search': 'admin',
  'GET /scim/v2/Groups/:id': 'admin',
  'PUT /scim/v2/Groups/:id': 'admin',
  'PATCH /scim/v2/Groups/:id': 'admin',
  'DELETE /scim/v2/Groups/:id': 'admin',
  'POST /scim/v2/Bulk': 'admin',
  'GET /scim/v2/Me': 'admin',

  'GET /v1/audit/records': 'audit',
  'POST /v1/audit/verify': 'audit',

  // names and entries of others are the directory's, which a process that answers questions does not read
  'GET /why/:document': 'single',
  'POST /v1/doctor': 'operator',
  'POST /v1/reembed': 'operator',
  'POST /v1/index/rebuild': 'operator',
  'POST /v1/index/calibrate': 'operator',
  'GET /v1/encryption': 'operator',
  'POST /v1/encryption/rotate': 'operator',
};

/** @param route `GET /v1/documents/:id` @throws Error for a route that nobody was given */
export function serves(role: AppRole, route: string): boolean {
  // their names change with what is in them
  const owner = OWNERS[route.replace(/^GET \/assets\/.+$/, 'GET /assets/:file')];
  if (owner === undefined) throw new Error(`no role serves ${route}`);
  if (role === 'all' || owner === 'every') return true;
  return owner === role || (owner === 'api' && role !== 'indexer');
}

/** Whether the role answers people in a browser. */
export function hasPages(role: AppRole): boolean {
  return serves(role, 'GET /ask');
}

/** Whether the role answers callers with a token. */
export function hasApi(role: AppRole): boolean {
  return serves(role, 'GET /openapi.json');
}

/** Takes out what the role does not serve, before the routes are mounted. */
export function onlyServed<R extends Pick<Hono<Env>, 'routes'>>(routes: R, role: AppRole): R {
  routes.routes = routes.routes.filter(({ method, path }) => serves(role, `${method} ${path}`));
  return routes;
}
