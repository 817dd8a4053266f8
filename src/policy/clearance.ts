import type { Instant, PrincipalId } from './ids.ts';
import { dominates, type Label } from './label.ts';
import { isValidAt, type Validity } from './validity.ts';

/** A level and compartments held by one principal. Two clearances are never joined with each other. */
export interface Clearance extends Label, Validity {
  readonly principal: PrincipalId;
}

/** The first clearance valid now that alone dominates the label. */
export function dominatingClearance(
  clearances: readonly Clearance[],
  label: Label,
  now: Instant,
): Clearance | undefined {
  return clearances.find((clearance) => isValidAt(clearance, now) && dominates(clearance, label));
}
