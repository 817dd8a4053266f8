import type { Instant } from './ids.ts';

/** A half-open interval [validFrom, validUntil); an absent bound is unbounded on that side. */
export interface Validity {
  readonly validFrom?: Instant | undefined;
  readonly validUntil?: Instant | undefined;
}

export function isValidAt(validity: Validity, now: Instant): boolean {
  if (validity.validFrom !== undefined && now < validity.validFrom) return false;
  return validity.validUntil === undefined || now < validity.validUntil;
}
