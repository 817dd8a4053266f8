/** What the operations are given, checked against configuration and directory. */
import { BulkheadError } from '../errors.ts';
import { type Instant, instant, type PrincipalId } from '../policy/ids.ts';
import type { LabelScheme, OwnLabel } from '../policy/label.ts';
import type { Validity } from '../policy/validity.ts';
import type { NewEntry } from '../store/containers.ts';
import type { Work } from '../store/database.ts';
import { Principals } from '../store/principals.ts';

/** An own label by names; a level of `null` leaves it to the containers above. */
export interface LabelInput {
  readonly level: string | null;
  readonly compartments: readonly string[];
}

/** Milliseconds since 1970; half-open, an absent bound is unbounded. */
export interface Bounds {
  readonly validFrom?: number | undefined;
  readonly validUntil?: number | undefined;
}

/** A principal by its text form, see policy/principal.ts. */
export interface EntryInput extends Bounds {
  readonly principal: string;
  readonly effect: 'allow' | 'deny';
}

/**
 * The label with its compartments sorted and each once.
 * @throws BulkheadError `unknown_level`, `unknown_compartment`
 */
export function readLabel(scheme: LabelScheme, { level, compartments }: LabelInput): LabelInput {
  if (level !== null && rankOf(scheme, level) === undefined)
    throw new BulkheadError('unknown_level', `The level "${level}" is not configured.`);
  const unknown = compartments.find((compartment) => !scheme.compartments.has(compartment));
  if (unknown !== undefined)
    throw new BulkheadError('unknown_compartment', `The compartment "${unknown}" is not configured.`);
  return { level, compartments: [...new Set(compartments)].sort() };
}

/** The label as the policy compares it. */
export function toOwnLabel(scheme: LabelScheme, { level, compartments }: LabelInput): OwnLabel {
  return { rank: level === null ? undefined : rankOf(scheme, level), compartments: new Set(compartments) };
}

function rankOf(scheme: LabelScheme, name: string): number | undefined {
  return scheme.levels.find((level) => level.name === name)?.rank;
}

/** @throws BulkheadError `invalid_request` for an interval that holds no instant */
export function readValidity({ validFrom, validUntil }: Bounds, path = 'valid_until'): Validity {
  if (validFrom !== undefined && validUntil !== undefined && validUntil <= validFrom)
    throw invalid(path, 'must be later than the beginning');
  return {
    validFrom: validFrom === undefined ? undefined : instant(validFrom),
    validUntil: validUntil === undefined ? undefined : instant(validUntil),
  };
}

/** @throws BulkheadError `unknown_principal`, `invalid_request` */
export async function readEntry(trx: Work, input: EntryInput): Promise<NewEntry> {
  return toEntry(await knownPrincipals(trx, [input.principal]), input, 'valid_until');
}

/** @throws BulkheadError `unknown_principal`, `invalid_request` */
export async function readEntries(trx: Work, inputs: readonly EntryInput[]): Promise<readonly NewEntry[]> {
  const ids = await knownPrincipals(
    trx,
    inputs.map(({ principal }) => principal),
  );
  return inputs.map((input, i) => toEntry(ids, input, `entries.${i}.valid_until`));
}

function toEntry(ids: ReadonlyMap<string, PrincipalId>, input: EntryInput, path: string): NewEntry {
  return { principal: idOf(ids, input.principal), effect: input.effect, ...readValidity(input, path) };
}

/** The ids of all of these. @throws BulkheadError `unknown_principal` naming the first that does not exist */
export async function knownPrincipals(
  trx: Work,
  keys: readonly string[],
): Promise<ReadonlyMap<string, PrincipalId>> {
  const ids = await Principals.within(trx).idsOf(keys);
  for (const key of keys) idOf(ids, key);
  return ids;
}

export function idOf(ids: ReadonlyMap<string, PrincipalId>, key: string): PrincipalId {
  const id = ids.get(key);
  if (id === undefined) throw new BulkheadError('unknown_principal', `The directory does not have ${key}.`);
  return id;
}

export function invalid(path: string, message: string): BulkheadError {
  return new BulkheadError('invalid_request', `"${path}" ${message}.`, { issues: [{ path, message }] });
}

/** As the audit log writes an interval: `null` is unbounded. */
export function interval({ validFrom, validUntil }: Validity): {
  from: Instant | null;
  until: Instant | null;
} {
  return { from: validFrom ?? null, until: validUntil ?? null };
}
