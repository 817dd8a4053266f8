/**
 * The rule by effect of separation-of-duties.ts, for the services that the caller can act as: those whose key they made,
 * and those of whoever made the key that they came with. A change that opens something to a group raises all who are in
 * it; one that lets such a service read what the maker of its key does not read then is for somebody else to make, by
 * entries too. What that maker reads afterwards is no gain: with the key they learn nothing more.
 *
 * A key with limits reads what its service does within them, so that a label which is lowered can be a gain by the key and
 * none by the service: each service is judged within the limits of each key too.
 *
 * Memberships are followed through time: a deny of a group that the service has left, or will be in, hides no gain.
 */
import { type ClassLookup, lineage } from '../policy/access-class.ts';
import { decide } from '../policy/decide.ts';
import type { ClassId, Instant, PrincipalId } from '../policy/ids.ts';
import type { LabelScheme } from '../policy/label.ts';
import type { ActorPart, Subject } from '../policy/subject.ts';
import { isValidAt, type Validity } from '../policy/validity.ts';
import type { StoredClass } from '../store/access-classes.ts';
import { heldPrincipals, KEY_ISSUER } from '../store/api-keys.ts';
import type { Authority } from '../store/authority.ts';
import type { Work } from '../store/database.ts';
import { historyOf, type PrincipalHistory } from '../store/principal-history.ts';
import { Principals } from '../store/principals.ts';
import { groupsAround } from '../store/rights.ts';
import { OwnRaise, type Placement, withoutSafeguards } from './separation-of-duties.ts';

/** Somebody, by what is theirs without being in a group of the directory. */
interface Holder {
  readonly principal: PrincipalId;
  readonly seeds: ReadonlySet<PrincipalId>;
  /** Those of a key. */
  readonly limits?: ActorPart | undefined;
}

/** Whom the caller can act as, and what all of them are in and cleared for. */
export interface HeldSubjects {
  readonly caller: Subject;
  /** Who may come to read nothing but what each of the readers reads. */
  readonly held: readonly Holder[];
  readonly readers: readonly Holder[];
  /** The persons who made the key that the caller came with: what they gain, they gain as if they made the change. */
  readonly makers: readonly Holder[];
  readonly history: PrincipalHistory;
}

/** @returns `undefined` when the caller is nobody but themselves */
export async function heldSubjects(
  trx: Work,
  authority: Pick<Authority, 'subject' | 'revocable' | 'now'>,
): Promise<HeldSubjects | undefined> {
  const caller = authority.subject;
  const self = caller.user.principal;
  const rows = await Principals.within(trx).byIds(await heldPrincipals(trx, authority));
  // what holds the limits of a key reads nothing itself
  const accounts = rows.filter(({ key }) => !key.startsWith(`service:${KEY_ISSUER}|`));
  if (accounts.every(({ id }) => id === self)) return undefined;
  const ofAll = [...(await Principals.within(trx).idsOf(['everyone'])).values()];
  const ids = [...new Set([self, ...accounts.map(({ id }) => id)])];
  const limits = await Principals.within(trx).limitsAmong(rows.filter((row) => !accounts.includes(row)));
  const seeds = [...ids, ...limits.map(({ principal }) => principal), ...ofAll, ...caller.user.principals];
  const history = await readHistory(trx, seeds);
  const own = seedsOf(caller, new Set([self, ...ofAll]), history, authority.now);
  const holders = ids.map((principal) => ({
    principal,
    seeds: principal === self ? own : new Set([principal, ...ofAll]),
  }));
  const persons = new Set(accounts.filter(({ kind }) => kind === 'user').map(({ id }) => id));
  const parts = partsOf(authority, holders, persons);
  // within those of each key, whosever it is: at worst, one service too many is looked at
  const limited = parts.held.flatMap((holder) => limits.map((one) => ({ ...holder, limits: one })));
  return { caller, ...parts, held: [...parts.held, ...limited], history };
}

/** Who answers for whom. Of a key that no person made, each of those who may have made it has to read what it gains. */
function partsOf(
  { subject, revocable }: Pick<Authority, 'subject' | 'revocable'>,
  holders: readonly Holder[],
  persons: ReadonlySet<PrincipalId>,
): Pick<HeldSubjects, 'held' | 'readers' | 'makers'> {
  const isByKey = revocable.some(({ kind, id }) => kind === 'key' && id.startsWith(`${KEY_ISSUER}|`));
  const isReader = ({ principal }: Holder) =>
    isByKey ? persons.has(principal) : principal === subject.user.principal;
  const readers = holders.filter(isReader);
  if (readers.length === 0) return { held: holders, readers: holders, makers: [] };
  const held = holders.filter((holder) => !isReader(holder));
  return { held, readers, makers: isByKey ? readers : [] };
}

/** The same after a change of memberships that is not committed yet. */
export async function heldAfterwards(trx: Work, subjects: HeldSubjects): Promise<HeldSubjects> {
  const seeds = [...subjects.held, ...subjects.readers].flatMap(({ seeds: own, limits }) => [
    ...own,
    ...(limits?.principals ?? []),
  ]);
  return { ...subjects, history: await readHistory(trx, seeds) };
}

async function readHistory(trx: Work, principals: readonly PrincipalId[]): Promise<PrincipalHistory> {
  return historyOf(trx, await groupsAround(trx, principals));
}

/** The caller's, with the groups that came with their token: those that the directory does not account for. */
function seedsOf(
  { user }: Subject,
  own: ReadonlySet<PrincipalId>,
  history: PrincipalHistory,
  now: Instant,
): ReadonlySet<PrincipalId> {
  const known = principalsAt(history, own, now);
  return new Set([...own, ...[...user.principals].filter((id) => !known.has(id))]);
}

/** One side of a change. */
export interface HeldView {
  readonly subjects: HeldSubjects;
  readonly lookup: ClassLookup;
}

/**
 * @param target the container, document or group that is changed, by its public name
 * @returns whether who made the key that the caller came with reads more by it, now or later
 * @throws OwnRaise when somebody held comes to read, now or later, what a reader does not read then
 */
export function refuseHeldGains(
  scheme: LabelScheme,
  now: Instant,
  target: string,
  [before, after]: readonly [HeldView, HeldView],
  placements: readonly Placement[],
): boolean {
  const { held, readers, makers } = after.subjects;
  const strongest = withoutSafeguards(scheme);
  const [then, thereafter] = [readingIn(strongest, before), readingIn(strongest, after)];
  const gained = (holder: Holder, [from, to]: Placement, at: Instant) =>
    !then(holder, from, at) && thereafter(holder, to, at);
  const isBeyond = (holder: Holder, placement: Placement, at: Instant) =>
    gained(holder, placement, at) && !readers.every((reader) => thereafter(reader, placement[1], at));
  const spans = [before, after].flatMap(({ subjects: { history } }) => [
    ...history.memberships,
    ...history.clearances,
  ]);
  let makersGain = false;
  for (const placement of placements)
    for (const at of instantsOf(now, [...spans, ...entriesAt(before, after, placement)])) {
      if (held.some((holder) => isBeyond(holder, placement, at))) throw new OwnRaise('effect', target);
      makersGain ||= makers.some((maker) => gained(maker, placement, at));
    }
  return makersGain;
}

/** Every class that a document is in or can get in: what opens an empty container opens what is put there next. */
export function placesOf(classes: ReadonlyMap<ClassId, StoredClass>): readonly Placement[] {
  return [...classes.values()].flatMap((cls): Placement[] =>
    cls.hasDocuments || cls.path !== undefined ? [[cls.id, cls.id]] : [],
  );
}

/** Whether somebody reads a class at an instant. */
function readingIn(scheme: LabelScheme, { subjects, lookup }: HeldView) {
  const known = new Map<string, Subject>();
  return (holder: Holder, cls: ClassId, at: Instant): boolean => {
    const key = `${holder.principal} ${holder.limits?.principal} ${at}`;
    const subject = known.get(key) ?? subjectAt(subjects, holder, at);
    known.set(key, subject);
    return decide({ subject, class: cls, lookup, scheme, now: at }).kind === 'allow';
  };
}

function subjectAt(
  { caller, history }: HeldSubjects,
  { principal, seeds, limits }: Holder,
  at: Instant,
): Subject {
  const principals = principalsAt(history, seeds, at);
  const clearances = history.clearances.filter((clearance) => principals.has(clearance.principal));
  const actor = limits && { ...limits, principals: principalsAt(history, limits.principals, at) };
  return { ...caller, actor, user: { ...caller.user, principal, principals, clearances } };
}

function principalsAt(
  { memberships }: PrincipalHistory,
  seeds: ReadonlySet<PrincipalId>,
  at: Instant,
): ReadonlySet<PrincipalId> {
  const valid = memberships.filter((membership) => isValidAt(membership, at));
  const found = new Set(seeds);
  // a set is walked through to what is added meanwhile
  for (const id of found) for (const { member, group } of valid) if (member === id) found.add(group);
  return found;
}

function entriesAt(before: HeldView, after: HeldView, [from, to]: Placement): readonly Validity[] {
  const classes = [...(lineage(from, before.lookup) ?? []), ...(lineage(to, after.lookup) ?? [])];
  // a change of memberships only takes away, so who is concerned after it was before
  const { principals } = before.subjects.history;
  return classes.flatMap(({ entries }) => entries).filter(({ principal }) => principals.has(principal));
}

/** Now, and each later instant at which one of these begins or ends. */
function instantsOf(now: Instant, validities: readonly Validity[]): readonly Instant[] {
  const bounds = validities.flatMap(({ validFrom, validUntil }) => [validFrom ?? now, validUntil ?? now]);
  return [...new Set([now, ...bounds.filter((at) => at > now)])];
}
