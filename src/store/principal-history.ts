/** What principals are in and cleared for at any time: enough to say what they are at a later instant, too. */
import { sql } from 'kysely';
import type { Clearance } from '../policy/clearance.ts';
import { instant, type PrincipalId, principalId } from '../policy/ids.ts';
import type { Validity } from '../policy/validity.ts';
import type { Work } from './database.ts';

/** One group's holding of one member. */
interface MembershipSpan extends Validity {
  readonly member: PrincipalId;
  readonly group: PrincipalId;
}

export interface PrincipalHistory {
  /** Whom it is about. */
  readonly principals: ReadonlySet<PrincipalId>;
  readonly memberships: readonly MembershipSpan[];
  readonly clearances: readonly Clearance[];
}

interface Span {
  readonly from: number | null;
  readonly until: number | null;
}

/**
 * In a unit of work of role `admin`, which sees all of the tenant.
 * @param around the principals with every group around them: `groupsAround`
 */
export async function historyOf(trx: Work, around: ReadonlySet<PrincipalId>): Promise<PrincipalHistory> {
  const ids = sql`any (${[...around]}::int[])`;
  const memberships = await sql<Span & { member: number; group: number }>`
    select member_id as member, group_id as "group", bulkhead.ms(valid_from) as "from",
      bulkhead.ms(valid_until) as until
    from bulkhead.membership where member_id = ${ids}`.execute(trx);
  const clearances = await sql<Span & { principal: number; rank: number; compartments: string[] }>`
    select principal_id as principal, rank, compartments, bulkhead.ms(valid_from) as "from",
      bulkhead.ms(valid_until) as until
    from bulkhead.clearance where principal_id = ${ids}`.execute(trx);
  return {
    principals: around,
    memberships: memberships.rows.map((row) => ({
      member: principalId(row.member),
      group: principalId(row.group),
      ...validityOf(row),
    })),
    clearances: clearances.rows.map((row) => ({
      principal: principalId(row.principal),
      rank: row.rank,
      compartments: new Set(row.compartments),
      ...validityOf(row),
    })),
  };
}

function validityOf({ from, until }: Span): Validity {
  return {
    validFrom: from === null ? undefined : instant(from),
    validUntil: until === null ? undefined : instant(until),
  };
}
