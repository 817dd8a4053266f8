/**
 * One caller's questions about what subjects may do. Each answer is of the policy as the caller's authority saw it, and
 * of what the caller may know: about themselves, what they may do; about others, what they oversee.
 */
import { isBulkheadError } from '../errors.ts';
import { lineage } from '../policy/access-class.ts';
import { dominatingClearance } from '../policy/clearance.ts';
import { type Decision, decide } from '../policy/decide.ts';
import { type ClassId, classId, documentId } from '../policy/ids.ts';
import { dominates, joinLabels } from '../policy/label.ts';
import { classesAboveAll, type StoredClass } from '../store/access-classes.ts';
import { type Authority, authorize, type CallerIdentity } from '../store/authority.ts';
import { Containers } from '../store/containers.ts';
import type { Work } from '../store/database.ts';
import { classesWithRight } from '../store/decision-search.ts';
import { findDocumentPlace } from '../store/document-access.ts';
import { newlyIssued } from '../store/revocable.ts';
import { rightsOn } from '../store/rights.ts';
import { readVisibleSet } from '../store/visible-set.ts';
import type { AdminParts } from './change.ts';
import type { Deed, Target } from './decision-vocabulary.ts';
import { isUuid } from './reach.ts';

/** Where a target is: its class, and for a document what a record of the answer holds it by. */
export interface Place {
  readonly class: ClassId;
  readonly document?: readonly [id: string, classId: number, version: number] | undefined;
  /** False of a document that nobody reads yet. */
  readonly isLive: boolean;
}

/** What is said of a subject and a place. */
export type Finding =
  | { readonly kind: 'allow' }
  | { readonly kind: 'deny'; readonly reason: string }
  | Pick<Extract<Decision, { kind: 'stepUp' }>, 'kind' | 'need'>
  /** The caller may not know, or there is nothing to know: the two are one. */
  | { readonly kind: 'untold' };

export const UNTOLD: Finding = { kind: 'untold' };

/** The class of what does not exist. */
const NOWHERE = classId(0);

/** Classes in one statement. */
const CHUNK = 500;

export class Inquiry {
  readonly authority: Authority;
  readonly #parts: AdminParts;
  readonly #identity: CallerIdentity;
  readonly #subjects = new Map<string, Promise<Authority | 'disabled' | undefined>>();
  readonly #visible = new Map<Authority, Promise<ReadonlyMap<ClassId, number>>>();
  readonly #places = new Map<string, Promise<Place | undefined>>();
  readonly #overseen = new Map<ClassId, Promise<boolean>>();
  readonly #classes = new Map<ClassId, StoredClass>();

  constructor(parts: AdminParts, identity: CallerIdentity, authority: Authority) {
    this.#parts = parts;
    this.#identity = identity;
    this.authority = authority;
  }

  isCaller(principal: string): boolean {
    return principal === this.#identity.user;
  }

  /** @param subject in text form */
  async ask(subject: string, target: Target): Promise<Finding> {
    const place = await this.place(target);
    if (this.isCaller(subject)) return this.#askOneself(place, target.deed);
    // asked of a missing one too, so that it costs what a hidden one does
    const isOverseen = await this.oversees(place?.class ?? NOWHERE);
    if (place === undefined || !isOverseen) return UNTOLD;
    const about = await this.subject(subject);
    if (about === undefined) return UNTOLD;
    if (about === 'disabled') return { kind: 'deny', reason: 'account-disabled' };
    return this.finding(about, place, target.deed);
  }

  /** The visible set and `decide()`; or the right as the database grants it. */
  async finding(about: Authority, place: Place, deed: Deed): Promise<Finding> {
    if (deed !== 'read') {
      const rights = await this.#work(about, (trx) => rightsOn(trx, place.class));
      return rights.has(deed) ? { kind: 'allow' } : { kind: 'deny', reason: 'no-right' };
    }
    if (!place.isLive) return { kind: 'deny', reason: 'not-live' };
    await this.load([place.class]);
    const decision = this.decide(about, place.class);
    if (decision.kind === 'stepUp') return { kind: 'stepUp', need: decision.need };
    if (decision.kind === 'deny') return { kind: 'deny', reason: decision.reason };
    const isVisible = (await this.visible(about)).has(place.class);
    return isVisible ? { kind: 'allow' } : { kind: 'deny', reason: 'not-visible' };
  }

  /** Of oneself only what one may do: all else is about something that does not exist. */
  async #askOneself(place: Place | undefined, deed: Deed): Promise<Finding> {
    const cls = place?.class ?? NOWHERE;
    // asked of a missing one too, so that it costs what a hidden one does
    const isVisible = deed !== 'read' || (await this.visible(this.authority)).has(cls);
    if (place === undefined || !isVisible) return UNTOLD;
    const finding = await this.finding(this.authority, place, deed);
    return finding.kind === 'allow' ? finding : UNTOLD;
  }

  /** @param cls loaded before */
  decide(about: Authority, cls: ClassId): Decision {
    return decide({
      subject: about.subject,
      class: cls,
      lookup: (id) => this.#classes.get(id),
      scheme: this.#parts.scheme,
      now: about.now,
    });
  }

  /**
   * The subject as the directory knows it now, with no sign-in shown: a level that asks for one is not met.
   * `undefined` for nobody.
   */
  subject(principal: string): Promise<Authority | 'disabled' | undefined> {
    if (this.isCaller(principal)) return Promise.resolve(this.authority);
    return memo(this.#subjects, principal, () => this.#lookUp(principal));
  }

  async #lookUp(user: string): Promise<Authority | 'disabled' | undefined> {
    const { database, scheme } = this.#parts;
    const { tenant } = this.#identity;
    const unshown = { actor: undefined, acr: undefined, authTime: undefined, tokenGroups: [] };
    try {
      const revocable = newlyIssued([user]);
      return await authorize(database, 'admin', scheme, { tenant, user, ...unshown, revocable });
    } catch (error) {
      if (isBulkheadError(error) && error.code === 'subject_disabled') return 'disabled';
      if (isBulkheadError(error) && error.code === 'subject_unknown') return undefined;
      throw error;
    }
  }

  place(target: Target): Promise<Place | undefined> {
    const key = target.kind === 'document' ? `d ${target.document}` : `c ${target.path}`;
    return memo(this.#places, key, () =>
      target.kind === 'document' ? this.#documentPlace(target.document) : this.#containerPlace(target.path),
    );
  }

  async #documentPlace(id: string): Promise<Place | undefined> {
    if (!isUuid(id)) return undefined;
    const found = await this.#work(this.authority, (trx) => findDocumentPlace(trx, documentId(id)));
    if (found === undefined) return undefined;
    const { class: cls, version } = found;
    return { class: cls, document: [found.id, cls, version], isLive: version > 0 };
  }

  async #containerPlace(path: string): Promise<Place | undefined> {
    const found = await this.#work(this.authority, (trx) => Containers.within(trx).find(path));
    return found && { class: found.id, isLive: true };
  }

  visible(about: Authority): Promise<ReadonlyMap<ClassId, number>> {
    return memo(this.#visible, about, async () => {
      const { ranks } = await readVisibleSet(this.#parts.database, about.context, undefined, 'admin');
      return ranks;
    });
  }

  /** Whether the caller holds `audit` there and one clearance that alone covers its label, and no limit is in the way. */
  oversees(cls: ClassId): Promise<boolean> {
    return memo(this.#overseen, cls, async () => (await this.overseen([cls])).has(cls));
  }

  /** Those among the classes that the caller oversees, which are then loaded. */
  async overseen(classes: readonly ClassId[]): Promise<ReadonlySet<ClassId>> {
    const kept = new Set<ClassId>();
    for (let i = 0; i < classes.length; i += CHUNK) {
      const chunk = classes.slice(i, i + CHUNK);
      const audited = await this.#work(this.authority, (trx) => classesWithRight(trx, chunk, 'audit'));
      await this.load([...audited]);
      for (const id of audited) if (this.#isCleared(id)) kept.add(id);
    }
    return kept;
  }

  #isCleared(cls: ClassId): boolean {
    const { subject, context, now } = this.authority;
    const path = lineage(cls, (id) => this.#classes.get(id));
    const label = path && joinLabels(path.map((one) => one.label));
    if (label === undefined || label.rank > context.maxRank) return false;
    const ceiling = subject.actor?.ceiling;
    const isAdmitted = subject.actor === undefined || (ceiling !== undefined && dominates(ceiling, label));
    return isAdmitted && dominatingClearance(subject.user.clearances, label, now) !== undefined;
  }

  /** A container's path; `undefined` for a class that was not loaded or is of single documents. */
  pathOf(cls: ClassId): string | undefined {
    return this.#classes.get(cls)?.path;
  }

  /** Reads the classes with what is above them, for `decide`. */
  async load(classes: readonly ClassId[]): Promise<void> {
    const missing = classes.filter((id) => !this.#classes.has(id));
    for (let i = 0; i < missing.length; i += CHUNK) {
      const chunk = missing.slice(i, i + CHUNK);
      const found = await this.#work(this.authority, (trx) => classesAboveAll(trx, chunk));
      for (const [id, cls] of found) this.#classes.set(id, cls);
    }
  }

  #work<T>(about: Authority, work: (trx: Work) => Promise<T>): Promise<T> {
    return this.#parts.database.unitOfWork('admin', about.context, work);
  }
}

function memo<K, T>(map: Map<K, Promise<T>>, key: K, make: () => Promise<T>): Promise<T> {
  const made = map.get(key) ?? make();
  map.set(key, made);
  return made;
}
