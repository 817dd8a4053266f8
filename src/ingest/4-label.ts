/** What a document says about its own access, and whether its submitter may say it. Pure. */
import { BulkheadError } from '../errors.ts';
import type { Entry } from '../policy/access-class.ts';
import { instant, type PrincipalId } from '../policy/ids.ts';
import { joinLabels, type LabelScheme } from '../policy/label.ts';
import type { OwnAccess } from '../store/access-classes.ts';
import type { IngestContainer } from '../store/documents.ts';
import { type AccessEntry, type JoinedFields, joinFields } from './join-fields.ts';
import type { AccessFields } from './parsers/access-fields.ts';

export interface LabelRequest {
  readonly container: Pick<IngestContainer, 'label' | 'mayLabel' | 'mayGrant'>;
  /** What the document said before; `undefined` for a new one. */
  readonly present: OwnAccess | undefined;
  /** What request, sidecar and front matter each say. */
  readonly fields: readonly AccessFields[];
  readonly scheme: LabelScheme;
  /** Everyone named, by text form; who is missing is not in the directory. */
  readonly principals: ReadonlyMap<string, PrincipalId>;
}

export interface Labelled {
  readonly own: OwnAccess;
  /** Of the effective label: own ⊔ containers. */
  readonly rank: number;
}

const NOTHING: OwnAccess = { level: null, compartments: [], inherits: true, entries: [] };

/**
 * Own label and entries: what the fields say, joined to the tighter, and what they leave open as it was. Without
 * `label` the own label may only rise; without `grant` no allow may be added, no deny dropped or shortened and no
 * cut of inheritance undone.
 * @throws BulkheadError `label_required`, `label_too_wide`, `unknown_level`, `unknown_compartment`,
 *   `unknown_principal`
 */
export function label(request: LabelRequest): Labelled {
  const { container, scheme } = request;
  const present = request.present ?? NOTHING;
  const given = joinFields(request.fields, scheme);
  const own: OwnAccess = {
    level: levelOf(given, present, request),
    compartments: compartmentsOf(given, present, request),
    inherits: inheritsOf(given, present, container.mayGrant),
    entries: entriesOf(given, present, request),
  };
  const label = joinLabels([
    { rank: rankOf(own.level, scheme), compartments: new Set(own.compartments) },
    ...(container.label === undefined ? [] : [container.label]),
  ]);
  if (label === undefined)
    throw new BulkheadError('label_required', 'Neither the document nor a container above it has a level.');
  return { own, rank: label.rank };
}

function levelOf(
  given: JoinedFields,
  present: OwnAccess,
  { container, scheme }: LabelRequest,
): string | null {
  if (given.level === undefined) return present.level;
  const falls =
    (rankOf(given.level, scheme) ?? 0) < (rankOf(present.level, scheme) ?? Number.NEGATIVE_INFINITY);
  if (falls && !container.mayLabel)
    throw tooWide('The level of a document may not fall without the right "label" on its container.');
  return given.level;
}

function compartmentsOf(
  given: JoinedFields,
  present: OwnAccess,
  { container, scheme }: LabelRequest,
): readonly string[] {
  if (given.compartments.length === 0) return present.compartments;
  const unknown = given.compartments.find((name) => !scheme.compartments.has(name));
  if (unknown !== undefined)
    throw new BulkheadError('unknown_compartment', `The compartment "${unknown}" is not configured.`);
  const isDropped = present.compartments.some((name) => !given.compartments.includes(name));
  if (isDropped && !container.mayLabel)
    throw tooWide('A compartment may not be dropped without the right "label" on the container.');
  return given.compartments;
}

function inheritsOf(given: JoinedFields, present: OwnAccess, mayGrant: boolean): boolean {
  if (given.inherits === undefined) return present.inherits;
  if (given.inherits && !present.inherits && !mayGrant)
    throw tooWide('A cut of inheritance may not be undone without the right "grant" on the container.');
  return given.inherits;
}

function entriesOf(given: JoinedFields, present: OwnAccess, request: LabelRequest): readonly Entry[] {
  const entries = given.entries?.map((entry) => toEntry(entry, request.principals));
  if (entries === undefined) return present.entries;
  if (request.container.mayGrant) return entries;
  if (given.asksToAllow)
    throw tooWide('Content may not allow anybody without the right "grant" on the container.');
  const isDropped = present.entries.some(
    (before) => !isAllow(before) && !entries.some((after) => covers(after, before)),
  );
  if (isDropped)
    throw tooWide('A deny may not be dropped or shortened without the right "grant" on the container.');
  return [...present.entries.filter(isAllow), ...entries];
}

const isAllow = ({ effect }: Entry): boolean => effect === 'allow';

/** Whether the one deny holds whenever the other does. */
function covers(wide: Entry, narrow: Entry): boolean {
  return (
    wide.principal === narrow.principal &&
    (wide.validFrom ?? -Infinity) <= (narrow.validFrom ?? -Infinity) &&
    (wide.validUntil ?? Infinity) >= (narrow.validUntil ?? Infinity)
  );
}

function toEntry(entry: AccessEntry, principals: ReadonlyMap<string, PrincipalId>): Entry {
  const principal = principals.get(entry.principal);
  if (principal === undefined)
    throw new BulkheadError('unknown_principal', `The directory does not have ${entry.principal}.`);
  return {
    principal,
    effect: entry.effect,
    validFrom: entry.validFrom === undefined ? undefined : instant(entry.validFrom),
    validUntil: entry.validUntil === undefined ? undefined : instant(entry.validUntil),
  };
}

function rankOf(level: string | null, scheme: LabelScheme): number | undefined {
  if (level === null) return undefined;
  const found = scheme.levels.find(({ name }) => name === level);
  // fail closed: a level that this process does not know is above all
  return found?.rank ?? scheme.levels.length;
}

function tooWide(detail: string): BulkheadError {
  return new BulkheadError('label_too_wide', detail);
}
