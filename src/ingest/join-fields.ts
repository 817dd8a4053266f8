import { BulkheadError } from '../errors.ts';
import type { LabelScheme } from '../policy/label.ts';
import type { AccessFields } from './parsers/access-fields.ts';

export type AccessEntry = AccessFields['entries'][number];

/** The access fields of request, sidecar and front matter in one. */
export interface JoinedFields {
  readonly level: string | undefined;
  /** Sorted, each once. */
  readonly compartments: readonly string[];
  readonly inherits: boolean | undefined;
  /** `undefined` when nobody names any; empty when they agree on none. */
  readonly entries: readonly AccessEntry[] | undefined;
  /** Whether any of them has an allow, agreed on or not. */
  readonly asksToAllow: boolean;
}

/**
 * Joins to the tighter: the highest level, all compartments, a cut of inheritance that any of them makes, all
 * denies, and of the allows those on which all agree that name any.
 * @throws BulkheadError `unknown_level`
 */
export function joinFields(
  fields: readonly AccessFields[],
  scheme: Pick<LabelScheme, 'levels'>,
): JoinedFields {
  return {
    level: highest(
      fields.flatMap(({ level }) => level ?? []),
      scheme,
    ),
    compartments: [...new Set(fields.flatMap(({ compartments }) => compartments))].sort(),
    inherits: inheritsOf(fields),
    entries: entriesOf(fields),
    asksToAllow: fields.some(({ entries }) => entries.some(({ effect }) => effect === 'allow')),
  };
}

function entriesOf(fields: readonly AccessFields[]): readonly AccessEntry[] | undefined {
  const all = fields.flatMap(({ entries }) => entries);
  if (all.length === 0) return undefined;
  return [...all.filter(({ effect }) => effect === 'deny'), ...commonAllows(fields)];
}

function highest(levels: readonly string[], scheme: Pick<LabelScheme, 'levels'>): string | undefined {
  const known = scheme.levels.map(({ name }) => name);
  const unknown = levels.find((level) => !known.includes(level));
  if (unknown !== undefined)
    throw new BulkheadError('unknown_level', `The level "${unknown}" is not configured.`);
  return known.findLast((level) => levels.includes(level));
}

function inheritsOf(fields: readonly AccessFields[]): boolean | undefined {
  const said = fields.flatMap(({ inherits }) => inherits ?? []);
  return said.length === 0 ? undefined : said.every(Boolean);
}

/** An allow holds while each list that has allows gives it. */
function commonAllows(fields: readonly AccessFields[]): readonly AccessEntry[] {
  const lists = fields
    .map(({ entries }) => entries.filter(({ effect }) => effect === 'allow'))
    .filter((allows) => allows.length > 0);
  const [first = [], ...others] = lists;
  return others.reduce<readonly AccessEntry[]>(
    (common, list) => common.flatMap((a) => list.flatMap((b) => overlap(a, b) ?? [])),
    first,
  );
}

function overlap(a: AccessEntry, b: AccessEntry): AccessEntry | undefined {
  if (a.principal !== b.principal) return undefined;
  const from = Math.max(a.validFrom ?? -Infinity, b.validFrom ?? -Infinity);
  const until = Math.min(a.validUntil ?? Infinity, b.validUntil ?? Infinity);
  if (from >= until) return undefined;
  return {
    principal: a.principal,
    effect: 'allow',
    ...(from !== -Infinity && { validFrom: from }),
    ...(until !== Infinity && { validUntil: until }),
  };
}
