/** A container, with everything below it, below another one: docs/decisions/0024-moving-a-subtree.md. */
import type { AuditEvent } from '../audit/audit-log.ts';
import { BulkheadError } from '../errors.ts';
import { type Entry, lineage } from '../policy/access-class.ts';
import type { ClassId, Instant } from '../policy/ids.ts';
import { classesAbove, classesBelow, type StoredClass } from '../store/access-classes.ts';
import type { Authority } from '../store/authority.ts';
import { Containers } from '../store/containers.ts';
import { bringsRights, entersLimits } from '../store/moves.ts';
import { type Right, requireCredentialRight, rightMissing } from '../store/rights.ts';
import { type AdminCaller, type AdminParts, type Changer, makeChange, type Outcome } from './change.ts';
import { LONGEST_PATH, pathAbove } from './containers.ts';
import { invalid } from './input.ts';
import { alertsOfMixedReach, effectiveLabel, lookupIn, type SubtreeChange } from './own-reach.ts';
import { containerWithRight, findContainer, type KnownContainer, noContainer } from './reach.ts';
import { OwnRaise, ownPrincipals, refuseEntriesOfHeld, refuseOwnEntries } from './separation-of-duties.ts';

export interface MoveInput {
  readonly container: string;
  /** The path of the container that it is to hang below. */
  readonly to: string;
}

/** A move that the caller may make, as far as rights go. */
interface Move {
  readonly container: KnownContainer;
  readonly to: KnownContainer;
  /** What the container is called afterwards. */
  readonly path: string;
}

/**
 * Needs `grant` and `label` on the container, `administer` on its parent, and all three on each container that it leaves,
 * whose labels and denies it sheds, and on the one that it goes below. Its name stays. Nothing happens to one that hangs
 * there already.
 * @returns its path from now on
 * @throws BulkheadError `not_found`; `unknown_container` for where it is to go; `right_missing`, `insufficient_scope`;
 *   `invalid_request` for the root, for a place below itself and where paths get too long; `conflict` when its name is
 *   taken there; `label_required` when it would be left without a level; `separation_of_duties`
 */
export function moveContainer(parts: AdminParts, caller: AdminCaller, input: MoveInput): Promise<string> {
  return makeChange(parts, caller, {
    operation: 'moveContainer',
    locate: (authority) => locateMove(parts, authority, input),
    apply: (changer, move) => applyMove(parts, changer, move),
  });
}

const NEEDED: readonly Right[] = ['administer', 'grant', 'label'];

async function locateMove(parts: AdminParts, authority: Authority, input: MoveInput): Promise<Move> {
  for (const right of NEEDED) requireCredentialRight(authority.context, right);
  const container = await containerWithRight(parts, authority, input.container, 'grant');
  requireRights(container, ['label']);
  if (container.path === '/') throw invalid('container', 'must not be the root, below which everything is');
  const parent = pathAbove(container.path);
  await requireAbove(parts, authority, parent, ['administer']);
  const left = topmostLeft(parent, input.to);
  if (left !== undefined) await requireAbove(parts, authority, left, NEEDED);
  const to = await containerWithRight(parts, authority, input.to, 'administer', 'unknown_container');
  requireRights(to, NEEDED);
  if (`${to.path}/`.startsWith(`${container.path}/`))
    throw invalid('to', 'must be neither the container itself nor one below it');
  const name = container.path.slice(container.path.lastIndexOf('/'));
  return { container, to, path: to.path === '/' ? name : `${to.path}${name}` };
}

/**
 * The highest container above the old place that is not above the new one too, by the paths alone: rights on it are held
 * on all that is left. `undefined` when the new place is below the parent, and nothing is shed.
 */
function topmostLeft(parent: string, to: string): string | undefined {
  const [names, others] = [parent, to].map((path) => path.split('/').filter((name) => name !== ''));
  const common = (names ?? []).findIndex((name, i) => name !== others?.[i]);
  return common < 0 ? undefined : `/${(names ?? []).slice(0, common + 1).join('/')}`;
}

/** @throws BulkheadError `right_missing`: whoever knows of a container knows the paths of what is above it */
async function requireAbove(
  parts: AdminParts,
  authority: Authority,
  path: string,
  needed: readonly Right[],
): Promise<void> {
  const found = await findContainer(parts, authority, path);
  requireRights({ path, rights: found?.rights ?? new Set() }, needed);
}

/** @throws BulkheadError `right_missing`: the caller knows of the container already */
function requireRights(
  { rights, path }: Pick<KnownContainer, 'rights' | 'path'>,
  needed: readonly Right[],
): void {
  const missing = needed.find((right) => !rights.has(right));
  if (missing !== undefined) throw rightMissing(missing, path);
}

async function applyMove(
  { scheme }: AdminParts,
  changer: Changer,
  { container, to, path }: Move,
): Promise<Outcome<string>> {
  const { trx, by, authority } = changer;
  if (path === container.path) return { result: path, events: [] };
  const change = await changeOf(changer, container, to);
  refuseLongPaths(change, path);
  refuseLostLabel(change);
  await refuseForOneself(changer, change, to.id);
  const alerts = await alertsOfMixedReach(scheme, changer, 'moveContainer', change);
  await Containers.within(trx).move(container.id, to.id);
  const moved: AuditEvent = {
    tenant: authority.subject.tenant,
    kind: 'container.moved',
    body: { ...by, from: container.path, to: path },
  };
  return { result: path, events: [moved, ...alerts] };
}

/** The container's subtree, and all that is above it before and after. */
async function changeOf(
  { trx }: Changer,
  container: KnownContainer,
  to: KnownContainer,
): Promise<SubtreeChange> {
  const before = new Map([...(await classesAbove(trx, to.id)), ...(await classesBelow(trx, container.id))]);
  const cls = before.get(container.id);
  if (cls === undefined) throw noContainer();
  const after = new Map(before).set(cls.id, { ...cls, parent: to.id });
  return { path: container.path, cls, before, after };
}

function refuseLongPaths({ path: old, before }: SubtreeChange, path: string): void {
  const lengths = [...before.values()].flatMap((cls) =>
    cls.path?.startsWith(`${old}/`) ? [cls.path.length - old.length + path.length] : [],
  );
  if (lengths.some((length) => length > LONGEST_PATH) || path.length > LONGEST_PATH)
    throw invalid(
      'to',
      `would give it, or a container below it, a path of more than ${LONGEST_PATH} characters`,
    );
}

function refuseLostLabel({ cls, before, after }: SubtreeChange): void {
  if (effectiveLabel(cls.id, before) !== undefined && effectiveLabel(cls.id, after) === undefined)
    throw new BulkheadError(
      'label_required',
      'Its level comes from above. Without one of its own, nobody could read anything in it there.',
    );
}

/**
 * By name, whatever the effect, as of a right that is given, a limit that is set and an entry that is written.
 * @throws OwnRaise
 */
async function refuseForOneself(
  { trx, authority }: Changer,
  { path, cls, before, after }: SubtreeChange,
  to: ClassId,
): Promise<void> {
  const own = await ownPrincipals(trx, authority);
  const move = { container: cls.id, to };
  if (await bringsRights(trx, own, move)) throw new OwnRaise('right', path);
  const labels = { before: effectiveLabel(cls.id, before), after: effectiveLabel(cls.id, after) };
  if (await entersLimits(trx, own, move, labels)) throw new OwnRaise('ceiling', path);
  const [old, wanted] = [before, after].map((classes) => entriesReaching(cls.id, classes, authority.now));
  refuseOwnEntries(authority.subject, old ?? [], wanted ?? [], path);
  await refuseEntriesOfHeld(trx, authority, old ?? [], wanted ?? [], path);
}

/** Its own entries and those that come from above, without those that are over. */
function entriesReaching(
  id: ClassId,
  classes: ReadonlyMap<ClassId, StoredClass>,
  now: Instant,
): readonly Entry[] {
  let allowsPass = true;
  return (lineage(id, lookupIn(classes)) ?? []).flatMap(({ entries, inherits }) => {
    const reaching = entries.filter(
      ({ effect, validUntil }) =>
        (effect === 'deny' || allowsPass) && (validUntil === undefined || validUntil > now),
    );
    allowsPass &&= inherits;
    return reaching;
  });
}
