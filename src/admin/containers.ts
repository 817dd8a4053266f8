/** Containers themselves: what there is, and new ones. Their labels and entries are in container-access.ts. */
import type { ClassId } from '../policy/ids.ts';
import type { LabelScheme } from '../policy/label.ts';
import { classesAbove } from '../store/access-classes.ts';
import { authorize } from '../store/authority.ts';
import { Containers, type EntryRow, type ListedContainer } from '../store/containers.ts';
import { type Right, rightMissing } from '../store/rights.ts';
import { readVisibleSet } from '../store/visible-set.ts';
import { type AdminCaller, type AdminParts, type Changer, makeChange, type Outcome } from './change.ts';
import { entryAdded } from './events.ts';
import { heldSubjects, refuseHeldGains } from './held-services.ts';
import { type EntryInput, invalid, type LabelInput, readEntries, readLabel } from './input.ts';
import { lookupIn } from './own-reach.ts';
import { containerWithRight, findContainer, type KnownContainer, noContainer } from './reach.ts';
import { refuseEntriesOfHeld, refuseOwnEntries } from './separation-of-duties.ts';

/** Pass `next` as `cursor` for the next page; `undefined` on the last. */
export interface Page<T> {
  readonly items: readonly T[];
  readonly next: string | undefined;
}

export interface PageRequest {
  readonly cursor?: string | undefined;
  readonly limit: number;
}

/** What a container says itself; what comes from above is not in it. */
export interface ContainerDetail {
  readonly path: string;
  readonly label: LabelInput;
  readonly inherits: boolean;
  readonly entries: readonly EntryDetail[];
  /** The rights that the caller holds there. */
  readonly rights: readonly Right[];
}

/** Milliseconds since 1970; an absent bound is unbounded. */
interface EntryDetail {
  readonly id: number;
  readonly principal: string;
  readonly displayName: string;
  readonly effect: 'allow' | 'deny';
  readonly validFrom?: number;
  readonly validUntil?: number;
}

export interface NewContainer {
  /** `/` and names; the parent is there already. */
  readonly path: string;
  readonly label: LabelInput;
  readonly inherits: boolean;
  readonly entries: readonly EntryInput[];
}

/** By path: the containers whose own documents the caller may read, and those where they hold a right. */
export async function listContainers(
  { database, scheme }: AdminParts,
  { identity }: AdminCaller,
  { cursor, limit }: PageRequest,
): Promise<Page<ListedContainer>> {
  const { context } = await authorize(database, 'admin', scheme, identity);
  const visible = await readVisibleSet(database, context, undefined, 'admin');
  const rows = await database.unitOfWork('admin', context, (trx) =>
    Containers.within(trx).list([...visible.ranks.keys()], cursor ?? '', limit + 1),
  );
  return pageOf(rows, limit, ({ path }) => path);
}

/** The rows are one more than the page when there is another page. */
export function pageOf<T>(rows: readonly T[], limit: number, keyOf: (row: T) => string): Page<T> {
  const items = rows.slice(0, limit);
  const last = items.at(-1);
  return { items, next: rows.length > limit && last !== undefined ? keyOf(last) : undefined };
}

/** Holding one of these, one may see who may read there. */
const OVERSEEING: readonly Right[] = ['grant', 'label', 'administer', 'audit'];

/** @throws BulkheadError `not_found` for a container that is missing and for one that the caller does not oversee */
export async function getContainer(
  parts: AdminParts,
  { identity }: AdminCaller,
  path: string,
): Promise<ContainerDetail> {
  const authority = await authorize(parts.database, 'admin', parts.scheme, identity);
  const found = await findContainer(parts, authority, path);
  if (found === undefined || !OVERSEEING.some((right) => found.rights.has(right))) throw noContainer();
  const entries = await parts.database.unitOfWork('admin', authority.context, (trx) =>
    Containers.within(trx).entries(found.id),
  );
  const { level, compartments, inherits, rights } = found;
  return {
    path: found.path,
    label: { level, compartments },
    inherits,
    entries: entries.map(entryDetail),
    rights: [...rights].sort(),
  };
}

function entryDetail({ id, principal, displayName, effect, from, until }: EntryRow): EntryDetail {
  return {
    id,
    principal,
    displayName,
    effect,
    ...(from !== null && { validFrom: from }),
    ...(until !== null && { validUntil: until }),
  };
}

/**
 * A new, empty container. Needs `administer` on the parent, and `grant` there when it comes with entries.
 * @throws BulkheadError `unknown_container` for the parent, `right_missing`, `conflict`, `unknown_level`,
 *   `unknown_compartment`, `unknown_principal`, `invalid_request`, `separation_of_duties`
 */
export async function createContainer(
  parts: AdminParts,
  caller: AdminCaller,
  container: NewContainer,
): Promise<void> {
  const parentPath = parentOf(container.path);
  await makeChange(parts, caller, {
    operation: 'createContainer',
    locate: async (authority) => {
      const parent = await containerWithRight(
        parts,
        authority,
        parentPath,
        'administer',
        'unknown_container',
      );
      if (container.entries.length > 0 && !parent.rights.has('grant'))
        throw rightMissing('grant', parentPath);
      return parent;
    },
    apply: (changer, parent) => addContainer(parts, changer, parent, container),
  });
}

async function addContainer(
  { scheme }: AdminParts,
  { trx, authority, by }: Changer,
  parent: KnownContainer,
  container: NewContainer,
): Promise<Outcome<void>> {
  const { path, inherits } = container;
  const label = readLabel(scheme, container.label);
  const entries = await readEntries(trx, container.entries);
  refuseOwnEntries(authority.subject, [], entries, path);
  await refuseEntriesOfHeld(trx, authority, [], entries, path);
  const created = await Containers.within(trx).create(parent.id, { path, inherits, ...label, entries });
  await refuseGainsBelow(scheme, { trx, authority }, parent.id, created, path);
  const { tenant } = authority.subject;
  return {
    result: undefined,
    events: [
      { tenant, kind: 'container.created', body: { ...by, container: path, inherits, ...label } },
      ...container.entries.map((entry) => entryAdded(tenant, by, path, entry)),
    ],
  };
}

/** What is empty opens what is put there next: the parent's readers are compared with those of the new container. */
async function refuseGainsBelow(
  scheme: LabelScheme,
  { trx, authority }: Pick<Changer, 'trx' | 'authority'>,
  parent: ClassId,
  created: ClassId,
  path: string,
): Promise<void> {
  const subjects = await heldSubjects(trx, authority);
  if (subjects === undefined) return;
  // the new container is below all that there was, so one look after the change tells both
  const view = { subjects, lookup: lookupIn(await classesAbove(trx, created)) };
  refuseHeldGains(scheme, authority.now, path, [view, view], [[parent, created]]);
}

const PATH = /^(\/[^/\p{Cc}]{1,120})+$/u;
export const LONGEST_PATH = 500;

/** @throws BulkheadError `invalid_request` */
function parentOf(path: string): string {
  const names = path.split('/').slice(1);
  if (!PATH.test(path) || path.length > LONGEST_PATH || names.some((name) => name === '.' || name === '..'))
    throw invalid('path', 'must be names of at most 120 characters, each after a "/"');
  return pathAbove(path);
}

/** Of the container that one of this path, which is not the root, hangs below. */
export function pathAbove(path: string): string {
  return path.slice(0, path.lastIndexOf('/')) || '/';
}
