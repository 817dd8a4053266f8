/** What a change would let its maker read: the rule by effect of separation-of-duties.ts, put to a change. */
import type { AuditEvent } from '../audit/audit-log.ts';
import { type AccessClass, lineage } from '../policy/access-class.ts';
import type { ClassId } from '../policy/ids.ts';
import { dominates, joinLabels, type Label, type LabelScheme } from '../policy/label.ts';
import type { StoredClass } from '../store/access-classes.ts';
import type { Changer } from './change.ts';
import { ownReachAlert } from './events.ts';
import { heldSubjects, placesOf, refuseHeldGains } from './held-services.ts';
import { type OwnGain, OwnRaise, ownGains, type Placement } from './separation-of-duties.ts';

/** A change of one container, with every class that it reaches. */
export interface SubtreeChange {
  readonly path: string;
  /** The container as it is. */
  readonly cls: StoredClass;
  readonly before: ReadonlyMap<ClassId, StoredClass>;
  readonly after: ReadonlyMap<ClassId, StoredClass>;
}

/** @throws OwnRaise when the change lets its maker, or who they can act as, read what they may not read now */
export async function refuseOwnReach(
  scheme: LabelScheme,
  changer: Changer,
  change: SubtreeChange,
): Promise<void> {
  if (gainsOf(scheme, changer, change).length > 0) throw new OwnRaise('effect', change.path);
  if (await heldGains(scheme, changer, change)) throw new OwnRaise('effect', change.path);
}

/**
 * An alert when the change lets its maker read more through an entry that names others too.
 * @throws OwnRaise when it is an entry that names their own account, or lets a service whose key they made read more
 *   than they do
 */
export async function alertsOfOwnReach(
  scheme: LabelScheme,
  changer: Changer,
  operation: string,
  change: SubtreeChange,
): Promise<readonly AuditEvent[]> {
  const gains = gainsOf(scheme, changer, change);
  const makersGain = await heldGains(scheme, changer, change);
  return alertsOf(gains, makersGain, changer, operation, change.path);
}

/**
 * Of a change of entries and labels at once: as a change of labels where these loosen, and of entries where they do not.
 * @throws OwnRaise
 */
export async function alertsOfMixedReach(
  scheme: LabelScheme,
  changer: Changer,
  operation: string,
  change: SubtreeChange,
): Promise<readonly AuditEvent[]> {
  const gains = gainsOf(scheme, changer, change);
  const makersGain = await heldGains(scheme, changer, change);
  // what is below a container keeps as much of its own label as the container does, or more
  const isByLabel = gains.some((gain) => isLoosened(change, gain.class));
  if (isByLabel || (makersGain && isLoosened(change, change.cls.id)))
    throw new OwnRaise('effect', change.path);
  return alertsOf(gains, makersGain, changer, operation, change.path);
}

function isLoosened({ before, after }: SubtreeChange, id: ClassId): boolean {
  const [old, wanted] = [effectiveLabel(id, before), effectiveLabel(id, after)];
  return wanted !== undefined && (old === undefined || !dominates(wanted, old));
}

/** @returns `undefined` where neither the class nor one above has a level */
export function effectiveLabel(id: ClassId, classes: ReadonlyMap<ClassId, StoredClass>): Label | undefined {
  return joinLabels((lineage(id, lookupIn(classes)) ?? []).map(({ label }) => label));
}

async function heldGains(
  scheme: LabelScheme,
  { trx, authority }: Changer,
  { path, before, after }: SubtreeChange,
): Promise<boolean> {
  const subjects = await heldSubjects(trx, authority);
  if (subjects === undefined) return false;
  const views = [
    { subjects, lookup: lookupIn(before) },
    { subjects, lookup: lookupIn(after) },
  ] as const;
  return refuseHeldGains(scheme, authority.now, path, views, placesOf(before));
}

function gainsOf(scheme: LabelScheme, { authority }: Changer, change: SubtreeChange): readonly OwnGain[] {
  const { subject, now } = authority;
  return ownGains(
    scheme,
    now,
    { subject, lookup: lookupIn(change.before) },
    { subject, lookup: lookupIn(change.after) },
    inPlace(change.before),
  );
}

/** @param makersGain whether who made the key that the caller came with gains, too */
export function alertsOf(
  gains: readonly OwnGain[],
  makersGain: boolean,
  { authority, by }: Changer,
  operation: string,
  target: string,
): readonly AuditEvent[] {
  const { user, tenant } = { ...authority.subject };
  if (gains.some(({ through }) => through === user.principal)) throw new OwnRaise('entry', target);
  return gains.length === 0 && !makersGain ? [] : [ownReachAlert(tenant, by, operation, target)];
}

export const lookupIn =
  (classes: ReadonlyMap<ClassId, AccessClass>) =>
  (id: ClassId): AccessClass | undefined =>
    classes.get(id);

/** The classes that hold documents, none of which moves. */
export function inPlace(classes: ReadonlyMap<ClassId, StoredClass>): readonly Placement[] {
  return [...classes.values()].flatMap((cls): Placement[] => (cls.hasDocuments ? [[cls.id, cls.id]] : []));
}
