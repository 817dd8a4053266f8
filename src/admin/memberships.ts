/** Who is in which group. The directory is administered at the root. */
import type { AuditEvent } from '../audit/audit-log.ts';
import { BulkheadError } from '../errors.ts';
import { instant, type PrincipalId } from '../policy/ids.ts';
import type { Subject } from '../policy/subject.ts';
import type { Validity } from '../policy/validity.ts';
import { classesBelow } from '../store/access-classes.ts';
import type { CallerIdentity } from '../store/authority.ts';
import type { Work } from '../store/database.ts';
import { type MembershipRow, Principals } from '../store/principals.ts';
import { principalsNow, rootContainer } from '../store/rights.ts';
import { type AdminCaller, type AdminParts, type Changer, makeChange, type Outcome } from './change.ts';
import {
  type HeldSubjects,
  heldAfterwards,
  heldSubjects,
  placesOf,
  refuseHeldGains,
} from './held-services.ts';
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
): Promise<void> =>
  changeMembers(parts, caller, 'setMembers', input.group, async (trx) => readMembers(trx, input.members));

/** Adds a member, or gives one that is there a new validity. @throws BulkheadError as `setMembers` */
export const addMember = (
  parts: AdminParts,
  caller: AdminCaller,
  input: { readonly group: string } & MemberInput,
): Promise<void> =>
  changeMembers(parts, caller, 'addMember', input.group, async (trx, present) => [
    ...present.filter(({ key }) => key !== input.member),
    ...(await readMembers(trx, [input])),
  ]);

/** @throws BulkheadError as `setMembers`; `not_found` when it is not a member */
export const removeMember = (
  parts: AdminParts,
  caller: AdminCaller,
  input: { readonly group: string; readonly member: string },
): Promise<void> =>
  changeMembers(parts, caller, 'removeMember', input.group, async (_, present) => {
    const left = present.filter(({ key }) => key !== input.member);
    if (left.length === present.length)
      throw new BulkheadError('not_found', 'This is not a member of the group.');
    return left;
  });

interface Membership extends Validity {
  readonly id: PrincipalId;
  readonly key: string;
}

async function readMembers(trx: Work, members: readonly MemberInput[]): Promise<readonly Membership[]> {
  const ids = await knownPrincipals(
    trx,
    members.map(({ member }) => member),
  );
  return members.map((input, i) => ({
    id: idOf(ids, input.member),
    key: input.member,
    ...readValidity(input, `members.${i}.valid_until`),
  }));
}

/** @param edit gives the members as they are to be; only what differs is written */
async function changeMembers(
  parts: AdminParts,
  caller: AdminCaller,
  operation: string,
  group: string,
  edit: (trx: Work, present: readonly Membership[]) => Promise<readonly Membership[]>,
): Promise<void> {
  if (!group.startsWith('group:')) throw invalid('group', 'must be group:<source>|<id>');
  await makeChange(parts, caller, {
    operation,
    locate: (authority) => requireDirectoryRight(parts, authority),
    apply: async (changer): Promise<Outcome<void>> => {
      const { trx, authority } = changer;
      const groupId = idOf(await knownPrincipals(trx, [group]), group);
      const present = (await Principals.within(trx).membersOf(group)).map(toMembership);
      const wanted = await edit(trx, present);
      if (wanted.some(({ id }) => id === groupId)) throw invalid('member', 'must not be the group itself');
      const added = wanted.filter((member) => !present.some((old) => isSame(old, member)));
      const removed = present.filter((old) => !wanted.some((member) => isSame(old, member)));
      const own = await ownPrincipals(trx, authority);
      refuseOwn(own, 'membership', added);
      const held = await heldSubjects(trx, authority);
      await write(trx, groupId, wanted, added, removed);
      if (removed.some(({ id }) => own.has(id)))
        await refuseOwnRelease(parts, caller.identity, changer, group, held);
      const events = [
        ...removed.map((member) => eventOf(changer, 'membership.removed', group, member)),
        ...added.map((member) => eventOf(changer, 'membership.added', group, member)),
      ];
      return { result: undefined, events };
    },
  });
}

async function write(
  trx: Work,
  group: PrincipalId,
  wanted: readonly Membership[],
  added: readonly Membership[],
  removed: readonly Membership[],
): Promise<void> {
  const principals = Principals.within(trx);
  const gone = removed.filter(({ id }) => !wanted.some((member) => member.id === id)).map(({ id }) => id);
  if (gone.length > 0) await principals.removeMembers(group, gone);
  for (const { id, ...validity } of added) await principals.setMember(group, id, validity);
}

/**
 * To leave a group that is denied something opens it, to oneself or to a service whose key one made. Asked of
 * the memberships as they now are, uncommitted.
 * @param held as they were before
 */
async function refuseOwnRelease(
  { scheme }: AdminParts,
  identity: CallerIdentity,
  { trx, authority }: Changer,
  group: string,
  held: HeldSubjects | undefined,
): Promise<void> {
  const { subject, now } = authority;
  const classes = await classesBelow(trx, await rootContainer(trx));
  const lookup = lookupIn(classes);
  const tokenGroups = identity.tokenGroups === 'unknown' ? [] : identity.tokenGroups;
  const left = narrowed(subject, await principalsNow(trx, [identity.user, 'everyone', ...tokenGroups]));
  const gains = ownGains(scheme, now, { subject, lookup }, { subject: left, lookup }, inPlace(classes));
  if (gains.length > 0) throw new OwnRaise('effect', group);
  if (held === undefined) return;
  const views = [
    { subjects: held, lookup },
    { subjects: await heldAfterwards(trx, held), lookup },
  ] as const;
  if (refuseHeldGains(scheme, now, group, views, placesOf(classes))) throw new OwnRaise('effect', group);
}

function narrowed(subject: Subject, principals: ReadonlySet<PrincipalId>): Subject {
  const clearances = subject.user.clearances.filter(({ principal }) => principals.has(principal));
  return { ...subject, user: { ...subject.user, principals, clearances } };
}

function toMembership({ member, memberId, from, until }: MembershipRow): Membership {
  return {
    id: memberId,
    key: member,
    validFrom: from === null ? undefined : instant(from),
    validUntil: until === null ? undefined : instant(until),
  };
}

function isSame(a: Membership, b: Membership): boolean {
  return a.id === b.id && a.validFrom === b.validFrom && a.validUntil === b.validUntil;
}

function eventOf(
  { authority, by }: Changer,
  kind: 'membership.added' | 'membership.removed',
  group: string,
  member: Membership,
): AuditEvent {
  const body = { ...by, group, member: member.key, ...interval(member) };
  return { tenant: authority.subject.tenant, kind, body };
}
