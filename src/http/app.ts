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
import { presentedCredentials, toIdentity } from './authenticate.ts';
import { authzenMetadataRoutes, authzenRoutes, keepRequestId } from './authzen.ts';
import { callerWatch, type WatchCaller } from './caller-watch.ts';
import { type Env, newRoutes } from './env.ts';
import { observeRequests } from './observe.ts';
import { describeApi } from './openapi.ts';
import { type PageOptions, pages } from './pages/pages.ts';
import { problemHeaders, problemResponse } from './problem.ts';
import { challengeOptions, type ProtectedResource, protectedResourceRoutes } from './protected-resource.ts';
import { chargedServices } from './rate-limit-cost.ts';
import { limitCallers, limitStrangers, type RequestLimits, tellLimits } from './rate-limit-requests.ts';
import { RefusalLog } from './refusals.ts';
import { type AppRole, hasApi, hasPages, onlyServed, serves } from './role-routes.ts';
import { apiKeyRoutes } from './routes/api-keys.ts';
import { auditRoutes } from './routes/audit.ts';
import { batchRoutes } from './routes/batch.ts';
import { containerRoutes } from './routes/containers.ts';
import { directoryRoutes } from './routes/directory.ts';
import { documentRoutes } from './routes/documents.ts';
import { encryptionRoutes } from './routes/encryption.ts';
import { explainRoutes } from './routes/explain.ts';
import { indexRoutes } from './routes/index-operations.ts';
import { indexRepairRoutes } from './routes/index-repair.ts';
import { issuerRoutes } from './routes/issuers.ts';
import { operationRoutes } from './routes/operations.ts';
import { principalRoutes } from './routes/principals.ts';
import { retrieveRoutes } from './routes/retrieve.ts';
import { revocationRoutes } from './routes/revocations.ts';
import { securityEventRoutes } from './routes/security-events.ts';
import { scimErrorResponse } from './scim/requests.ts';
import { scimRoutes } from './scim/routes.ts';
import type { Caller, Services } from './services.ts';

export interface AppOptions extends Omit<PageOptions, 'explains'> {
  /** What the process is: no route of another role is served. */
  readonly role?: AppRole | undefined;
  /** Who runs the one command that this answers; absent = callers show a token. */
  readonly operator?: Caller | undefined;
  readonly version: string;
  readonly log: Log;
  readonly newRequestId: () => string;
  /** How often a stream asks whether its caller still holds; two seconds by default, and never set but by tests. */
  readonly decideStreamsEveryMs?: number | undefined;
  /** Told of each request, for the metrics. */
  readonly onRequest?: ((request: ObservedRequest) => void) | undefined;
  /** Absent where no network is listened to. */
  readonly limits: RequestLimits | undefined;
  /** How the service describes itself to clients that it refuses; absent = it does not. */
  readonly resource?: ProtectedResource | undefined;
  /** Applications of their own, served before and outside of everything here: the development identity provider. */
  readonly mounts?: readonly { readonly path: string; readonly app: Hono<{ Bindings: HttpBindings }> }[];
}

export interface BulkheadApp {
  readonly fetch: OpenAPIHono<Env>['fetch'];
  /** Records a request whose headers nobody read to their end. */
  headersTooLarge(): void;
  /** Writes what is still to be recorded. */
  close(): Promise<void>;
}

/** Every error becomes a response; nothing is thrown. */
export function createApp(given: Services, options: AppOptions): BulkheadApp {
  const { log, publicUrl, now, role = 'all', limits, resource } = options;
  const services = limits === undefined ? given : chargedServices(given, limits, options.levels);
  const challenge = resource && challengeOptions(resource);
  const refusals = new RefusalLog({
    now,
    record: (refusal) => services.audit.refused(refusal),
    onFailure: (error) => log.error({ error: summarizeError(error) }, 'refusal not recorded'),
  });
  const app = newRoutes();
  const api = (c: Context<Env>, error: BulkheadError) =>
    isScim(c.req.path)
      ? scimErrorResponse(error, problemHeaders(error, challenge))
      : problemResponse(error, c.get('requestId'), challenge);
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
  if (limits !== undefined) app.use(tellLimits(limits), limitStrangers(limits));
  app.use(methodNotAllowed({ app, onMethodNotAllowed: (c, methods) => answerMethods(c, methods, show) }));
  app.use('/access/*', keepRequestId);
  if (hasApi(role))
    for (const path of WITH_CALLER) {
      app.use(path, authenticated(services, options));
      if (limits !== undefined) app.use(path, limitCallers(limits));
    }
  app.onError((thrown, c) => show(c, explained(thrown, c, log)));
  app.notFound((c) => show(c, new BulkheadError('not_found', 'There is no such path.')));

  const watchCaller = callerWatch(services, refusals, options.decideStreamsEveryMs);
  for (const routes of allRoutes(services, options, watchCaller)) app.route('/', onlyServed(routes, role));
  if (web !== undefined) app.route('/', onlyServed(web.routes, role));
  if (hasApi(role) && resource !== undefined)
    app.route('/', onlyServed(protectedResourceRoutes(resource), role));
  if (hasApi(role)) {
    const description = describeApi(app, options.version, publicUrl.origin);
    app.get('/openapi.json', (c) => c.json(description));
  }

  return {
    fetch: app.fetch,
    headersTooLarge: () => void refusals.note(HEADERS_TOO_LARGE),
    close: () => refusals.close(),
  };
}

function authenticated(
  services: Services,
  { operator, publicUrl }: Pick<AppOptions, 'operator' | 'publicUrl'>,
): MiddlewareHandler<Env> {
  return async (c, next) => {
    if (operator !== undefined) {
      c.set('caller', operator);
      return next();
    }
    const caller = await services.authenticate(presentedCredentials(c, publicUrl));
    const { expiresAt } = caller;
    c.set('caller', { identity: toIdentity(caller), requestId: c.get('requestId'), expiresAt });
    return next();
  };
}

function allRoutes(services: Services, options: AppOptions, watchCaller: WatchCaller) {
  const { log, publicUrl, levels } = options;
  return [
    retrieveRoutes(services, levels),
    documentRoutes(services),
    batchRoutes(services, options, watchCaller),
    containerRoutes(services),
    principalRoutes(services),
    apiKeyRoutes(services),
    explainRoutes(services),
    authzenRoutes(services),
    authzenMetadataRoutes(publicUrl),
    auditRoutes(services),
    operationRoutes(services),
    issuerRoutes(services),
    indexRoutes(services, log, watchCaller),
    indexRepairRoutes(services, log, watchCaller),
    encryptionRoutes(services, log, watchCaller),
    revocationRoutes(services),
    securityEventRoutes(services),
    ...(services.scim === undefined ? [] : [scimRoutes(services.scim, publicUrl.origin)]),
    ...(services.directory === undefined ? [] : [directoryRoutes(services.directory)]),
  ];
}

/** Of nobody, and for nothing: not a line of it was believed. */
const HEADERS_TOO_LARGE = {
  tenant: undefined,
  subject: null,
  actor: null,
  request: null,
  code: 'headers_too_large',
  status: 431,
  route: 'none',
} as const;

/** Where a credential is asked for. */
const WITH_CALLER = ['/v1/*', '/access/*', '/scim/*'];

const API_PATHS = /^\/((v1|access|scim|\.well-known)(\/|$)|healthz$|readyz$|openapi\.json$|security-events$)/;

function isApi(path: string): boolean {
  return API_PATHS.test(path);
}

function isScim(path: string): boolean {
  return path.startsWith('/scim/');
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
