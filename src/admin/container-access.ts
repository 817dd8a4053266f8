/** Who may read what is in a container: one row a change, whatever the container holds. */
import type { AuditEvent } from '../audit/audit-log.ts';
import { BulkheadError } from '../errors.ts';
import type { Entry } from '../policy/access-class.ts';
import { instant, type PrincipalId } from '../policy/ids.ts';
import { joinLabels } from '../policy/label.ts';
import { classesBelow, type StoredClass } from '../store/access-classes.ts';
import type { Authority } from '../store/authority.ts';
import { Containers, type EntryRow } from '../store/containers.ts';
import type { Work } from '../store/database.ts';
import { rightMissing } from '../store/rights.ts';
import { type AdminCaller, type AdminParts, type Changer, makeChange, type Outcome } from './change.ts';
import { entryAdded, entryRemoved } from './events.ts';
import { type EntryInput, type LabelInput, readEntry, readLabel, toOwnLabel } from './input.ts';
import { alertsOfOwnReach, refuseOwnReach, type SubtreeChange } from './own-reach.ts';
import { containerWithRight, type KnownContainer, noContainer } from './reach.ts';
import {
  ownSubjects,
  refuseEntriesOf,
  refuseEntriesOfHeld,
  refuseOwnEntries,
} from './separation-of-duties.ts';

/**
 * Adds one entry. Needs `grant` there.
 * @returns the entry's id
 * @throws BulkheadError `not_found`, `right_missing`, `unknown_principal`, `invalid_request`, `conflict` when the
 *   same entry is there, `separation_of_duties`
 */
export function grant(
  parts: AdminParts,
  caller: AdminCaller,
  input: { readonly container: string; readonly entry: EntryInput },
): Promise<number> {
  return makeChange(parts, caller, {
    operation: 'grant',
    locate: (authority) => containerWithRight(parts, authority, input.container, 'grant'),
    apply: async (changer, container) => {
      const { trx, authority, by } = changer;
      const [added, own] = await Promise.all([readEntry(trx, input.entry), ownSubjects(trx, authority)]);
      refuseOwnEntries(authority.subject, [], [added], container.path);
      refuseEntriesOf(own.held, authority.subject, [], [added], container.path);
      const alerts = await alertsOfAddition(parts, changer, container, added, own.around);
      const event = entryAdded(authority.subject.tenant, by, container.path, input.entry);
      const id = await Containers.within(trx).addEntry(container.id, added);
      return { result: id, events: [event, ...alerts] };
    },
  });
}

/**
 * A deny lets nobody in, and an allow only whom it names: unless that is the caller, whom they can act as, or a group
 * that one of these is in, now or at another time, the subtree is not looked at.
 * @throws OwnRaise
 */
async function alertsOfAddition(
  { scheme }: AdminParts,
  changer: Changer,
  container: KnownContainer,
  added: Entry,
  own: ReadonlySet<PrincipalId>,
): Promise<readonly AuditEvent[]> {
  if (added.effect === 'deny' || !own.has(added.principal)) return [];
  const change = await changeOf(changer, container, (cls) => ({ entries: [...cls.entries, added] }));
  return alertsOfOwnReach(scheme, changer, 'grant', change);
}

/** One entry by its id, or all entries of a container with this principal and effect, whatever their validity. */
export type EntrySelector =
  | { readonly entry: number }
  | { readonly container: string; readonly principal: string; readonly effect: 'allow' | 'deny' };

/**
 * Takes entries away. Needs `grant` there.
 * @throws BulkheadError `not_found`, also when there is no such entry; `right_missing`, `separation_of_duties`
 */
export async function revoke(parts: AdminParts, caller: AdminCaller, which: EntrySelector): Promise<void> {
  await makeChange(parts, caller, {
    operation: 'revoke',
    locate: async (authority) => {
      const path = await containerOf(parts, authority, which);
      const container = await containerWithRight(parts, authority, path, 'grant');
      return { container, rows: await entriesOf(parts, authority, container, which) };
    },
    // the entries are those of the epoch that is locked: no entry of a container changes without a new one. That there is
    // none is said here, where it is known that the caller's rights still stand
    apply: async (changer, { container, rows }): Promise<Outcome<void>> => {
      if (rows.length === 0) throw new BulkheadError('not_found', 'There is no such entry.');
      const { trx, authority, by } = changer;
      const alerts = await alertsOfRemoval(parts, changer, container, rows.map(toEntry));
      const events = rows.map((row) => entryRemoved(authority.subject.tenant, by, container.path, row));
      await remove(trx, container, rows);
      return { result: undefined, events: [...events, ...alerts] };
    },
  });
}

function entriesOf(
  { database }: AdminParts,
  { context }: Authority,
  { id }: KnownContainer,
  which: EntrySelector,
): Promise<readonly EntryRow[]> {
  return database.unitOfWork('admin', context, (trx) => Containers.within(trx).selectedEntries(id, which));
}

/** @throws BulkheadError `right_missing` where row-level security leaves one of them standing */
async function remove(trx: Work, { path }: KnownContainer, rows: readonly EntryRow[]): Promise<void> {
  const removed = await Containers.within(trx).removeEntries(rows.map(({ id }) => id));
  if (removed !== rows.length) throw rightMissing('grant', path);
}

/**
 * Only the end of a deny lets anybody in; without one the subtree is not looked at, and a revocation on a container of
 * ten thousand classes stays a matter of its own row.
 * @throws OwnRaise
 */
async function alertsOfRemoval(
  { scheme }: AdminParts,
  changer: Changer,
  container: KnownContainer,
  removed: readonly Entry[],
): Promise<readonly AuditEvent[]> {
  if (removed.every(({ effect }) => effect === 'allow')) return [];
  const change = await changeOf(changer, container, (cls) => ({ entries: without(cls.entries, removed) }));
  const { entries } = change.cls;
  const kept = without(entries, removed);
  refuseOwnEntries(changer.authority.subject, entries, kept, container.path);
  await refuseEntriesOfHeld(changer.trx, changer.authority, entries, kept, container.path);
  return alertsOfOwnReach(scheme, changer, 'revoke', change);
}

/** A path that no container has, when the entry does not exist: it then ends as one that is hidden does. */
async function containerOf(
  { database }: AdminParts,
  authority: Authority,
  which: EntrySelector,
): Promise<string> {
  if ('container' in which) return which.container;
  const found = await database.unitOfWork('admin', authority.context, (trx) =>
    Containers.within(trx).findEntry(which.entry),
  );
  return found?.container ?? '';
}

function toEntry({ principalId, effect, from, until }: EntryRow): Entry {
  return {
    principal: principalId,
    effect,
    validFrom: from === null ? undefined : instant(from),
    validUntil: until === null ? undefined : instant(until),
  };
}

function without(entries: readonly Entry[], removed: readonly Entry[]): readonly Entry[] {
  const isSame = (a: Entry, b: Entry) =>
    a.principal === b.principal &&
    a.effect === b.effect &&
    a.validFrom === b.validFrom &&
    a.validUntil === b.validUntil;
  return entries.filter((entry) => !removed.some((gone) => isSame(entry, gone)));
}

/**
 * The container's own label. Needs `label` there.
 * @throws BulkheadError `not_found`, `right_missing`, `unknown_level`, `unknown_compartment`; `label_required` when
 *   neither the container nor one above would have a level; `separation_of_duties`
 */
export async function setContainerLabel(
  parts: AdminParts,
  caller: AdminCaller,
  input: { readonly container: string; readonly label: LabelInput },
): Promise<void> {
  await makeChange(parts, caller, {
    operation: 'setContainerLabel',
    locate: (authority) => containerWithRight(parts, authority, input.container, 'label'),
    apply: async (changer, container): Promise<Outcome<void>> => {
      const label = readLabel(parts.scheme, input.label);
      const own = toOwnLabel(parts.scheme, label);
      const change = await changeOf(changer, container, () => ({ label: own, level: label.level }));
      refuseNoLabel(change);
      await refuseOwnReach(parts.scheme, changer, change);
      await Containers.within(changer.trx).setLabel(container.id, label.level, label.compartments);
      const before = { level: container.level, compartments: container.compartments };
      const body = { ...changer.by, container: container.path, document: null, ...label, before };
      return {
        result: undefined,
        events: [{ tenant: changer.authority.subject.tenant, kind: 'label.changed', body }],
      };
    },
  });
}

function refuseNoLabel({ cls, after }: SubtreeChange): void {
  const labels = [];
  for (
    let at = after.get(cls.id);
    at !== undefined;
    at = at.parent === undefined ? undefined : after.get(at.parent)
  )
    labels.push(at.label);
  if (joinLabels(labels) === undefined)
    throw new BulkheadError(
      'label_required',
      'Without a level here or above, nobody could read anything here.',
    );
}

/**
 * Whether allows from above reach what is in the container; denies and labels always do. Needs `grant` there.
 * @throws BulkheadError `not_found`, `right_missing`, `separation_of_duties`
 */
export async function setInherits(
  parts: AdminParts,
  caller: AdminCaller,
  { container: path, inherits }: { readonly container: string; readonly inherits: boolean },
): Promise<void> {
  await makeChange(parts, caller, {
    operation: 'setInherits',
    locate: (authority) => containerWithRight(parts, authority, path, 'grant'),
    apply: async (changer, container): Promise<Outcome<void>> => {
      if (container.inherits === inherits) return { result: undefined, events: [] };
      const change = await changeOf(changer, container, () => ({ inherits }));
      const alerts = await alertsOfOwnReach(parts.scheme, changer, 'setInherits', change);
      await Containers.within(changer.trx).setInherits(container.id, inherits);
      const body = { ...changer.by, container: path, inherits, before: container.inherits };
      const { tenant } = changer.authority.subject;
      return { result: undefined, events: [{ tenant, kind: 'inherits.changed', body }, ...alerts] };
    },
  });
}

/** The container's subtree as it is and as it will be. */
async function changeOf(
  { trx }: Changer,
  container: KnownContainer,
  edit: (cls: StoredClass) => Partial<StoredClass>,
): Promise<SubtreeChange> {
  const before = await classesBelow(trx, container.id);
  const cls = before.get(container.id);
  if (cls === undefined) throw noContainer();
  return { path: container.path, cls, before, after: new Map(before).set(cls.id, { ...cls, ...edit(cls) }) };
}
