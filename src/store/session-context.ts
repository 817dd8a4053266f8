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

/**
 * One statement that takes the role and, with a context, the caller's settings, until the transaction ends. It is
 * written out, without parameters, so that it needs no preparing; it holds numbers and our own names only.
 */
export function enterContext(role: ProcessRole, context: SessionContext | undefined): RawBuilder<unknown> {
  const settings = { role: `bulkhead_${role}`, ...(context && settingsOf(context)) };
  const calls = Object.entries(settings).map(
    ([name, value]) => sql`set_config(${sql.lit(name)}, ${sql.lit(value)}, true)`,
  );
  return sql`select ${sql.join(calls)}`;
}

function settingsOf(context: SessionContext): Readonly<Record<string, string>> {
  return {
    'bulkhead.tenant': String(context.tenant),
    'bulkhead.principals': arrayLiteral(context.principals),
    'bulkhead.actor': context.actor === undefined ? '' : String(context.actor),
    'bulkhead.actor_principals': arrayLiteral(context.actorPrincipals),
    'bulkhead.now': new Date(context.now).toISOString(),
    'bulkhead.max_rank': String(context.maxRank),
  };
}

function arrayLiteral(ids: Iterable<number>): string {
  return `{${[...ids].join(',')}}`;
}
