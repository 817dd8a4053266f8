/** Members of provisioned groups: users and groups of the same source, and nobody else. */

import type { Changer } from '../../admin/change.ts';
import { isUuid } from '../../admin/reach.ts';
import { OwnRaise, ownPrincipals, refuseOwn } from '../../admin/separation-of-duties.ts';
import type { AuditEvent } from '../../audit/audit-log.ts';
import type { PrincipalId } from '../../policy/ids.ts';
import {
  addMembers,
  findProvisioned,
  nestingWith,
  type Provisioned,
  removeMembers,
} from '../../store/directory-groups.ts';
import { eventOf, type ScimBinding } from './client.ts';
import type { MemberChange } from './group-patch.ts';
import { badRequest } from './scim-error.ts';

/** Groups in groups: deeper than any organisation, and soon walked through. */
const MAX_NESTING = 32;
/** Names in one record. */
const BATCH = 500;

/** The group whose members change. */
interface Target {
  readonly principalId: PrincipalId;
  readonly principal: string;
}

/**
 * Writes what differs: a member more in a group of thousands is one row.
 * @returns the records; none when nothing changed
 * @throws ScimError `invalidValue` for a member that the source does not have, and for a group inside itself;
 *   OwnRaise when it would change what the client itself is in
 */
export async function changeMembers(
  changer: Changer,
  binding: ScimBinding,
  group: Target,
  { others, add, remove }: MemberChange,
): Promise<readonly AuditEvent[]> {
  const { trx } = changer;
  const joining = await knownMembers(changer, [...add]);
  await refuseBadNesting(changer, group, joining);
  const own = await ownPrincipals(trx, changer.authority);
  refuseOwn(
    own,
    'membership',
    joining.map(({ principalId, principal }) => ({ id: principalId, key: principal })),
  );
  const ids = joining.map(({ principalId }) => principalId);
  const gone =
    others === 'leave'
      ? await removeMembers(trx, group.principalId, { except: ids })
      : await leave(changer, group, [...remove]);
  // what a client is denied by a group, it may not leave either
  if (gone.some(({ id }) => own.has(id)) || (gone.length > 0 && own.has(group.principalId)))
    throw new OwnRaise('membership', group.principal);
  const added = await addMembers(trx, group.principalId, ids);
  return recordsOf(
    changer,
    binding,
    group,
    added,
    gone.map(({ key }) => key),
  );
}

async function knownMembers({ trx }: Changer, ids: readonly string[]): Promise<readonly Provisioned[]> {
  const found = await findProvisioned(trx, ids.filter(isUuid));
  if (found.length < ids.length)
    throw badRequest('invalidValue', 'A member must be a user or a group that this client created.');
  return found;
}

/** Whoever is not there leaves as easily as whoever is. */
async function leave({ trx }: Changer, group: Target, ids: readonly string[]) {
  if (ids.length === 0) return [];
  const leaving = await findProvisioned(trx, ids.filter(isUuid));
  return removeMembers(trx, group.principalId, { only: leaving.map(({ principalId }) => principalId) });
}

async function refuseBadNesting(
  { trx }: Changer,
  { principalId }: Target,
  joining: readonly Provisioned[],
): Promise<void> {
  const groups = joining.filter(({ kind }) => kind === 'Group').map((member) => member.principalId);
  if (groups.length === 0) return;
  const { isCircular, depth } = await nestingWith(trx, principalId, groups, MAX_NESTING + 1);
  if (isCircular) throw badRequest('invalidValue', 'A group cannot hold itself, directly or through others.');
  if (depth > MAX_NESTING) throw badRequest('invalidValue', `Groups are nested ${MAX_NESTING} deep at most.`);
}

function recordsOf(
  changer: Changer,
  binding: ScimBinding,
  { principal: group }: Target,
  added: readonly string[],
  removed: readonly string[],
): readonly AuditEvent[] {
  const count = Math.max(Math.ceil(added.length / BATCH), Math.ceil(removed.length / BATCH));
  return Array.from({ length: count }, (_, i) =>
    eventOf(changer, binding, 'directory.members', {
      group,
      added: added.slice(i * BATCH, (i + 1) * BATCH),
      removed: removed.slice(i * BATCH, (i + 1) * BATCH),
    }),
  );
}
