/** Where limits are met on a request's way: strangers by address before anything, callers once they are known. */

import type { BlockList } from 'node:net';
import type { HttpBindings } from '@hono/node-server';
import type { Context, MiddlewareHandler } from 'hono';
import { isBulkheadError } from '../errors.ts';
import type { CallerIdentity } from '../store/authority.ts';
import type { Env } from './env.ts';
import { clientAddress } from './rate-limit-address.ts';
import { type LimitName, RateLimited, type RateLimits, type Standing } from './rate-limits.ts';

export interface RequestLimits {
  readonly limits: RateLimits;
  /** Whose `X-Forwarded-For` is believed. */
  readonly trustedProxies: BlockList;
}

/** Probes come often, and from one address; they do no work for anybody. */
const PROBES = new Set(['/healthz', '/readyz']);
const SIGN_IN = /^\/(signin\/|callback(\/|$)|step-up$)/;
const INGESTION = /^\/v1\/documents(:batch|:pending)?$/;

/** Comes first: nothing is done for an address that asks too much, not even looking at its credentials. */
export function limitStrangers(to: RequestLimits): MiddlewareHandler<Env> {
  return async (c, next) => {
    const { limits, trustedProxies } = to;
    if (PROBES.has(c.req.path)) return next();
    const address = clientAddress(peerOf(c), c.req.header('x-forwarded-for'), trustedProxies);
    await limits.take('address', address);
    await limits.requireRoom('failures', address);
    if (SIGN_IN.test(c.req.path)) await limits.take('signIn', address);
    await next();
    if (isNotAccepted(c)) await limits.charge('failures', address, 1);
  };
}

/** Comes after authentication and before all other work. */
export function limitCallers(to: RequestLimits): MiddlewareHandler<Env> {
  return async (c, next) => {
    const { limits } = to;
    const { identity } = c.get('caller');
    for (const [limit, key] of partiesOf(identity, mainLimitOf(c))) await limits.take(limit, key);
    await next();
  };
}

/**
 * Comes around both: tells callers how they stand (draft-ietf-httpapi-ratelimit-headers-10). Of limits that they share
 * with others only the one that was met is told, and what others received is in none: the cost is each caller's own.
 */
export function tellLimits(to: RequestLimits): MiddlewareHandler<Env> {
  return async (c, next) => {
    await next();
    // a low number in a redirection would be taken for its target's (§6 of the draft)
    if (c.res.status >= 300 && c.res.status < 400) return;
    const standings = await standingsOf(c, to.limits);
    if (standings.length === 0) return;
    c.res.headers.set('ratelimit-policy', standings.map(policyItem).join(', '));
    c.res.headers.set('ratelimit', standings.map(limitItem).join(', '));
  };
}

/** Everything that the cost of an answer may depend on is in the key, so that it tells nothing to anybody else. */
export function costKey({ tenant, user, actor, acr, revocable = [] }: CallerIdentity): string {
  const keys = revocable.filter(({ kind }) => kind === 'key').map(({ id }) => id);
  return JSON.stringify([tenant, user, actor ?? null, acr ?? null, keys]);
}

/** Machines that keep documents and the directory current have more to say than people. */
function mainLimitOf({ req }: Context<Env>): 'subject' | 'provisioning' {
  const isIngestion = req.method !== 'GET' && INGESTION.test(req.path);
  return isIngestion || req.path.startsWith('/scim/') ? 'provisioning' : 'subject';
}

function partiesOf(
  { tenant, user, actor, revocable = [] }: CallerIdentity,
  main: LimitName,
): readonly (readonly [LimitName, string])[] {
  const of = (who: string) => JSON.stringify([tenant, who]);
  const parties: (readonly [LimitName, string])[] = [[main, of(user)]];
  if (actor !== undefined) parties.push(['actor', of(actor)]);
  for (const { kind, id } of revocable) if (kind === 'key' || kind === 'client') parties.push([kind, of(id)]);
  return parties;
}

async function standingsOf(c: Context<Env>, limits: RateLimits): Promise<readonly Standing[]> {
  const identity = (c.get('caller') as Env['Variables']['caller'] | undefined)?.identity;
  const met = c.error instanceof RateLimited ? [c.error.standing] : [];
  if (identity === undefined) return met;
  const own = await Promise.all([
    limits.standing(mainLimitOf(c), JSON.stringify([identity.tenant, identity.user])),
    limits.standing('cost', costKey(identity)),
  ]);
  return [...met, ...own.filter(({ limit }) => limit !== met[0]?.limit)];
}

/** Structured fields (RFC 9651): lists of strings with parameters. */
function policyItem({ limit, rule }: Standing): string {
  const unit = limit === 'cost' ? ';qu="bulkhead-points"' : '';
  return `"${limit}";q=${rule.points};w=${rule.seconds}${unit}`;
}

function limitItem({ limit, remaining, resetSeconds }: Standing): string {
  return `"${limit}";r=${remaining};t=${resetSeconds}`;
}

/** A credential that was looked at, or none at all: not a refusal of somebody known. */
function isNotAccepted(c: Context<Env>): boolean {
  const isKnown = (c.get('caller') as Env['Variables']['caller'] | undefined) !== undefined;
  return !isKnown && isBulkheadError(c.error) && c.error.status === 401;
}

function peerOf(c: Context<Env>): string | undefined {
  return (c.env as Partial<HttpBindings> | undefined)?.incoming?.socket?.remoteAddress;
}
