import { createHash } from 'node:crypto';
import type { Instant } from '../policy/ids.ts';
import type { VisibilityFilter } from '../policy/visibility-filter.ts';
import type { Authority } from '../store/authority.ts';
import type { Database } from '../store/database.ts';
import { readIndexLagMs } from '../store/index-progress.ts';

/** How far behind the index is, in steps too coarse to tell of one document. */
export type IndexLag = 'current' | 'minutes' | 'hours';

export interface Freshness {
  /** Changes when, and only when, what this caller may see changes. */
  readonly policy: string;
  /** When the caller's directory source was last known current; `null` = never. */
  readonly directory_as_of: string | null;
  readonly index: IndexLag;
}

export function freshness(authority: Authority, visible: VisibilityFilter, index: IndexLag): Freshness {
  const { directoryAsOf } = authority.subject.user.assurance;
  return {
    policy: policyVersion(visible),
    directory_as_of: directoryAsOf === 0 ? null : new Date(directoryAsOf).toISOString(),
    index,
  };
}

const versions = new WeakMap<VisibilityFilter, string>();

/**
 * Derived from the caller's own visible set: the tenant's epoch would tell of changes elsewhere. Kept with the set,
 * which is cached and may have a hundred thousand ranges.
 */
function policyVersion(visible: VisibilityFilter): string {
  const known = versions.get(visible);
  if (known !== undefined) return known;
  const hash = createHash('sha256');
  if (visible.kind === 'classes') for (const { from, to } of visible.ranges) hash.update(`${from}-${to};`);
  const version = hash.digest('hex').slice(0, 16);
  versions.set(visible, version);
  return version;
}

const REFRESH_MS = 10_000;
const MINUTES_MS = 2 * 60_000;
const HOURS_MS = 60 * 60_000;

/** Reads how long the oldest work in the outbox has waited now and then, beside the requests and never within one. */
export class IndexLagMeter {
  readonly #database: Database;
  readonly #now: () => Instant;
  #lag: IndexLag = 'current';
  #readAt = 0;

  constructor(database: Database, now: () => Instant) {
    this.#database = database;
    this.#now = now;
  }

  read(): IndexLag {
    if (this.#now() - this.#readAt > REFRESH_MS) {
      this.#readAt = this.#now();
      void this.#refresh();
    }
    return this.#lag;
  }

  async #refresh(): Promise<void> {
    try {
      const age = await readIndexLagMs(this.#database);
      this.#lag = age < MINUTES_MS ? 'current' : age < HOURS_MS ? 'minutes' : 'hours';
    } catch {
      // the age is unknown: say the worst
      this.#lag = 'hours';
    }
  }
}
