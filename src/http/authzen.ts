/** The decision point for other applications: AuthZEN Authorization API 1.0, over HTTPS and JSON (§10). */

import type { z } from '@hono/zod-openapi';
import { createRoute } from '@hono/zod-openapi';
import { Hono, type MiddlewareHandler } from 'hono';
import type { ToldDecision } from '../admin/decision-point.ts';
import { BulkheadError } from '../errors.ts';
import {
  actionSearchRequest,
  actionsView,
  type context,
  decisionView,
  entitiesView,
  evaluationRequest,
  evaluationsRequest,
  evaluationsView,
  resourceSearchRequest,
  subjectSearchRequest,
} from './authzen-views.ts';
import { JSON_BYTES, jsonBodyUpTo, mediaTypeOf } from './body.ts';
import { type Env, newRoutes } from './env.ts';
import { jsonBody, jsonResponse } from './openapi.ts';
import type { Services } from './services.ts';

/** Told with what rests on others' rights. */
const ASSUMPTION =
  'Others are judged by the directory alone: no group that only their token would name, and no sign-in, counts.';

const PATHS = {
  access_evaluation_endpoint: '/access/v1/evaluation',
  access_evaluations_endpoint: '/access/v1/evaluations',
  search_subject_endpoint: '/access/v1/search/subject',
  search_resource_endpoint: '/access/v1/search/resource',
  search_action_endpoint: '/access/v1/search/action',
} as const;

/** Any other content type is a bad request here, not an unsupported one (§10.1.2). */
const requireJson: MiddlewareHandler<Env> = async (c, next) => {
  if (mediaTypeOf(c.req.header('content-type')) !== 'application/json')
    throw new BulkheadError('invalid_request', 'Send the body as application/json.');
  return next();
};

const route = <R extends z.ZodType, V extends z.ZodType<unknown>>(
  path: string,
  request: R,
  view: V,
  summary: string,
) =>
  createRoute({
    method: 'post',
    path,
    summary,
    middleware: [requireJson, ...jsonBodyUpTo(JSON_BYTES)],
    request: { body: jsonBody(request) },
    responses: { 200: jsonResponse(view, 'AuthZEN Authorization API 1.0.') },
  });

const ROUTES = {
  evaluation: route(
    PATHS.access_evaluation_endpoint,
    evaluationRequest,
    decisionView,
    'May a subject do this?',
  ),
  evaluations: route(
    PATHS.access_evaluations_endpoint,
    evaluationsRequest,
    evaluationsView,
    'Several such questions',
  ),
  subjects: route(PATHS.search_subject_endpoint, subjectSearchRequest, entitiesView, 'Who may do this?'),
  resources: route(
    PATHS.search_resource_endpoint,
    resourceSearchRequest,
    entitiesView,
    'What may they do it to?',
  ),
  actions: route(PATHS.search_action_endpoint, actionSearchRequest, actionsView, 'What may they do to this?'),
};

export function authzenRoutes({ decisions }: Services) {
  const routes = newRoutes();
  routes.openapi(ROUTES.evaluation, async (c) => {
    const asked = c.req.valid('json');
    const [told] = await decisions.evaluate(c.get('caller'), [evaluationOf(asked)], 'execute_all');
    return c.json(viewOf(told, asked.context), 200);
  });
  routes.openapi(ROUTES.evaluations, async (c) => {
    const { evaluations = [], options, ...defaults } = c.req.valid('json');
    if (evaluations.length === 0) {
      const asked = whole(defaults);
      const [told] = await decisions.evaluate(c.get('caller'), [evaluationOf(asked)], 'execute_all');
      return c.json(viewOf(told, asked.context), 200);
    }
    // an entity replaces the default as a whole
    const each = evaluations.map((own) => evaluationRequest.safeParse({ ...defaults, ...own }));
    const asked = each.map(({ data }) => data && evaluationOf(data));
    const semantic = options?.evaluations_semantic ?? 'execute_all';
    const told = await decisions.evaluate(c.get('caller'), asked, semantic);
    const views = told.map((one, i) => (each[i]?.success ? viewOf(one, each[i].data.context) : INCOMPLETE));
    return c.json({ evaluations: views }, 200);
  });
  addSearches(routes, decisions);
  return routes;
}

function addSearches(routes: ReturnType<typeof newRoutes>, decisions: Services['decisions']): void {
  routes.openapi(ROUTES.subjects, async (c) => {
    const { subject, action, resource, page } = c.req.valid('json');
    const asked = { subjectType: subject.type, action: action.name, resource: named(resource) };
    const found = await decisions.searchSubjects(c.get('caller'), asked, page);
    return c.json(pageOf(found.results, found.nextToken), 200);
  });
  routes.openapi(ROUTES.resources, async (c) => {
    const { subject, action, resource, page } = c.req.valid('json');
    const asked = { subject: named(subject), action: action.name, resourceType: resource.type };
    const found = await decisions.searchResources(c.get('caller'), asked, page);
    return c.json(pageOf(found.results, found.nextToken), 200);
  });
  routes.openapi(ROUTES.actions, async (c) => {
    const { subject, resource, page } = c.req.valid('json');
    const asked = { subject: named(subject), resource: named(resource) };
    const found = await decisions.searchActions(c.get('caller'), asked, page);
    const names = found.results.map((name) => ({ name }));
    return c.json(pageOf(names, found.nextToken), 200);
  });
}

/** Where to find what (§9). Anybody may read it. @param url as callers see this server */
export function authzenMetadataRoutes(url: URL) {
  const endpoints = Object.entries(PATHS).map(([name, path]) => [name, `${url.origin}${path}`]);
  const document = { policy_decision_point: url.origin, ...Object.fromEntries(endpoints) };
  return new Hono<Env>().get('/.well-known/authzen-configuration', (c) =>
    c.json(document, 200, { 'cache-control': 'public, max-age=3600' }),
  );
}

const MAX_REQUEST_ID = 256;

/** What the enforcement point calls its request comes back with the answer, whatever that is (§10.1.3). */
export const keepRequestId: MiddlewareHandler<Env> = async (c, next) => {
  const given = c.req.header('x-request-id');
  if (given !== undefined && given.length > MAX_REQUEST_ID)
    throw new BulkheadError('invalid_request', `X-Request-ID has ${MAX_REQUEST_ID} characters at most.`);
  if (given !== undefined && /^[\x20-\x7e]+$/.test(given)) c.set('givenRequestId', given);
  return next();
};

type Asked = z.output<typeof evaluationRequest>;

function evaluationOf({ subject, action, resource }: Asked) {
  return { subject: named(subject), action: action.name, resource: named(resource) };
}

/** Without properties: what Bulkhead goes by is its own. */
function named({ type, id }: { readonly type: string; readonly id: string }) {
  return { type, id };
}

/** @throws BulkheadError `invalid_request` */
function whole(defaults: { readonly [K in keyof Asked]?: Asked[K] | undefined }): Asked {
  const asked = evaluationRequest.safeParse(defaults);
  if (asked.success) return asked.data;
  const missing = (['subject', 'action', 'resource'] as const).filter((key) => defaults[key] === undefined);
  throw new BulkheadError('invalid_request', `Without evaluations, ${missing.join(' and ')} is missing.`, {
    issues: missing.map((path) => ({ path, message: 'is required' })),
  });
}

const INCOMPLETE = {
  decision: false,
  context: { error: { status: 400, message: 'subject, action or resource is missing or malformed' } },
};

function viewOf(told: ToldDecision | undefined, asked: z.output<typeof context>) {
  const { decision, reason, need } = told ?? { decision: false };
  const said = {
    ...(need?.acr !== undefined && { acr_values: need.acr.join(' ') }),
    ...(need?.maxAuthAgeSeconds !== undefined && { max_age: need.maxAuthAgeSeconds }),
    ...(asked?.reasons === true && reason !== undefined && { reason, assumes: ASSUMPTION }),
  };
  return Object.keys(said).length === 0 ? { decision } : { decision, context: said };
}

function pageOf<T>(results: readonly T[], nextToken: string) {
  return {
    page: { next_token: nextToken, count: results.length },
    context: { assumes: ASSUMPTION },
    results: [...results],
  };
}
