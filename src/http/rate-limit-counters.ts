/** What was counted in the present window of each key: in this process, and, once exchanged, in all of them. */
import { RateLimiterRes } from 'rate-limiter-flexible';
import RateLimiterStoreAbstract from 'rate-limiter-flexible/lib/RateLimiterStoreAbstract.js';

interface Counter {
  /** Of all processes, as far as is known here. */
  points: number;
  /** Of these, what the others have not been told. */
  unshared: number;
  /** Milliseconds since 1970. */
  endsAt: number;
}

/** A key's points that others do not know of, or what they know of it. */
export interface SharedCount {
  readonly key: string;
  readonly points: number;
  /** Milliseconds until its window ends. */
  readonly remainingMs: number;
}

export interface LimitRule {
  readonly points: number;
  readonly seconds: number;
}

/** Keys kept apart; whoever comes after that many shares a counter with others. */
const CAPACITY = 20_000;
const SHARED_COUNTERS = 256;
/** How often expired windows are looked for while all places are taken. */
const SWEEP_MS = 1_000;

/**
 * A limiter of rate-limiter-flexible on counters of this process, in bounded memory. When every place is taken by a
 * window that goes on, new keys share a few counters by their hash: a flood of addresses is then limited together,
 * and pushes out nobody whose window has begun.
 */
export class CountingLimiter extends RateLimiterStoreAbstract {
  readonly #counters = new Map<string, Counter>();
  readonly #now: () => number;
  readonly #capacity: number;
  readonly #rule: LimitRule;
  #sweptAt = Number.NEGATIVE_INFINITY;

  /** @param now milliseconds since 1970 */
  constructor(rule: LimitRule, now: () => number, capacity = CAPACITY) {
    super({ storeClient: {}, keyPrefix: '', points: rule.points, duration: rule.seconds });
    this.#rule = rule;
    this.#now = now;
    this.#capacity = capacity;
  }

  get rule(): LimitRule {
    return this.#rule;
  }

  /** How many keys are kept. */
  get size(): number {
    return this.#counters.size;
  }

  /** What was counted here and not told, of windows that go on. */
  unshared(): readonly SharedCount[] {
    const now = this.#now();
    return [...this.#counters].flatMap(([key, { unshared, endsAt }]) =>
      unshared > 0 && endsAt > now ? [{ key, points: unshared, remainingMs: endsAt - now }] : [],
    );
  }

  /**
   * Takes over what all processes counted together.
   * @param sent what was told of the key, which the total now holds
   */
  learn(total: SharedCount, sent: number): void {
    const counter = this.#counters.get(total.key);
    // the window ended while others were asked: what they knew is of the one before
    if (counter === undefined || this.#isOver(counter) || counter.unshared < sent) return;
    counter.unshared -= sent;
    counter.points = total.points + counter.unshared;
    counter.endsAt = this.#now() + total.remainingMs;
  }

  // What the library asks of a store ---------------------------------------------------------------------------

  protected async _upsert(key: string, points: number, ms: number, replaces: boolean): Promise<Counter> {
    const place = this.#placeOf(key);
    const known = this.#counters.get(place);
    if (known !== undefined && !replaces && !this.#isOver(known)) {
      known.points += points;
      known.unshared += points;
      return known;
    }
    const counter = { points, unshared: points, endsAt: this.#now() + ms };
    this.#counters.set(place, counter);
    return counter;
  }

  protected async _get(key: string): Promise<Counter | null> {
    const counter = this.#counters.get(this.#placeOf(key));
    return counter === undefined || this.#isOver(counter) ? null : counter;
  }

  protected async _delete(key: string): Promise<boolean> {
    return this.#counters.delete(this.#placeOf(key));
  }

  protected _getRateLimiterRes(_key: string, changed: number, { points, endsAt }: Counter): RateLimiterRes {
    const remaining = Math.max(this.#rule.points - points, 0);
    return new RateLimiterRes(remaining, Math.max(endsAt - this.#now(), 0), points, points === changed);
  }

  #isOver({ endsAt }: Counter): boolean {
    return endsAt <= this.#now();
  }

  #placeOf(key: string): string {
    if (this.#counters.has(key) || this.#counters.size < this.#capacity) return key;
    this.#sweep();
    return this.#counters.size < this.#capacity ? key : `~${hashOf(key) % SHARED_COUNTERS}`;
  }

  #sweep(): void {
    const now = this.#now();
    if (now - this.#sweptAt < SWEEP_MS) return;
    this.#sweptAt = now;
    for (const [key, counter] of this.#counters) if (counter.endsAt <= now) this.#counters.delete(key);
  }
}

/** FNV-1a, 32 bits: who shares a counter need not be a secret, only spread. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i += 1) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}
