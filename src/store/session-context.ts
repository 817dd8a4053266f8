import { type RawBuilder, sql } from 'kysely';
import type { Instant, PrincipalId, TenantId } from '../policy/ids.ts';
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

/** One statement that takes the role and, with a context, the caller's settings, until the transaction ends. */
export function enterContext(role: ProcessRole, context: SessionContext | undefined): RawBuilder<unknown> {
  const takeRole = sql`set_config('role', ${`bulkhead_${role}`}, true)`;
  if (context === undefined) return sql`select ${takeRole}`;
  return sql`select ${takeRole},
    set_config('bulkhead.tenant', ${String(context.tenant)}, true),
    set_config('bulkhead.principals', ${arrayLiteral(context.principals)}, true),
    set_config('bulkhead.actor', ${context.actor === undefined ? '' : String(context.actor)}, true),
    set_config('bulkhead.actor_principals', ${arrayLiteral(context.actorPrincipals)}, true),
    set_config('bulkhead.now', ${new Date(context.now).toISOString()}, true),
    set_config('bulkhead.max_rank', ${String(context.maxRank)}, true)`;
}

function arrayLiteral(ids: Iterable<number>): string {
  return `{${[...ids].join(',')}}`;
}
