import { sql } from 'kysely';
import { BulkheadError } from '../errors.ts';
import {
  type ClassId,
  classId,
  type Instant,
  instant,
  type PrincipalId,
  principalId,
} from '../policy/ids.ts';
import type { Authority, CallerIdentity, PolicyEpoch } from './authority.ts';
import type { Database, Work } from './database.ts';
import { KEPT } from './kept-plan.ts';
import type { CredentialRight } from './session-context.ts';

/** What can be bound besides reading; `unmask:<kind>` lets a kind of entity be shown. */
export const RIGHTS = ['ingest', 'label', 'grant', 'audit', 'administer'] as const;
export type Right = (typeof RIGHTS)[number];

/** A role binding as it is stored. Instants in milliseconds since 1970. */
export interface BindingRow {
  readonly id: number;
  readonly principal: string;
  readonly container: string;
  readonly right: string;
  readonly from: number | null;
  readonly until: number | null;
}

/**
 * Makes this the only change of the tenant's policy until the transaction ends, and says which epoch it starts
 * from. Comes first in a unit of work of role `admin`; the audit log's locks come last.
 */
export async function lockPolicy(trx: Work): Promise<PolicyEpoch> {
  const { rows } = await sql<PolicyEpoch>`select incarnation, counter from bulkhead.lock_policy()`.execute(
    trx,
  );
  if (rows[0] === undefined) throw new Error('the tenant has no policy epoch');
  return rows[0];
}

/**
 * `lockPolicy`, and then whether none of the caller's credentials is revoked, which none can be before the transaction
 * is over, in one round trip.
 */
export async function lockForCaller(
  trx: Work,
  { revocable }: Pick<Authority, 'revocable'>,
): Promise<PolicyEpoch & { readonly hold: boolean }> {
  // a function in `from` has returned before the list is computed of its row
  const { rows } = await sql<PolicyEpoch & { hold: boolean }>`${KEPT}
    select incarnation, counter, bulkhead.lock_credentials(${JSON.stringify(revocable)}::text::jsonb) as hold
    from bulkhead.lock_policy()`.execute(trx);
  if (rows[0] === undefined) throw new Error('the tenant has no policy epoch');
  return rows[0];
}

/** The rights that the caller of this unit of work holds on a class, an acting service's limits counted. */
export async function rightsOn(trx: Work, cls: ClassId): Promise<ReadonlySet<Right>> {
  const { rows } = await sql<{ right: Right }>`
    select r as "right" from unnest(${[...RIGHTS]}::text[]) r where bulkhead.holds_right(${cls}, r)`.execute(
    trx,
  );
  return new Set(rows.map((row) => row.right));
}

/**
 * What concerns the whole tenant hangs on the root container.
 * @param role whose unit of work asks
 * @throws BulkheadError `right_missing`, `insufficient_scope`
 */
export async function requireRootRight(
  database: Database,
  role: 'admin' | 'audit',
  { context }: Authority,
  right: Right,
): Promise<void> {
  requireCredentialRight(context, right);
  const rights = await database.unitOfWork(role, context, async (trx) => {
    const { rows } = await sql<{ rights: Right[] }>`select bulkhead.root_rights() as rights`.execute(trx);
    return rows[0]?.rights ?? [];
  });
  if (!rights.includes(right)) throw rightMissing(right, '/');
}

/**
 * Whether the credential is for this, whatever its subject may: asked first, so that the answer tells its holder what
 * to present instead and nothing of anything else.
 * @throws BulkheadError `insufficient_scope` (RFC 6750 §3.1)
 */
export function requireCredentialRight(
  { rights }: Pick<CallerIdentity, 'rights'>,
  right: CredentialRight,
): void {
  if (rights === undefined || rights.has(right)) return;
  throw new BulkheadError('insufficient_scope', `The credential that you sent is not for "${right}".`, {
    challenge: { scope: right },
  });
}

export function rightMissing(right: Right, path: string): BulkheadError {
  return new BulkheadError('right_missing', `This needs the right "${right}" on ${path}.`);
}

export async function rootContainer(trx: Work): Promise<ClassId> {
  const { rows } = await sql<{ id: number }>`select bulkhead.ctx_root() as id`.execute(trx);
  return classId(rows[0]?.id ?? Number.NaN);
}

/** Whether the caller may grant on any container at all. */
export async function grantsAnywhere(trx: Work): Promise<boolean> {
  const { rows } = await sql`
    select 1 from bulkhead.role_binding b
    join bulkhead.class_ancestor a on a.ancestor_id = b.container_id
    where b.right_name = 'grant' and b.principal_id = any ((select bulkhead.ctx_principals())::int[])
      and bulkhead.holds_right(a.class_id, 'grant') limit 1`.execute(trx);
  return rows.length > 0;
}

/**
 * The principals and every group that holds one of them, directly or not, now or at another time: `everyone`
 * only when it is among them.
 */
export async function groupsAround(
  trx: Work,
  principals: Iterable<PrincipalId>,
): Promise<ReadonlySet<PrincipalId>> {
  const { rows } = await sql<{ id: number }>`
    with recursive held(id) as (
      select unnest(${[...principals]}::int[])
      union
      select m.group_id from held join bulkhead.membership m on m.member_id = held.id)
    select id from held`.execute(trx);
  return new Set(rows.map((row) => principalId(row.id)));
}

/** The principals and every group that holds one of them now: a subject's, from its own key and what comes with it. */
export async function principalsNow(trx: Work, keys: readonly string[]): Promise<ReadonlySet<PrincipalId>> {
  const { rows } = await sql<{ id: number }>`
    with recursive held(id) as (
      select id from bulkhead.principal where key = any (${[...keys]}::text[])
      union
      select m.group_id from held join bulkhead.membership m on m.member_id = held.id
        and bulkhead.valid_at(m.valid_from, m.valid_until, (select bulkhead.ctx_now())))
    select id from held`.execute(trx);
  return new Set(rows.map((row) => principalId(row.id)));
}

/**
 * When, later than now, an entry, a clearance or a membership of one of the principals begins or ends.
 * @param principals with every group around them
 */
export async function boundariesOf(
  trx: Work,
  principals: ReadonlySet<PrincipalId>,
): Promise<readonly Instant[]> {
  const ids = sql`any (${[...principals]}::int[])`;
  const { rows } = await sql<{ at: number }>`
    select distinct bulkhead.ms(at) as at from (
      select valid_from, valid_until from bulkhead.entry where principal_id = ${ids}
      union all select valid_from, valid_until from bulkhead.clearance where principal_id = ${ids}
      union all select valid_from, valid_until from bulkhead.membership where member_id = ${ids}) v,
      lateral (values (v.valid_from), (v.valid_until)) b (at)
    where at > (select bulkhead.ctx_now()) order by 1`.execute(trx);
  return rows.map(({ at }) => instant(at));
}

/** The bindings of a principal. */
export async function bindingsOf(trx: Work, key: string): Promise<readonly BindingRow[]> {
  const { rows } = await sql<BindingRow>`${BINDINGS} where p.key = ${key} order by b.id`.execute(trx);
  return rows;
}

/** Needs `administer` on their containers. @returns how many of these there were */
export async function removeBindings(trx: Work, ids: readonly number[]): Promise<number> {
  const { rows } = await sql`
    delete from bulkhead.role_binding where id = any (${[...ids]}::bigint[]) returning id`.execute(trx);
  return rows.length;
}

const BINDINGS = sql`
  select b.id, p.key as principal, c.path as container, b.right_name as "right",
    bulkhead.ms(b.valid_from) as "from", bulkhead.ms(b.valid_until) as until
  from bulkhead.role_binding b join bulkhead.principal p on p.id = b.principal_id
  join bulkhead.access_class c on c.id = b.container_id`;
