/** Lists of users and groups (RFC 7644 §3.4.2 and §3.4.3). */
import type { Work } from '../../store/database.ts';
import type { Filter, Place } from '../../store/directory-filter.ts';
import { listGroups, membersOfGroups, type ScimGroupRow } from '../../store/directory-groups.ts';
import { groupsOfUsers, type Listing, listUsers } from '../../store/directory-users.ts';
import { reading, type ScimBinding, type ScimCaller, type ScimParts } from './client.ts';
import { readFilter } from './filter.ts';
import { findNamed, placeOf } from './places.ts';
import { type Projection, project, wants } from './projection.ts';
import { GROUP, type ResourceSchema, userSchema } from './schemas.ts';
import { badRequest, ScimError } from './scim-error.ts';
import { groupView, type Json, userView } from './views.ts';

export const MAX_RESULTS = 200;
/** Members in one answer: a page of groups that would have more ends early, which RFC 7644 §3.4.2.4 allows. */
const MAX_MEMBERS = 20_000;
const LIST_RESPONSE = 'urn:ietf:params:scim:api:messages:2.0:ListResponse';

export interface SearchRequest extends Projection {
  readonly filter?: string | undefined;
  readonly sortBy?: string | undefined;
  readonly sortOrder?: string | undefined;
  /** From 1; less is taken for 1. */
  readonly startIndex?: number | undefined;
  /** Less than 0 is taken for 0. */
  readonly count?: number | undefined;
}

export type ResourceType = 'User' | 'Group';

interface Page {
  readonly total: number;
  readonly resources: readonly Json[];
}

/**
 * One page of one type, or of users and then groups.
 * @throws ScimError `invalidFilter`, `invalidPath`; BulkheadError `right_missing`
 */
export async function search(
  parts: ScimParts,
  caller: ScimCaller,
  types: readonly ResourceType[],
  request: SearchRequest,
): Promise<Json> {
  const startIndex = Math.max(1, request.startIndex ?? 1);
  const count = Math.min(Math.max(0, request.count ?? MAX_RESULTS), MAX_RESULTS);
  const { total, resources } = await reading(parts, caller, (trx, binding) =>
    pageOf(trx, binding, types, request, { offset: startIndex - 1, limit: count }, caller.base),
  );
  return {
    schemas: [LIST_RESPONSE],
    totalResults: total,
    startIndex,
    itemsPerPage: resources.length,
    Resources: resources,
  };
}

async function pageOf(
  trx: Work,
  binding: ScimBinding,
  types: readonly ResourceType[],
  request: SearchRequest,
  { offset, limit }: Pick<Listing, 'offset' | 'limit'>,
  base: string,
): Promise<Page> {
  let total = 0;
  const resources: Json[] = [];
  for (const type of types) {
    const schema = type === 'User' ? userSchema(binding.subjectAttribute) : GROUP;
    const window = { offset: Math.max(0, offset - total), limit: limit - resources.length };
    const listing = listingOf(schema, request, window, types.length > 1);
    if (listing === undefined) continue;
    const page =
      type === 'User' ? await usersOf(trx, listing, base) : await groupsOf(trx, listing, request, base);
    total += page.total;
    resources.push(...page.resources.map((resource) => project(schema, resource, request)));
  }
  return { total, resources };
}

/** @returns `undefined` when, of several types, this one has not what the filter names: then none of it matches */
function listingOf(
  schema: ResourceSchema,
  { filter, sortBy, sortOrder }: SearchRequest,
  window: Pick<Listing, 'offset' | 'limit'>,
  isOneOfSeveral: boolean,
): Listing | undefined {
  let read: Filter | undefined;
  try {
    read = filter === undefined ? undefined : readFilter(schema, filter);
  } catch (error) {
    if (isOneOfSeveral && error instanceof ScimError && fitsAnother(schema, filter ?? '')) return undefined;
    throw error;
  }
  const sort = sortBy === undefined ? undefined : placeToSort(schema, sortBy);
  return { ...window, filter: read, sortBy: sort, descending: sortOrder?.toLowerCase() === 'descending' };
}

function fitsAnother(schema: ResourceSchema, filter: string): boolean {
  const other = schema.name === 'Group' ? userSchema('id') : GROUP;
  try {
    readFilter(other, filter);
    return true;
  } catch {
    return false;
  }
}

/** A list is sorted by nothing: which of its values would decide is not for a database. */
function placeToSort(schema: ResourceSchema, name: string): Place | undefined {
  const named = findNamed(schema, name);
  if (named === undefined)
    throw badRequest('invalidPath', `"${name.slice(0, 100)}" is no attribute to sort by.`);
  const place = placeOf(named);
  return place?.isList === true ? undefined : place;
}

async function usersOf(trx: Work, listing: Listing, base: string): Promise<Page> {
  const { rows, total } = await listUsers(trx, listing);
  const groups = await groupsOfUsers(
    trx,
    rows.map(({ principalId }) => principalId),
  );
  return { total, resources: rows.map((row) => userView(row, groups.get(row.principalId) ?? [], base)) };
}

async function groupsOf(trx: Work, listing: Listing, projection: Projection, base: string): Promise<Page> {
  const { rows, total } = await listGroups(trx, listing);
  if (!wants(GROUP, 'members', projection))
    return { total, resources: rows.map((row) => groupView(row, undefined, base)) };
  return { total, resources: await withMembers(trx, rows, base) };
}

async function withMembers(trx: Work, rows: readonly ScimGroupRow[], base: string): Promise<readonly Json[]> {
  const ids = rows.map(({ principalId }) => principalId);
  const members = await membersOfGroups(trx, ids, MAX_MEMBERS + 1);
  const counted = [...members.values()].reduce((sum, list) => sum + list.length, 0);
  if (counted <= MAX_MEMBERS)
    return rows.map((row) => groupView(row, members.get(row.principalId) ?? [], base));
  // the last that has members here may lack some of them
  const cut = rows.findLastIndex(({ principalId }) => members.has(principalId));
  if (cut > 0)
    return rows.slice(0, cut).map((row) => groupView(row, members.get(row.principalId) ?? [], base));
  const [first] = rows;
  if (first === undefined) return [];
  const all = await membersOfGroups(trx, [first.principalId], Number.MAX_SAFE_INTEGER);
  return [groupView(first, all.get(first.principalId) ?? [], base)];
}
