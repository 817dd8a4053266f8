/** SCIM users: each is the account `user:<issuer>|<subject>` of the directory. */
import { isDeepStrictEqual } from 'node:util';
import type { Changer, Outcome } from '../../admin/change.ts';
import { isUuid } from '../../admin/reach.ts';
import type { AuditEvent } from '../../audit/audit-log.ts';
import { parsePrincipal } from '../../policy/principal.ts';
import type { Work } from '../../store/database.ts';
import { Directory } from '../../store/directory.ts';
import {
  findAccount,
  findUser,
  groupsOfUsers,
  insertUser,
  isUserNameTaken,
  removeUser,
  revokeIssued,
  type ScimUserFields,
  type ScimUserRow,
  updateUser,
} from '../../store/directory-users.ts';
import {
  changing,
  eventOf,
  reading,
  requireVersion,
  type ScimBinding,
  type ScimCaller,
  type ScimParts,
} from './client.ts';
import { patchFields } from './patch-fields.ts';
import { readPatch } from './patch-operations.ts';
import { type Fields, isRecord, readExternalId, readFields } from './read-resource.ts';
import { userSchema } from './schemas.ts';
import { badRequest, noResource, taken } from './scim-error.ts';
import { type Json, userView } from './views.ts';

/** A resource with the version that its ETag names. */
export interface Versioned {
  readonly id: string;
  readonly version: number;
  readonly resource: Json;
}

/** @throws BulkheadError `right_missing`, `not_found` */
export const getUser = (parts: ScimParts, caller: ScimCaller, id: string): Promise<Versioned> =>
  reading(parts, caller, async (trx) => viewOf(trx, await known(trx, id), caller.base));

/**
 * A new SCIM id each time. The principal is the subject's: whoever comes back under the same subject is the same
 * principal, in no group.
 * @throws ScimError `invalidValue`, `uniqueness`
 */
export function createUser(parts: ScimParts, caller: ScimCaller, body: unknown): Promise<Versioned> {
  return changing(parts, caller, 'createUser', async (changer, binding) => {
    const id = parts.newId();
    // without a word on it, a new account is active
    const fields = toUserFields({ active: true, ...readUser(binding, body) });
    const principal = principalOf(binding, id, fields);
    if (await isUserNameTaken(changer.trx, fields.userName, id)) throw taken('userName');
    const before = await findAccount(changer.trx, principal);
    // whoever else vouches for the account keeps it
    if (before !== undefined && (before.isProvisioned || before.source !== binding.source))
      throw taken(binding.subjectAttribute);
    await writeAccount(changer.trx, binding, principal, fields);
    await insertUser(changer.trx, id, principal, fields);
    const change = before === undefined ? 'created' : 'returned';
    const events = [eventOf(changer, binding, 'directory.account', { principal, id, change })];
    if (before !== undefined && !before.isActive)
      events.push(eventOf(changer, binding, 'alert.account_returned', { principal }));
    return { result: await viewOf(changer.trx, await known(changer.trx, id), caller.base), events };
  });
}

/** @throws ScimError `invalidValue`, `uniqueness`, `mutability`, `precondition_failed`; `not_found` */
export const replaceUser = (
  parts: ScimParts,
  caller: ScimCaller,
  id: string,
  body: unknown,
  ifMatch?: string | undefined,
): Promise<Versioned> =>
  changeUser(parts, caller, 'replaceUser', id, ifMatch, (binding, { active }) => ({
    // left out, it is neither enabled nor disabled
    ...(active !== null && { active }),
    ...readUser(binding, body),
  }));

/** @throws ScimError as `replaceUser`, and `invalidPath`, `noTarget`, `invalidSyntax` */
export const patchUser = (
  parts: ScimParts,
  caller: ScimCaller,
  id: string,
  body: unknown,
  ifMatch?: string | undefined,
): Promise<Versioned> =>
  changeUser(parts, caller, 'patchUser', id, ifMatch, (binding, row) => {
    const operations = readPatch(userSchema(binding.subjectAttribute), body, row.id);
    return readUser(binding, patchFields(fieldsOf(row), operations));
  });

function changeUser(
  parts: ScimParts,
  caller: ScimCaller,
  operation: string,
  id: string,
  ifMatch: string | undefined,
  edit: (binding: ScimBinding, row: ScimUserRow) => Fields,
): Promise<Versioned> {
  return changing(parts, caller, operation, async (changer, binding) => {
    const { trx } = changer;
    const row = await known(trx, id);
    requireVersion(ifMatch, row.version);
    const fields = toUserFields(edit(binding, row));
    if (isDeepStrictEqual(toUserFields(fieldsOf(row)), fields))
      return { result: await viewOf(trx, row, caller.base), events: [] };
    // another subject would be another person, with this one's memberships
    if (principalOf(binding, row.id, fields) !== row.principal)
      throw badRequest('mutability', `"${binding.subjectAttribute}" is set once: it says who this is.`);
    if (await isUserNameTaken(trx, fields.userName, row.id)) throw taken('userName');
    await updateUser(trx, row.id, fields);
    await writeAccount(trx, binding, row.principal, fields);
    if (row.active === true && fields.active !== true)
      await revokeIssued(trx, row.principal, 'deactivated by its source');
    const events = [changed(changer, binding, row, fields)];
    return { result: await viewOf(trx, await known(trx, id), caller.base), events };
  });
}

/** The account is refused from now on, and is in no group that lets it in. @throws ScimError `precondition_failed`; `not_found` */
export function deleteUser(
  parts: ScimParts,
  caller: ScimCaller,
  id: string,
  ifMatch?: string | undefined,
): Promise<void> {
  return changing(parts, caller, 'deleteUser', async (changer, binding): Promise<Outcome<void>> => {
    const row = await known(changer.trx, id);
    requireVersion(ifMatch, row.version);
    await removeUser(changer.trx, binding.source, row);
    await writeAccount(changer.trx, binding, row.principal, { ...row, active: false });
    await revokeIssued(changer.trx, row.principal, 'deleted by its source');
    const { principal } = row;
    const events = [eventOf(changer, binding, 'directory.account', { principal, id, change: 'deleted' })];
    return { result: undefined, events };
  });
}

async function known(trx: Work, id: string): Promise<ScimUserRow> {
  const row = isUuid(id) ? await findUser(trx, id) : undefined;
  if (row === undefined) throw noResource();
  return row;
}

async function viewOf(trx: Work, row: ScimUserRow, base: string): Promise<Versioned> {
  const groups = await groupsOfUsers(trx, [row.principalId]);
  return {
    id: row.id,
    version: row.version,
    resource: userView(row, groups.get(row.principalId) ?? [], base),
  };
}

function changed(changer: Changer, binding: ScimBinding, row: ScimUserRow, to: ScimUserFields): AuditEvent {
  const { principal, id } = row;
  const [was, is] = [row.active === true, to.active === true];
  const change = was === is ? 'changed' : is ? 'enabled' : 'disabled';
  return eventOf(changer, binding, 'directory.account', { principal, id, change });
}

/** Both of them, or a patch could not name the one. */
function readUser({ subjectAttribute }: ScimBinding, body: unknown): Fields {
  const externalId = readExternalId(body);
  return {
    ...readFields(userSchema(subjectAttribute), body),
    ...(externalId !== undefined && { externalId }),
  };
}

function fieldsOf({ userName, externalId, displayName, active, attributes }: ScimUserRow): Fields {
  return {
    userName,
    ...(externalId !== null && { externalId }),
    ...(displayName !== null && { displayName }),
    ...(active !== null && { active }),
    ...attributes,
  };
}

function toUserFields(fields: Fields): ScimUserFields {
  const { userName, externalId, displayName, active, ...attributes } = fields;
  return {
    userName: String(userName),
    externalId: textOrNull(externalId),
    displayName: textOrNull(displayName),
    active: typeof active === 'boolean' ? active : null,
    attributes,
  };
}

function textOrNull(value: unknown): string | null {
  return typeof value === 'string' ? value : null;
}

function principalOf(binding: ScimBinding, id: string, { externalId, userName }: ScimUserFields): string {
  const subject = { id, externalId, userName }[binding.subjectAttribute];
  const principal = `user:${binding.issuer}|${subject ?? ''}`;
  if (subject === null || parsePrincipal(principal) === undefined)
    throw badRequest('invalidValue', `"${binding.subjectAttribute}" must say who signs in as this user.`);
  return principal;
}

/** Whom a person or a signal disabled the database keeps disabled, whatever the source says (migration 0042). */
function writeAccount(
  trx: Work,
  { source }: ScimBinding,
  principal: string,
  fields: ScimUserFields,
): Promise<void> {
  const status = fields.active === true ? 'active' : 'disabled';
  const account = { principal, source, displayName: nameOf(fields), email: emailOf(fields), status } as const;
  return Directory.within(trx).upsertAccounts([account]);
}

function nameOf({ displayName, userName, attributes: { name } }: ScimUserFields): string {
  const { formatted, givenName, familyName } = isRecord(name) ? name : {};
  const whole = [givenName, familyName].filter((part) => typeof part === 'string').join(' ');
  return [displayName, formatted, whole].find(isText) ?? userName;
}

function emailOf({ attributes: { emails } }: ScimUserFields): string | undefined {
  const all = Array.isArray(emails) ? emails.filter(isRecord) : [];
  const best = all.find(({ primary }) => primary === true) ?? all[0];
  return isText(best?.value) ? best.value : undefined;
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value.trim() !== '';
}
