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
  /** Who submits. */
  readonly submitter: PrincipalId;
  /** What the document said before, deleted or not; `undefined` for a new one. */
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
 * Own label and entries: what the fields say, joined to the tighter, and what they leave open as it was. A document
 * that was there before can only be tightened here, whoever submits it: loosening goes through the change of one
 * document's label or entries, which knows who gains by it. Without `grant` a new document allows nobody either, and
 * nobody allows themselves (docs/decisions/0009).
 * @throws BulkheadError `separation_of_duties`, `label_required`, `label_too_wide`, `unknown_level`, `unknown_compartment`,
 *   `unknown_principal`
 */
export function label(asked: LabelRequest): Labelled {
  const isNew = asked.present === undefined;
  const container = {
    ...asked.container,
    mayLabel: asked.container.mayLabel && isNew,
    mayGrant: asked.container.mayGrant && isNew,
  };
  const request = { ...asked, container };
  const { scheme } = request;
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
    throw tooWide('Submitting a document again may not lower its level. Relabel the document instead.');
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
    throw tooWide('Submitting a document again may not drop a compartment. Relabel the document instead.');
  return given.compartments;
}

function inheritsOf(given: JoinedFields, present: OwnAccess, mayGrant: boolean): boolean {
  if (given.inherits === undefined) return present.inherits;
  if (given.inherits && !present.inherits && !mayGrant)
    throw tooWide(
      'Submitting a document again may not undo its cut of inheritance. Change its access instead.',
    );
  return given.inherits;
}

function entriesOf(given: JoinedFields, present: OwnAccess, request: LabelRequest): readonly Entry[] {
  const entries = given.entries?.map((entry) => toEntry(entry, request.principals));
  if (entries === undefined) return present.entries;
  const allows = entries.filter(isAllow);
  const added = allows.filter((allow) => !present.entries.some((before) => covers(before, allow)));
  if (added.some(({ principal }) => principal === request.submitter))
    throw new BulkheadError(
      'separation_of_duties',
      'Nobody may allow themselves. Somebody else has to grant that.',
    );
  if (request.container.mayGrant) return entries;
  if (added.length > 0 || (given.asksToAllow && allows.length === 0))
    throw tooWide(
      'Content may allow somebody only when it is new and its submitter holds the right "grant" on the container.',
    );
  const isDropped = present.entries.some(
    (before) => !isAllow(before) && !entries.some((after) => covers(after, before)),
  );
  if (isDropped)
    throw tooWide('Submitting a document again may not drop or shorten a deny. Change its access instead.');
  return allows.length > 0 ? entries : [...present.entries.filter(isAllow), ...entries];
}

const isAllow = ({ effect }: Entry): boolean => effect === 'allow';

/** Whether the one says the same whenever the other does. */
function covers(wide: Entry, narrow: Entry): boolean {
  return (
    wide.effect === narrow.effect &&
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
