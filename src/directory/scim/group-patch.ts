/** A patch of a group as what it does to fields and members, without the members at hand. */
import type { Filter } from '../../store/directory-filter.ts';
import { patchFields } from './patch-fields.ts';
import type { PatchOperation } from './patch-operations.ts';
import { type Fields, isRecord, ownValue } from './read-resource.ts';
import { badRequest } from './scim-error.ts';

/** Ids that become members, and ids that no longer are; `others`: what becomes of those in neither. */
export interface MemberChange {
  readonly others: 'stay' | 'leave';
  readonly add: ReadonlySet<string>;
  readonly remove: ReadonlySet<string>;
}

/** More than a directory's largest request; a megabyte holds no more. */
const MAX_MEMBERS = 25_000;

/** @throws ScimError `invalidValue`, `invalidPath`, `invalidFilter`, `mutability` */
export function patchGroup(
  fields: Fields,
  operations: readonly PatchOperation[],
): { readonly fields: Fields; readonly members: MemberChange | undefined } {
  const ofMembers = operations.filter(({ attribute }) => attribute.name === 'members');
  const others = operations.filter(({ attribute }) => attribute.name !== 'members');
  return {
    fields: patchFields(fields, others),
    members: ofMembers.length === 0 ? undefined : ofMembers.reduce(applied, NOTHING),
  };
}

const NOTHING: MemberChange = { others: 'stay', add: new Set(), remove: new Set() };
const NOBODY: MemberChange = { others: 'leave', add: new Set(), remove: new Set() };

function applied(change: MemberChange, { op, filter, sub, value }: PatchOperation): MemberChange {
  if (sub !== undefined) throw badRequest('mutability', 'Members are added and removed, not changed.');
  if (filter !== undefined) {
    if (op !== 'remove') throw badRequest('mutability', 'Members are added and removed, not changed.');
    return leaving(change, idsIn(filter));
  }
  if (op === 'remove') return isNothing(value) ? NOBODY : leaving(change, memberIds(value));
  return joining(op === 'replace' ? NOBODY : change, isNothing(value) ? [] : memberIds(value));
}

function joining({ others, add, remove }: MemberChange, ids: readonly string[]): MemberChange {
  return { others, add: new Set([...add, ...ids]), remove: difference(remove, ids) };
}

function leaving({ others, add, remove }: MemberChange, ids: readonly string[]): MemberChange {
  return { others, add: difference(add, ids), remove: new Set([...remove, ...ids]) };
}

function difference(set: ReadonlySet<string>, ids: readonly string[]): ReadonlySet<string> {
  const gone = new Set(ids);
  return new Set([...set].filter((id) => !gone.has(id)));
}

function isNothing(value: unknown): boolean {
  return value === undefined || value === null || (Array.isArray(value) && value.length === 0);
}

/** `members[value eq "a" or value eq "b"]`: whom it means is known without looking. */
function idsIn(filter: Filter): readonly string[] {
  if (filter.kind === 'or') return filter.filters.flatMap(idsIn);
  if (filter.kind === 'compare' && filter.op === 'eq' && filter.place.attribute === 'value')
    return typeof filter.value === 'string' ? [filter.value.toLowerCase()] : [];
  throw badRequest('invalidFilter', 'Members are selected by value eq "<id>".');
}

/** The ids in `[{ "value": "<id>" }]`; one alone and bare ids are taken too. @throws ScimError `invalidValue` */
export function memberIds(value: unknown): readonly string[] {
  const values = Array.isArray(value) ? value : [value];
  if (values.length > MAX_MEMBERS)
    throw badRequest('invalidValue', `At most ${MAX_MEMBERS} members go into one request.`);
  return values.map((each) => {
    const id = isRecord(each) ? ownValue(each, 'value') : each;
    if (typeof id !== 'string') throw badRequest('invalidValue', 'A member is named by its id in "value".');
    return id.toLowerCase();
  });
}
