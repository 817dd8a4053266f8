import type { Context, MiddlewareHandler } from 'hono';
import { matchedRoutes } from 'hono/route';
import { isBulkheadError } from '../errors.ts';
import type { Log } from '../telemetry/log.ts';
import type { ObservedRequest } from '../telemetry/metrics.ts';
import type { Env } from './env.ts';
import { RateLimited } from './rate-limits.ts';
import type { RefusalLog } from './refusals.ts';

interface ObserveOptions {
  readonly log: Log;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  readonly newRequestId: () => string;
  readonly refusals: RefusalLog;
  readonly onRequest?: ((request: ObservedRequest) => void) | undefined;
}

/** Around every request: its id, one line in the log, a record when it was turned away, and no caching. */
export function observeRequests({
  log,
  now,
  newRequestId,
  refusals,
  onRequest,
}: ObserveOptions): MiddlewareHandler<Env> {
  return async (c, next) => {
    const startedAt = now();
    const requestId = newRequestId();
    c.set('requestId', requestId);
    await next();
    await noteRefusal(c, refusals);
    // set on the answer that is there: `c.header` makes another one, whose body is a stream
    const { headers } = c.res;
    headers.set('x-request-id', c.get('givenRequestId') ?? requestId);
    if (leavesBodyUnread(c)) headers.set('connection', 'close');
    if (!headers.has('cache-control')) headers.set('cache-control', 'no-store');
    const observed = {
      route: routeOf(c),
      status: c.res.status,
      ms: Math.round(now() - startedAt),
      ...(c.error instanceof RateLimited && { limit: c.error.standing.limit }),
    };
    onRequest?.(observed);
    log.info({ request_id: requestId, method: c.req.method, ...observed }, 'request');
  };
}

/** The server then cuts the connection before long, so nobody should send another request over it. */
function leavesBodyUnread({ req, res }: Context<Env>): boolean {
  const hasBody =
    Number(req.header('content-length') ?? 0) > 0 || req.header('transfer-encoding') !== undefined;
  return hasBody && res.status >= 400 && (res.status === 413 || !req.raw.bodyUsed);
}

/** Nobody known, nothing allowed, too much. */
const REFUSALS = new Set([401, 403, 429]);

async function noteRefusal(c: Context<Env>, refusals: RefusalLog): Promise<void> {
  const { error } = c;
  if (!isBulkheadError(error) || !REFUSALS.has(error.status)) return;
  const identity = (c.get('caller') as Env['Variables']['caller'] | undefined)?.identity;
  await refusals.note({
    tenant: identity?.tenant,
    subject: identity?.user ?? null,
    actor: identity?.actor ?? null,
    request: c.get('requestId'),
    code: error.code,
    status: error.status,
    route: routeOf(c),
  });
}

/** The pattern, never the path: paths hold ids. */
function routeOf(c: Context<Env>): string {
  const routes = matchedRoutes(c).filter(({ method }) => method !== 'ALL');
  return routes.at(-1)?.path ?? 'none';
}
