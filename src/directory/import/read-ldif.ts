/** People and groups of an LDAP directory's export. */
import { badFile, checkFile, type DirectoryFile, type FileMembership } from './directory-file.ts';
import { type LdifRecord, parseLdif } from './parse-ldif.ts';

export interface LdifNames {
  /** Which attribute is the subject in people's tokens; `uid` by default. */
  readonly userId?: string | undefined;
  /** Which attribute names a group; it should never change. `cn` by default. */
  readonly groupId?: string | undefined;
}

const PEOPLE = new Set(['inetorgperson', 'organizationalperson', 'person', 'user', 'posixaccount']);
const GROUPS = new Set(['groupofnames', 'groupofuniquenames', 'group', 'posixgroup', 'groupofmembers']);
/** Active Directory's userAccountControl: the account is disabled. */
const ACCOUNT_DISABLED = 0x2;

interface Place {
  readonly kind: 'user' | 'group';
  readonly id: string;
}

/**
 * Entries that are neither people nor groups are passed over.
 * @throws BulkheadError `invalid_request`; a member that is not in the file is one
 */
export function readLdif(text: string, { userId = 'uid', groupId = 'cn' }: LdifNames): DirectoryFile {
  const records = parseLdif(text);
  const people = records.filter((record) => isOf(PEOPLE, record));
  const groups = records.filter((record) => isOf(GROUPS, record));
  const places = new Map<string, Place>([
    ...people.map((each): [string, Place] => [dnKey(each.dn), { kind: 'user', id: idOf(each, userId) }]),
    ...groups.map((each): [string, Place] => [dnKey(each.dn), { kind: 'group', id: idOf(each, groupId) }]),
  ]);
  return checkFile({
    accounts: people.map((record) => ({
      id: idOf(record, userId),
      displayName: first(record, 'displayname') ?? first(record, 'cn') ?? idOf(record, userId),
      email: first(record, 'mail'),
      active: isActive(record),
    })),
    groups: groups.map((record) => ({
      id: idOf(record, groupId),
      displayName: first(record, 'displayname') ?? first(record, 'cn') ?? idOf(record, groupId),
    })),
    memberships: groups.flatMap((record) => membersOf(record, idOf(record, groupId), places)),
  });
}

function isOf(classes: ReadonlySet<string>, { attributes }: LdifRecord): boolean {
  return (attributes.get('objectclass') ?? []).some((name) => classes.has(name.toLowerCase()));
}

function first({ attributes }: LdifRecord, name: string): string | undefined {
  return attributes.get(name.toLowerCase())?.find((value) => value.trim() !== '');
}

function idOf(record: LdifRecord, attribute: string): string {
  const id = first(record, attribute);
  if (id === undefined) throw badFile([{ path: record.dn, message: `has no ${attribute}` }]);
  return id;
}

/**
 * 389 Directory Server, then Active Directory; a directory that has neither says nothing.
 * @throws BulkheadError `invalid_request` for a word that is neither: it may mean that the account is locked
 */
function isActive(record: LdifRecord): boolean | undefined {
  const said = ['nsaccountlock', 'useraccountcontrol'].map((name) =>
    first(record, name)?.trim().toLowerCase(),
  );
  if (said.every((value) => value === undefined)) return undefined;
  const [lock = 'false', control = '0'] = said;
  if (lock !== 'true' && lock !== 'false')
    throw badFile([{ path: record.dn, message: 'has an nsAccountLock other than true and false' }]);
  if (!/^\d{1,10}$/.test(control))
    throw badFile([{ path: record.dn, message: 'has a userAccountControl that is no number' }]);
  return lock === 'false' && (Number(control) & ACCOUNT_DISABLED) === 0;
}

function membersOf(
  record: LdifRecord,
  group: string,
  places: ReadonlyMap<string, Place>,
): readonly FileMembership[] {
  const byName = ['member', 'uniquemember'].flatMap((name) => record.attributes.get(name) ?? []);
  const named = byName
    .filter((dn) => dn !== '')
    .map((dn): Place => places.get(dnKey(dn)) ?? { kind: 'user', id: dn });
  // posixGroup names people by their uid
  const listed = (record.attributes.get('memberuid') ?? []).map((id): Place => ({ kind: 'user', id }));
  const members = new Map([...named, ...listed].map((member) => [`${member.kind} ${member.id}`, member]));
  return [...members.values()].map(({ kind, id }) => ({ group, kind, member: id }));
}

/** Names are compared without case and without spaces around their parts (RFC 4514, and what servers do). */
function dnKey(dn: string): string {
  return dn
    .toLowerCase()
    .replace(/\s*([,=+])\s*/g, '$1')
    .trim();
}
