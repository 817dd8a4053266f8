/** SCIM groups: each is the group `group:<source>|<SCIM id>` of the directory, so a name that comes back is another group. */
import { isUuid } from '../../admin/reach.ts';
import { ownPrincipals, refuseOwn } from '../../admin/separation-of-duties.ts';
import type { Work } from '../../store/database.ts';
import { Directory } from '../../store/directory.ts';
import {
  findGroup,
  insertGroup,
  membersOfGroups,
  removeGroup,
  type ScimGroupFields,
  type ScimGroupRow,
  updateGroup,
} from '../../store/directory-groups.ts';
import { changing, eventOf, reading, requireVersion, type ScimCaller, type ScimParts } from './client.ts';
import { changeMembers } from './group-members.ts';
import { type MemberChange, memberIds, patchGroup } from './group-patch.ts';
import { readPatch } from './patch-operations.ts';
import { type Projection, wants } from './projection.ts';
import { type Fields, isRecord, ownValue, readExternalId, readFields } from './read-resource.ts';
import { GROUP, type ResourceSchema } from './schemas.ts';
import { noResource } from './scim-error.ts';
import type { Versioned } from './users.ts';
import { groupView } from './views.ts';

/** A group has as many members as it has. */
const ALL = 1_000_000;

/** Members are read apart, and may be thousands. */
const FIELDS: ResourceSchema = {
  ...GROUP,
  attributes: GROUP.attributes.filter(({ name }) => name !== 'members'),
};

/** @throws BulkheadError `right_missing`, `not_found` */
export const getGroup = (
  parts: ScimParts,
  caller: ScimCaller,
  id: string,
  projection: Projection = {},
): Promise<Versioned> =>
  reading(parts, caller, async (trx) => viewOf(trx, await known(trx, id), caller.base, projection));

/** @throws ScimError `invalidValue` */
export function createGroup(
  parts: ScimParts,
  caller: ScimCaller,
  body: unknown,
  projection: Projection = {},
): Promise<Versioned> {
  return changing(parts, caller, 'createGroup', async (changer, binding) => {
    const { trx } = changer;
    const id = parts.newId();
    const principal = `group:${binding.source}|${id}`;
    const fields = toGroupFields(readGroup(body));
    await Directory.within(trx).upsertGroups([{ principal, displayName: fields.displayName }]);
    const principalId = await insertGroup(trx, id, principal, fields);
    const members = await changeMembers(changer, binding, { principalId, principal }, allOf(body));
    const events = [
      eventOf(changer, binding, 'directory.group', { principal, id, change: 'created' }),
      ...members,
    ];
    return { result: await viewOf(trx, await known(trx, id), caller.base, projection), events };
  });
}

/** @throws ScimError `invalidValue`, `precondition_failed`; `not_found` */
export const replaceGroup = (
  parts: ScimParts,
  caller: ScimCaller,
  id: string,
  body: unknown,
  ifMatch?: string | undefined,
  projection: Projection = {},
): Promise<Versioned> =>
  changeGroup(parts, caller, 'replaceGroup', id, { ifMatch, projection }, () => ({
    fields: readGroup(body),
    members: allOf(body),
  }));

/** @throws ScimError as `replaceGroup`, and `invalidPath`, `invalidFilter`, `mutability`, `invalidSyntax` */
export const patchOfGroup = (
  parts: ScimParts,
  caller: ScimCaller,
  id: string,
  body: unknown,
  ifMatch?: string | undefined,
  /** Nothing that has members: whoever adds one to thousands is not sent them all. */
  projection: Projection = { excludedAttributes: ['members'] },
): Promise<Versioned> =>
  changeGroup(parts, caller, 'patchGroup', id, { ifMatch, projection }, (row) => {
    const { fields, members } = patchGroup(fieldsOf(row), readPatch(GROUP, body, row.id));
    return { fields: { ...readFields(FIELDS, fields), ...externalIdOf(fields) }, members };
  });

interface Edit {
  readonly fields: Fields;
  /** `undefined`: they stay as they are. */
  readonly members: MemberChange | undefined;
}

function changeGroup(
  parts: ScimParts,
  caller: ScimCaller,
  operation: string,
  id: string,
  { ifMatch, projection }: { readonly ifMatch: string | undefined; readonly projection: Projection },
  edit: (row: ScimGroupRow) => Edit,
): Promise<Versioned> {
  return changing(parts, caller, operation, async (changer, binding) => {
    const { trx } = changer;
    const row = await known(trx, id);
    requireVersion(ifMatch, row.version);
    const { fields, members } = edit(row);
    const { principal } = row;
    const to = toGroupFields(fields);
    const isRenamed = to.displayName !== row.displayName || to.externalId !== row.externalId;
    const events = [
      ...(isRenamed
        ? [eventOf(changer, binding, 'directory.group', { principal, id, change: 'changed' })]
        : []),
      ...(members === undefined ? [] : await changeMembers(changer, binding, row, members)),
    ];
    if (events.length === 0) return { result: await viewOf(trx, row, caller.base, projection), events };
    await updateGroup(trx, row.id, to);
    await Directory.within(trx).upsertGroups([{ principal, displayName: to.displayName }]);
    return { result: await viewOf(trx, await known(trx, id), caller.base, projection), events };
  });
}

/** @throws ScimError `precondition_failed`; `not_found`; OwnRaise for a group that the client is in */
export function deleteGroup(
  parts: ScimParts,
  caller: ScimCaller,
  id: string,
  ifMatch?: string | undefined,
): Promise<void> {
  return changing(parts, caller, 'deleteGroup', async (changer, binding) => {
    const row = await known(changer.trx, id);
    requireVersion(ifMatch, row.version);
    const { principal } = row;
    // it leaves every group that it is in, and may be denied something there
    refuseOwn(await ownPrincipals(changer.trx, changer.authority), 'membership', [
      { id: row.principalId, key: principal },
    ]);
    const left = await changeMembers(changer, binding, row, {
      others: 'leave',
      add: new Set(),
      remove: new Set(),
    });
    await removeGroup(changer.trx, row);
    const gone = eventOf(changer, binding, 'directory.group', { principal, id, change: 'deleted' });
    return { result: undefined, events: [...left, gone] };
  });
}

async function known(trx: Work, id: string): Promise<ScimGroupRow> {
  const row = isUuid(id) ? await findGroup(trx, id) : undefined;
  if (row === undefined) throw noResource();
  return row;
}

async function viewOf(
  trx: Work,
  row: ScimGroupRow,
  base: string,
  projection: Projection,
): Promise<Versioned> {
  const members = wants(GROUP, 'members', projection)
    ? ((await membersOfGroups(trx, [row.principalId], ALL)).get(row.principalId) ?? [])
    : undefined;
  return { id: row.id, version: row.version, resource: groupView(row, members, base) };
}

function readGroup(body: unknown): Fields {
  return { ...readFields(FIELDS, body), ...externalIdOf(body) };
}

function externalIdOf(body: unknown): Fields {
  const externalId = readExternalId(body);
  return externalId === undefined ? {} : { externalId };
}

/** The members as the body has them, and nobody besides. */
function allOf(body: unknown): MemberChange {
  const given = isRecord(body) ? ownValue(body, 'members') : undefined;
  const add = new Set(given === undefined || given === null ? [] : memberIds(given));
  return { others: 'leave', add, remove: new Set() };
}

function fieldsOf({ displayName, externalId }: ScimGroupRow): Fields {
  return { displayName, ...(externalId !== null && { externalId }) };
}

function toGroupFields({ displayName, externalId }: Fields): ScimGroupFields {
  return { displayName: String(displayName), externalId: typeof externalId === 'string' ? externalId : null };
}
