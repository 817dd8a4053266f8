import { LRUCache } from 'lru-cache';
import type { ClassId, Instant } from '../policy/ids.ts';
import { type VisibilityFilter, visibilityFilter } from '../policy/visibility-filter.ts';
import type { Authority } from '../store/authority.ts';
import type { Database } from '../store/database.ts';
import { readVisibleSet } from '../store/visible-set.ts';

export interface VisibleClasses {
  readonly filter: VisibilityFilter;
  /** Effective rank of each visible class. */
  readonly ranks: ReadonlyMap<ClassId, number>;
  /** Those ranks, each once. */
  readonly distinctRanks: ReadonlySet<number>;
}

interface Cached extends VisibleClasses {
  readonly watermark: number;
  readonly computedAt: Instant;
  /** First instant at which the clock alone may change the set. */
  readonly boundary: Instant | undefined;
}

/**
 * Visible sets, kept for as long as they provably hold: the same tenant, principals, clearances (through the
 * epoch) and strength of sign-in, the same epoch, and no validity boundary passed. Classes interned since are
 * added by asking for those alone.
 */
export class VisibleSets {
  readonly #database: Database;
  readonly #cache: LRUCache<string, Cached>;

  constructor(database: Database, capacity = 500) {
    this.#database = database;
    this.#cache = new LRUCache({ max: capacity });
  }

  /** The classes visible to the caller in the authority's epoch, or `undefined` when the epoch has moved on. */
  async of(authority: Authority): Promise<VisibleClasses | undefined> {
    const key = keyOf(authority);
    const cached = this.#cache.get(key);
    if (cached === undefined || !holdsAt(cached, authority.now))
      return this.#compute(key, authority, undefined);
    if (cached.watermark < authority.watermark) return this.#compute(key, authority, cached);
    return cached;
  }

  async #compute(
    key: string,
    authority: Authority,
    base: Cached | undefined,
  ): Promise<VisibleClasses | undefined> {
    const read = await readVisibleSet(this.#database, authority.context, base?.watermark);
    const { epoch } = authority;
    if (read.epoch.counter !== epoch.counter || read.epoch.incarnation !== epoch.incarnation)
      return undefined;
    const ranks = base === undefined ? read.ranks : new Map([...base.ranks, ...read.ranks]);
    const computed: Cached = {
      filter: visibilityFilter(ranks.keys()),
      ranks,
      distinctRanks: new Set(ranks.values()),
      watermark: read.watermark,
      computedAt: base?.computedAt ?? authority.now,
      // a class interned since may bring an earlier boundary
      boundary: earliest(base?.boundary, authority.boundary),
    };
    // a class interned after the authority was read is in the set, but its boundary is not in the authority's
    if (read.watermark === authority.watermark) this.#cache.set(key, computed);
    return computed;
  }
}

function earliest(a: Instant | undefined, b: Instant | undefined): Instant | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return a < b ? a : b;
}

/** A clock that went backwards proves nothing either. */
function holdsAt(cached: Cached, now: Instant): boolean {
  return now >= cached.computedAt && (cached.boundary === undefined || now < cached.boundary);
}

/** Everything the set depends on. The two parts of a subject stay apart, as they do in policy. */
function keyOf({ subject, epoch, context }: Authority): string {
  return JSON.stringify([
    subject.tenant,
    epoch.incarnation,
    epoch.counter,
    [...subject.user.principals].sort((a, b) => a - b),
    context.actor ?? null,
    [...context.actorPrincipals].sort((a, b) => a - b),
    context.maxRank,
  ]);
}
