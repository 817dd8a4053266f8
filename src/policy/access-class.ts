import type { ClassId, PrincipalId } from './ids.ts';
import type { OwnLabel } from './label.ts';
import type { Validity } from './validity.ts';

/** One line of an access-control list. */
export interface Entry extends Validity {
  readonly principal: PrincipalId;
  readonly effect: 'allow' | 'deny';
}

/** Own label, own entries and parent: the only permission that a vector carries, as one integer. */
export interface AccessClass {
  readonly id: ClassId;
  readonly parent: ClassId | undefined;
  /** False cuts the allows that would come from above; denies and labels always flow down. */
  readonly inherits: boolean;
  readonly label: OwnLabel;
  readonly entries: readonly Entry[];
}

/** Looks a class up by id; `undefined` for one that does not exist. */
export type ClassLookup = (id: ClassId) => AccessClass | undefined;

/**
 * The class and its ancestors, nearest first. A missing ancestor or a cycle gives `undefined`: a path that
 * cannot be walked to its root proves nothing and so allows nothing.
 */
export function lineage(id: ClassId, lookup: ClassLookup): readonly AccessClass[] | undefined {
  const path: AccessClass[] = [];
  const seen = new Set<ClassId>();
  let next: ClassId | undefined = id;
  while (next !== undefined) {
    const found: AccessClass | undefined = lookup(next);
    if (found === undefined || seen.has(next)) return undefined;
    seen.add(next);
    path.push(found);
    next = found.parent;
  }
  return path;
}
