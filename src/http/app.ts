/** The HTTP application: what holds for every request, and the routes by resource. */

import type { HttpBindings } from '@hono/node-server';
import type { OpenAPIHono } from '@hono/zod-openapi';
import type { Context, Hono, MiddlewareHandler } from 'hono';
import { HTTPException } from 'hono/http-exception';
import { methodNotAllowed } from 'hono/method-not-allowed';
import { secureHeaders } from 'hono/secure-headers';
import { BulkheadError, toBulkheadError } from '../errors.ts';
import { type Log, summarizeError } from '../telemetry/log.ts';
import type { ObservedRequest } from '../telemetry/metrics.ts';
import { bearerToken, toIdentity } from './authenticate.ts';
import { type Env, newRoutes } from './env.ts';
import { observeRequests } from './observe.ts';
import { describeApi } from './openapi.ts';
import { type PageOptions, pages } from './pages/pages.ts';
import { problemResponse } from './problem.ts';
import { RefusalLog } from './refusals.ts';
import { type AppRole, hasApi, hasPages, onlyServed, serves } from './role-routes.ts';
import { auditRoutes } from './routes/audit.ts';
import { batchRoutes } from './routes/batch.ts';
import { containerRoutes } from './routes/containers.ts';
import { documentRoutes } from './routes/documents.ts';
import { encryptionRoutes } from './routes/encryption.ts';
import { explainRoutes } from './routes/explain.ts';
import { indexRoutes } from './routes/index-operations.ts';
import { indexRepairRoutes } from './routes/index-repair.ts';
import { operationRoutes } from './routes/operations.ts';
import { principalRoutes } from './routes/principals.ts';
import { retrieveRoutes } from './routes/retrieve.ts';
import type { Caller, Services } from './services.ts';

export interface AppOptions extends Omit<PageOptions, 'explains'> {
  /** What the process is: no route of another role is served. */
  readonly role?: AppRole | undefined;
  /** Who runs the one command that this answers; absent = callers show a token. */
  readonly operator?: Caller | undefined;
  readonly version: string;
  readonly log: Log;
  readonly newRequestId: () => string;
  /** Told of each request, for the metrics. */
  readonly onRequest?: ((request: ObservedRequest) => void) | undefined;
  /** Applications of their own, served before and outside of everything here: the development identity provider. */
  readonly mounts?: readonly { readonly path: string; readonly app: Hono<{ Bindings: HttpBindings }> }[];
}

export interface BulkheadApp {
  readonly fetch: OpenAPIHono<Env>['fetch'];
  /** Writes what is still to be recorded. */
  close(): Promise<void>;
}

/** Every error becomes a response; nothing is thrown. */
export function createApp(services: Services, options: AppOptions): BulkheadApp {
  const { log, publicUrl, now, role = 'all' } = options;
  const refusals = new RefusalLog({
    now,
    record: (refusal) => services.audit.refused(refusal),
    onFailure: (error) => log.error({ error: summarizeError(error) }, 'refusal not recorded'),
  });
  const app = newRoutes();
  const api = (c: Context<Env>, error: BulkheadError) => problemResponse(error, c.get('requestId'));
  const web = hasPages(role)
    ? pages(services, { ...options, explains: serves(role, 'GET /why/:document') })
    : undefined;
  const show = (c: Context<Env>, error: BulkheadError) =>
    web === undefined || isApi(c.req.path) ? api(c, error) : web.errorPage(c, error);

  for (const { path, app: mounted } of options.mounts ?? []) app.route(path, mounted);
  app.use(
    observeRequests({ log, now, newRequestId: options.newRequestId, refusals, onRequest: options.onRequest }),
  );
  app.use(securityHeaders(publicUrl.protocol === 'https:'));
  app.use(methodNotAllowed({ app, onMethodNotAllowed: (c, methods) => answerMethods(c, methods, show) }));
  if (hasApi(role)) app.use('/v1/*', authenticated(services, options.operator));
  app.onError((thrown, c) => show(c, explained(thrown, c, log)));
  app.notFound((c) => show(c, new BulkheadError('not_found', 'There is no such path.')));

  for (const routes of allRoutes(services, options)) app.route('/', onlyServed(routes, role));
  if (web !== undefined) app.route('/', onlyServed(web.routes, role));
  if (hasApi(role)) {
    const description = describeApi(app, options.version, publicUrl.origin);
    app.get('/openapi.json', (c) => c.json(description));
  }

  return { fetch: app.fetch, close: () => refusals.close() };
}

function authenticated(services: Services, operator: Caller | undefined): MiddlewareHandler<Env> {
  return async (c, next) => {
    if (operator !== undefined) {
      c.set('caller', operator);
      return next();
    }
    const caller = await services.verifyToken(bearerToken(c.req.header('authorization')));
    c.set('caller', { identity: toIdentity(caller), requestId: c.get('requestId') });
    return next();
  };
}

function allRoutes(services: Services, { log, levels }: AppOptions) {
  return [
    retrieveRoutes(services, levels),
    documentRoutes(services),
    batchRoutes(services, log),
    containerRoutes(services),
    principalRoutes(services),
    explainRoutes(services),
    auditRoutes(services),
    operationRoutes(services),
    indexRoutes(services, log),
    indexRepairRoutes(services, log),
    encryptionRoutes(services, log),
  ];
}

const API_PATHS = /^\/(v1(\/|$)|healthz$|readyz$|openapi\.json$)/;

function isApi(path: string): boolean {
  return API_PATHS.test(path);
}

function securityHeaders(https: boolean) {
  return secureHeaders({
    contentSecurityPolicy: {
      defaultSrc: ["'none'"],
      styleSrc: ["'self'"],
      imgSrc: ["'self'"],
      formAction: ["'self'"],
      baseUri: ["'none'"],
      frameAncestors: ["'none'"],
    },
    xFrameOptions: 'DENY',
    referrerPolicy: 'no-referrer',
    strictTransportSecurity: https ? 'max-age=31536000; includeSubDomains' : false,
  });
}

type Show = (c: Context<Env>, error: BulkheadError) => Response | Promise<Response>;

/** OPTIONS lists the methods, like the Allow header of a 405 (RFC 9110 §15.5.6). */
async function answerMethods(c: Context<Env>, methods: string[], show: Show): Promise<Response> {
  const allow = [...new Set([...methods, 'OPTIONS'])].sort().join(', ');
  if (c.req.method === 'OPTIONS') return c.body(null, 204, { allow });
  const error = new BulkheadError('method_not_allowed', `Here, use ${methods.join(' or ')}.`);
  const response = await show(c, error);
  response.headers.set('allow', allow);
  return response;
}

/** What was thrown as one of our errors; what was not thrown on purpose goes to the log and nowhere else. */
function explained(thrown: unknown, c: Context<Env>, log: Log): BulkheadError {
  if (thrown instanceof HTTPException) return ofLibrary(thrown);
  const error = toBulkheadError(thrown);
  if (error.status >= 500)
    log.error(
      { request_id: c.get('requestId'), code: error.code, error: summarizeError(error.cause) },
      'request failed',
    );
  return error;
}

/** hono's own refusals, all about the body. */
function ofLibrary({ status }: HTTPException): BulkheadError {
  if (status === 415)
    return new BulkheadError('unsupported_media_type', 'Send the body as application/json.');
  if (status === 413) return new BulkheadError('payload_too_large', 'The body is too large.');
  return new BulkheadError('malformed_json', 'The body could not be read as JSON.');
}
