/** One document's own label and entries: a change moves it to another class, and its text stays where it is. */
import { BulkheadError } from '../errors.ts';
import type { AccessClass, Entry } from '../policy/access-class.ts';
import type { ClassId } from '../policy/ids.ts';
import { joinLabels } from '../policy/label.ts';
import {
  classesAbove,
  internClass,
  type OwnAccess,
  ownAccessOf,
  type StoredClass,
} from '../store/access-classes.ts';
import { type DocumentPlace, findDocumentPlace, moveDocument } from '../store/document-access.ts';
import { Principals } from '../store/principals.ts';
import { type AdminCaller, type AdminParts, type Changer, makeChange, type Outcome } from './change.ts';
import { heldSubjects, refuseHeldGains } from './held-services.ts';
import { type EntryInput, interval, type LabelInput, readEntries, readLabel, toOwnLabel } from './input.ts';
import { alertsOf, lookupIn } from './own-reach.ts';
import { documentWithRight, noDocument } from './reach.ts';
import {
  type OwnGain,
  OwnRaise,
  ownGains,
  refuseEntriesOfHeld,
  refuseOwnEntries,
} from './separation-of-duties.ts';

/**
 * Replaces a document's own entries, and says whether allows from its container reach it; its own label stays.
 * Needs `grant` on the container.
 * @param input `document` is an id; anything else is a document that does not exist
 * @throws BulkheadError `not_found`, `right_missing`, `unknown_principal`, `invalid_request`, `separation_of_duties`
 */
export async function setDocumentAccess(
  parts: AdminParts,
  caller: AdminCaller,
  input: { readonly document: string; readonly entries: readonly EntryInput[]; readonly inherits: boolean },
): Promise<void> {
  await makeChange(parts, caller, {
    operation: 'setDocumentAccess',
    locate: (authority) => documentWithRight(parts, authority, input.document, 'grant'),
    apply: async (changer, { id }): Promise<Outcome<void>> => {
      const { trx, authority, by } = changer;
      const present = await presentAccess(changer, id);
      const wanted = {
        ...present.own,
        inherits: input.inherits,
        entries: await readEntries(trx, input.entries),
      };
      refuseOwnEntries(authority.subject, present.own.entries, wanted.entries, id);
      await refuseEntriesOfHeld(trx, authority, present.own.entries, wanted.entries, id);
      const { gains, makersGain } = await gainsOf(parts, changer, present, wanted);
      const alerts = alertsOf(gains, makersGain, changer, 'setDocumentAccess', id);
      await move(changer, present, wanted, 'grant');
      const after = await describeAccess(changer, wanted);
      const before = await describeAccess(changer, present.own);
      const body = { ...by, container: present.place.containerPath, document: id, ...after, before };
      return {
        result: undefined,
        events: [{ tenant: authority.subject.tenant, kind: 'access.changed', body }, ...alerts],
      };
    },
  });
}

/**
 * Sets a document's own label; its own entries stay. Needs `label` on the container.
 * @throws BulkheadError `not_found`, `right_missing`, `unknown_level`, `unknown_compartment`; `label_required` when
 *   neither the document nor its container would have a level; `separation_of_duties`
 */
export async function setDocumentLabel(
  parts: AdminParts,
  caller: AdminCaller,
  input: { readonly document: string; readonly label: LabelInput },
): Promise<void> {
  await makeChange(parts, caller, {
    operation: 'setDocumentLabel',
    locate: (authority) => documentWithRight(parts, authority, input.document, 'label'),
    apply: async (changer, { id }): Promise<Outcome<void>> => {
      const label = readLabel(parts.scheme, input.label);
      const present = await presentAccess(changer, id);
      const wanted = { ...present.own, ...label };
      refuseNoLabel(parts, present, wanted);
      const { gains, makersGain } = await gainsOf(parts, changer, present, wanted);
      if (gains.length > 0 || makersGain) throw new OwnRaise('effect', id);
      await move(changer, present, wanted, 'label');
      const before = { level: present.own.level, compartments: present.own.compartments };
      const body = { ...changer.by, container: present.place.containerPath, document: id, ...label, before };
      return {
        result: undefined,
        events: [{ tenant: changer.authority.subject.tenant, kind: 'label.changed', body }],
      };
    },
  });
}

interface PresentAccess {
  readonly place: DocumentPlace;
  readonly own: OwnAccess;
  /** The document's class and those above it. */
  readonly classes: ReadonlyMap<ClassId, StoredClass>;
}

/** Read again under the lock: since it was found, the document may have been moved or deleted. */
async function presentAccess({ trx }: Changer, id: DocumentPlace['id']): Promise<PresentAccess> {
  const place = await findDocumentPlace(trx, id);
  const classes = place && (await classesAbove(trx, place.class));
  const cls = place && classes?.get(place.class);
  if (place === undefined || classes === undefined || cls === undefined) throw noDocument();
  return { place, own: ownAccessOf(cls), classes };
}

async function move(
  { trx }: Changer,
  { place }: PresentAccess,
  wanted: OwnAccess,
  right: 'label' | 'grant',
): Promise<void> {
  const cls = await internClass(trx, place.container, wanted);
  if (cls !== place.class) await moveDocument(trx, place.id, cls, right);
}

/** An id that no class has: stands for the class that the document would get. */
const WANTED = -1 as ClassId;

/** @throws OwnRaise when a service whose key the caller made comes to read what they do not read */
async function gainsOf(
  { scheme }: AdminParts,
  { trx, authority }: Changer,
  present: PresentAccess,
  wanted: OwnAccess,
): Promise<{ readonly gains: readonly OwnGain[]; readonly makersGain: boolean }> {
  const { subject, now } = authority;
  const cls = {
    id: WANTED,
    parent: present.place.container,
    inherits: wanted.inherits,
    label: toOwnLabel(scheme, wanted),
    entries: wanted.entries,
  };
  const [before, after] = [
    lookupIn(present.classes),
    lookupIn(new Map<ClassId, AccessClass>([...present.classes, [WANTED, cls]])),
  ];
  const { id, class: at } = present.place;
  const gains = ownGains(scheme, now, { subject, lookup: before }, { subject, lookup: after }, [
    [at, WANTED],
  ]);
  const subjects = await heldSubjects(trx, authority);
  const makersGain =
    subjects !== undefined &&
    refuseHeldGains(
      scheme,
      now,
      id,
      [
        { subjects, lookup: before },
        { subjects, lookup: after },
      ],
      [[at, WANTED]],
    );
  return { gains, makersGain };
}

function refuseNoLabel({ scheme }: AdminParts, { place, classes }: PresentAccess, wanted: OwnAccess): void {
  const above = [...classes.values()].filter((cls) => cls.id !== place.class || cls.id === place.container);
  if (joinLabels([toOwnLabel(scheme, wanted), ...above.map((cls) => cls.label)]) === undefined)
    throw new BulkheadError('label_required', 'Neither the document nor its container would have a level.');
}

/** For the audit: principals by their text form. */
async function describeAccess({ trx }: Changer, { inherits, entries }: OwnAccess) {
  const rows = await Principals.within(trx).byIds(entries.map(({ principal }) => principal));
  const keys = new Map(rows.map(({ id, key }) => [id, key]));
  const described = entries.map((entry: Entry) => ({
    principal: keys.get(entry.principal) ?? String(entry.principal),
    effect: entry.effect,
    ...interval(entry),
  }));
  return { inherits, entries: described };
}
