import { type Instant, instant, type PrincipalId, type TenantId } from '../policy/ids.ts';
import type { ProcessRole } from './process-role.ts';

/** The caller as the database sees it for one transaction. All three enforcers share these values. */
export interface SessionContext {
  readonly tenant: TenantId;
  readonly principals: Iterable<PrincipalId>;
  readonly actor: PrincipalId | undefined;
  readonly actorPrincipals: Iterable<PrincipalId>;
  readonly now: Instant;
  /** The highest rank that authentication and directory freshness admit; −1 for none. */
  readonly maxRank: number;
}

/** A tenant without a caller: for work that rests on nobody's rights. */
export function nobodyIn(tenant: TenantId): SessionContext {
  return { tenant, principals: [], actor: undefined, actorPrincipals: [], now: instant(0), maxRank: -1 };
}

/**
 * One statement that takes the role and, with a context, the caller's settings, until the transaction ends. It is
 * written out, without parameters, so that it needs no preparing; it holds numbers and our own names only.
 * @param limits settings of every transaction
 */
export function enterContext(
  role: ProcessRole,
  context: SessionContext | undefined,
  limits: Readonly<Record<string, string>>,
): string {
  const settings = { ...limits, role: `bulkhead_${role}`, ...(context && settingsOf(context)) };
  const calls = Object.entries(settings).map(([name, value]) => `set_config('${name}', '${value}', true)`);
  return `select ${calls.join(', ')}`;
}

function settingsOf(context: SessionContext): Readonly<Record<string, string>> {
  return {
    'bulkhead.tenant': String(Number(context.tenant)),
    'bulkhead.principals': arrayLiteral(context.principals),
    'bulkhead.actor': context.actor === undefined ? '' : String(Number(context.actor)),
    'bulkhead.actor_principals': arrayLiteral(context.actorPrincipals),
    'bulkhead.now': new Date(context.now).toISOString(),
    'bulkhead.max_rank': String(Number(context.maxRank)),
  };
}

/** Each id through `Number`: nothing but digits gets into the statement. */
function arrayLiteral(ids: Iterable<number>): string {
  return `{${Array.from(ids, Number).join(',')}}`;
}
