/**
 * Nobody raises their own rights (Saltzer and Schroeder, "The protection of information in computer systems",
 * 1975: separation of privilege). Two kinds of rule:
 *
 * By name, whatever the effect: no membership, clearance, right or ceiling for a principal of one's own, and no
 * entry in favour of one's own account. A group counts as one's own when one is in it now or at any other time,
 * `everyone` always does, and so do the service acting for the caller, every service whose key the caller made, and so
 * has seen, and whoever made the key that the caller came with: nobody is two people.
 *
 * By effect: no change of labels or memberships after which its maker reads a document, now or later, that they
 * could not read before, however strongly they sign in. Labels are the mandatory part of the policy, and whom a
 * loosening lets in must not be who loosens. The same of services whose key they made: held-services.ts.
 *
 * Entries that name groups or `everyone` are the discretionary part: opening a folder to one's department is
 * what the right `grant` is for, all its members see it happen, and a mistaken revocation must be undoable by
 * who made it. They are allowed, within a clearance that one cannot raise, and leave an alert when their maker
 * comes to read more by them. A service is no member who sees it happen: what lets one read, whose key the maker holds,
 * beyond what the maker reads, is refused by entries too.
 */
import { type ClassLookup, type Entry, lineage } from '../policy/access-class.ts';
import { decide } from '../policy/decide.ts';
import type { ClassId, Instant, PrincipalId } from '../policy/ids.ts';
import type { LabelScheme } from '../policy/label.ts';
import type { Subject } from '../policy/subject.ts';
import type { Validity } from '../policy/validity.ts';
import { heldAndAround, heldPrincipals } from '../store/api-keys.ts';
import type { Authority } from '../store/authority.ts';
import type { Work } from '../store/database.ts';

export type OwnRaiseRule = 'membership' | 'clearance' | 'right' | 'ceiling' | 'entry' | 'effect' | 'key';

const DETAILS: Readonly<Record<OwnRaiseRule, string>> = {
  membership:
    'This would add yourself, or a group that you are in, to a group. Another administrator has to do it.',
  clearance: 'This would raise your own clearance. Another administrator has to do it.',
  right: 'This would give you a right yourself. Another administrator has to do it.',
  ceiling:
    'This would change the limits of the account that makes the change. Another administrator has to do it.',
  entry: 'This would change an entry in favour of your own account. Somebody else has to do it.',
  effect: 'This would let you read what you may not read now. Somebody whom it does not let in has to do it.',
  key: 'A service makes no key for itself, nor in the name of somebody it acts for. An administrator has to do it.',
};

/** A change that its maker may not make; nothing of it is kept. */
export class OwnRaise extends Error {
  override readonly name = 'OwnRaise';
  readonly detail: string;

  /** @param target the principal, container or document that was to be changed, by its public name */
  constructor(
    readonly rule: OwnRaiseRule,
    readonly target: string,
  ) {
    super(rule);
    this.detail = DETAILS[rule];
  }
}

/** All that the caller is or can act as or is in, now or at another time, with the service acting for them. */
export async function ownPrincipals(
  trx: Work,
  authority: Pick<Authority, 'subject' | 'revocable'>,
): Promise<ReadonlySet<PrincipalId>> {
  return (await ownSubjects(trx, authority)).around;
}

/** The same, and whom the caller can act as by themselves, without the groups that these are in. */
export function ownSubjects(
  trx: Work,
  authority: Pick<Authority, 'subject' | 'revocable'>,
): ReturnType<typeof heldAndAround> {
  const { user, actor } = authority.subject;
  return heldAndAround(trx, authority, [...user.principals, ...(actor?.principals ?? [])]);
}

/** @throws OwnRaise when one of the principals is the caller's own */
export function refuseOwn(
  own: ReadonlySet<PrincipalId>,
  rule: OwnRaiseRule,
  principals: readonly { readonly id: PrincipalId; readonly key: string }[],
): void {
  const mine = principals.find(({ id }) => own.has(id));
  if (mine !== undefined) throw new OwnRaise(rule, mine.key);
}

/**
 * Refuses an allow that names the caller's own account, and the end of a deny that names it or the service
 * acting for it.
 * @throws OwnRaise
 */
export function refuseOwnEntries(
  { user, actor }: Subject,
  before: readonly Entry[],
  after: readonly Entry[],
  target: string,
): void {
  const allows = after.filter((entry) => entry.effect === 'allow' && entry.principal === user.principal);
  const denies = before.filter(
    ({ effect, principal }) =>
      effect === 'deny' && (principal === user.principal || principal === actor?.principal),
  );
  const isNew = allows.some((entry) => !before.some((old) => isWithin(entry, old)));
  const isLost = denies.some((entry) => !after.some((kept) => isWithin(entry, kept)));
  if (isNew || isLost) throw new OwnRaise('entry', target);
}

/**
 * The same of whom they can act as by a key that they made, and of who made the key that they came with.
 * @throws OwnRaise
 */
export async function refuseEntriesOfHeld(
  trx: Work,
  authority: Pick<Authority, 'subject' | 'revocable'>,
  before: readonly Entry[],
  after: readonly Entry[],
  target: string,
): Promise<void> {
  refuseEntriesOf(await heldPrincipals(trx, authority), authority.subject, before, after, target);
}

/** @throws OwnRaise as `refuseOwnEntries`, of each of `held` in the caller's place */
export function refuseEntriesOf(
  held: ReadonlySet<PrincipalId>,
  subject: Subject,
  before: readonly Entry[],
  after: readonly Entry[],
  target: string,
): void {
  for (const principal of held)
    refuseOwnEntries({ ...subject, user: { ...subject.user, principal } }, before, after, target);
}

/** True when the outer entry says the same for at least as long. */
function isWithin(inner: Entry, outer: Entry): boolean {
  return (
    inner.effect === outer.effect &&
    inner.principal === outer.principal &&
    (outer.validFrom ?? -Infinity) <= (inner.validFrom ?? -Infinity) &&
    (outer.validUntil ?? Infinity) >= (inner.validUntil ?? Infinity)
  );
}

/** The policy at one side of a change, as far as the change can reach. */
export interface PolicyView {
  readonly subject: Subject;
  readonly lookup: ClassLookup;
}

/** Where documents sit before and after; one that is not moved sits in the same class. */
export type Placement = readonly [before: ClassId, after: ClassId];

/** What the change lets its maker read that they could not read before, at any instant from now on. */
export interface OwnGain {
  readonly class: ClassId;
  /** Whom the deciding allow entry names. */
  readonly through: PrincipalId | undefined;
}

export function ownGains(
  scheme: LabelScheme,
  now: Instant,
  before: PolicyView,
  after: PolicyView,
  placements: readonly Placement[],
): readonly OwnGain[] {
  const strongest = withoutSafeguards(scheme);
  return placements.flatMap(([from, to]) => {
    for (const at of instantsOf(now, [before, after], [from, to])) {
      if (verdict(strongest, before, from, at).kind === 'allow') continue;
      const decision = verdict(strongest, after, to, at);
      if (decision.kind === 'allow') return [{ class: to, through: decision.trace.allow?.entry.principal }];
    }
    return [];
  });
}

/** The user alone: an acting service only narrows, and its limits are not the user's to lean on. */
function verdict(scheme: LabelScheme, { subject, lookup }: PolicyView, cls: ClassId, now: Instant) {
  return decide({ subject: { ...subject, actor: undefined }, class: cls, lookup, scheme, now });
}

/** As if the caller were signed in as strongly as any level asks. */
export function withoutSafeguards(scheme: LabelScheme): LabelScheme {
  return { ...scheme, levels: scheme.levels.map((level) => ({ ...level, safeguards: {} })) };
}

/** Now, and each later instant at which an entry or a clearance concerned begins or ends. */
function instantsOf(
  now: Instant,
  views: readonly PolicyView[],
  classes: readonly ClassId[],
): readonly Instant[] {
  const concerned: Validity[] = views.flatMap(({ subject, lookup }) => [
    ...subject.user.clearances,
    ...classes
      .flatMap((id) => lineage(id, lookup) ?? [])
      .flatMap((cls) => cls.entries)
      .filter(({ principal }) => subject.user.principals.has(principal)),
  ]);
  const bounds = concerned.flatMap(({ validFrom, validUntil }) => [validFrom ?? now, validUntil ?? now]);
  return [...new Set([now, ...bounds.filter((at) => at > now)])];
}
