import { type Instant, instant, type PrincipalId, type TenantId } from '../policy/ids.ts';
import type { ProcessRole } from './process-role.ts';

/** What a credential may be limited to: reading, or a right that its subject holds. */
export const CREDENTIAL_RIGHTS = ['read', 'ingest', 'label', 'grant', 'audit', 'administer'] as const;
export type CredentialRight = (typeof CREDENTIAL_RIGHTS)[number];

/** The caller as the database sees it for one transaction. All three enforcers share these values. */
export interface SessionContext {
  readonly tenant: TenantId;
  readonly principals: Iterable<PrincipalId>;
  readonly actor: PrincipalId | undefined;
  readonly actorPrincipals: Iterable<PrincipalId>;
  readonly now: Instant;
  /** The highest rank that authentication and directory freshness admit; −1 for none. */
  readonly maxRank: number;
  /** The rights that the credential is limited to, of those its subject holds; absent: it is not. */
  readonly rights?: ReadonlySet<CredentialRight> | undefined;
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
  return ENTER + setAll({ ...limits, role: `bulkhead_${role}`, ...(context && settingsOf(context)) }, true);
}

/**
 * The same settings as names and values, for a function that takes them for its caller: a statement on a connection that
 * has its role needs no transaction around it to be asked as somebody.
 */
export function contextJson(context: SessionContext): string {
  return JSON.stringify(settingsOf(context));
}

/** How those statements begin, and no other: the answer to one says nothing but that it did not fail. */
const ENTER = 'select /* enter */ ';

export function entersContext(statement: string): boolean {
  return statement.startsWith(ENTER);
}

/** The role and the limits for as long as the connection lives: every transaction on it sets what it needs besides. */
export function stayInRole(role: ProcessRole, limits: Readonly<Record<string, string>>): string {
  return `select ${setAll({ ...limits, role: `bulkhead_${role}` }, false)}`;
}

function setAll(settings: Readonly<Record<string, string>>, isLocal: boolean): string {
  return Object.entries(settings)
    .map(([name, value]) => `set_config('${name}', '${value}', ${isLocal})`)
    .join(', ');
}

function settingsOf(context: SessionContext): Readonly<Record<string, string>> {
  return {
    'bulkhead.tenant': String(Number(context.tenant)),
    'bulkhead.principals': arrayLiteral(context.principals),
    'bulkhead.principal_set': multirangeLiteral(context.principals),
    'bulkhead.actor': context.actor === undefined ? '' : String(Number(context.actor)),
    'bulkhead.actor_principals': arrayLiteral(context.actorPrincipals),
    'bulkhead.actor_principal_set': multirangeLiteral(context.actorPrincipals),
    'bulkhead.now': new Date(context.now).toISOString(),
    'bulkhead.max_rank': String(Number(context.maxRank)),
    'bulkhead.rights': context.rights === undefined ? '*' : rightsLiteral(context.rights),
  };
}

/** Of our own words only: nothing else gets into the statement. */
function rightsLiteral(rights: ReadonlySet<CredentialRight>): string {
  return `{${CREDENTIAL_RIGHTS.filter((right) => rights.has(right)).join(',')}}`;
}

/** Each id through `Number`: nothing but digits gets into the statement. */
function arrayLiteral(ids: Iterable<number>): string {
  return `{${Array.from(ids, Number).join(',')}}`;
}

/** The same ids as an int4multirange: groups that were made together are neighbours, and few ranges hold many. */
function multirangeLiteral(ids: Iterable<number>): string {
  const ranges: { from: number; to: number }[] = [];
  for (const id of Array.from(ids, Number).sort((a, b) => a - b)) {
    const last = ranges.at(-1);
    if (last !== undefined && id <= last.to + 1) last.to = id;
    else ranges.push({ from: id, to: id });
  }
  return `{${ranges.map(({ from, to }) => `[${from},${to}]`).join(',')}}`;
}
