/** How much each caller may ask in a window of time, counted here and shared with the other processes. */
import { createHash } from 'node:crypto';
import { RateLimiterRes } from 'rate-limiter-flexible';
import { BulkheadError } from '../errors.ts';
import { CountingLimiter, type LimitRule, type SharedCount } from './rate-limit-counters.ts';

export const LIMIT_NAMES = [
  'address',
  'subject',
  'actor',
  'client',
  'key',
  'cost',
  'signIn',
  'failures',
  'provisioning',
] as const;
export type LimitName = (typeof LIMIT_NAMES)[number];

export type LimitRules = Readonly<Record<LimitName, LimitRule>>;

/** How a caller stands with one limit. */
export interface Standing {
  readonly limit: LimitName;
  readonly rule: LimitRule;
  readonly remaining: number;
  /** Seconds until the window ends, rounded up. */
  readonly resetSeconds: number;
}

/** A 429, which knows the limit that was met. */
export class RateLimited extends BulkheadError {
  readonly standing: Standing;

  constructor(standing: Standing) {
    super('rate_limited', REFUSALS[standing.limit], {
      retryAfterSeconds: Math.max(1, standing.resetSeconds),
    });
    this.standing = standing;
  }
}

const REFUSALS: Readonly<Record<LimitName, string>> = {
  address: 'Too many requests came from your network address.',
  subject: 'You sent too many requests.',
  actor: 'The service acting for you sent too many requests.',
  client: 'Your application sent too many requests.',
  key: 'Too many requests were sent with this key.',
  cost: 'You were sent as much as you may be in this time.',
  signIn: 'Too many sign-ins were begun from your network address.',
  failures: 'Too many credentials from your network address were not accepted.',
  provisioning: 'You sent too many documents or changes of the directory.',
};

/** Adds up what every process counted. Keys are digests; `limit` only keeps equal keys of two limits apart. */
export type ExchangeCounts = (changes: readonly SharedCount[]) => Promise<readonly SharedCount[]>;

export interface RateLimitsOptions {
  readonly rules: LimitRules;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** Absent where this process is the only one. */
  readonly exchange?: ExchangeCounts | undefined;
  /** Keys kept apart for each limit. */
  readonly capacity?: number | undefined;
}

/** As long may the other processes not be heard of before nothing is let through. */
const MAX_SILENCE_MS = 30_000;
/** In one exchange; the rest goes with the next. */
const MAX_CHANGES = 5_000;

interface Sent {
  readonly limiter: CountingLimiter;
  readonly change: SharedCount;
}

export class RateLimits {
  readonly #limiters: ReadonlyMap<LimitName, CountingLimiter>;
  readonly #now: () => number;
  readonly #exchange: ExchangeCounts | undefined;
  #failingSince: number | undefined;

  constructor({ rules, now, exchange, capacity }: RateLimitsOptions) {
    this.#limiters = new Map(
      LIMIT_NAMES.map((name) => [name, new CountingLimiter(rules[name], now, capacity)]),
    );
    this.#now = now;
    this.#exchange = exchange;
  }

  /**
   * Counts a request, before any of its work is done.
   * @throws RateLimited; BulkheadError `rate_limit_unavailable`
   */
  async take(limit: LimitName, key: string): Promise<Standing> {
    this.requireShared();
    const limiter = this.#limiter(limit);
    try {
      return standingOf(limit, limiter.rule, await limiter.consume(key));
    } catch (refusal) {
      if (!(refusal instanceof RateLimiterRes)) throw refusal;
      throw new RateLimited(standingOf(limit, limiter.rule, refusal));
    }
  }

  /**
   * Asks for room without taking it, for what is only counted afterwards.
   * @throws as `take` does
   */
  async requireRoom(limit: LimitName, key: string): Promise<void> {
    this.requireShared();
    const standing = await this.standing(limit, key);
    if (standing.remaining <= 0) throw new RateLimited(standing);
  }

  /** Counts what a request turned out to cost. It is answered already: nothing is refused. */
  async charge(limit: LimitName, key: string, points: number): Promise<void> {
    await this.#limiter(limit).penalty(key, points);
  }

  async standing(limit: LimitName, key: string): Promise<Standing> {
    const limiter = this.#limiter(limit);
    const { rule } = limiter;
    const counted = await limiter.get(key);
    return counted === null
      ? { limit, rule, remaining: rule.points, resetSeconds: rule.seconds }
      : standingOf(limit, rule, counted);
  }

  /** Keys kept at present. */
  size(limit: LimitName): number {
    return this.#limiter(limit).size;
  }

  /** @throws BulkheadError `rate_limit_unavailable` when what the other processes counted is not known any more */
  requireShared(): void {
    if (this.#failingSince === undefined || this.#now() - this.#failingSince < MAX_SILENCE_MS) return;
    throw new BulkheadError(
      'rate_limit_unavailable',
      'How much was asked of the other processes is not known at present.',
      { retryAfterSeconds: 5 },
    );
  }

  /**
   * Tells the other processes what was counted here and learns what they counted. One at a time.
   * @throws whatever the exchange throws; what was counted is then told the next time
   */
  async exchange(): Promise<void> {
    const sent = this.#changes();
    if (this.#exchange === undefined || (sent.size === 0 && this.#failingSince === undefined)) return;
    try {
      const totals = await this.#exchange([...sent].map(([key, { change }]) => ({ ...change, key })));
      for (const total of totals) {
        const of = sent.get(total.key);
        of?.limiter.learn({ ...total, key: of.change.key }, of.change.points);
      }
      this.#failingSince = undefined;
    } catch (error) {
      this.#failingSince ??= this.#now();
      throw error;
    }
  }

  /** By the digest that stands for the key: who asked is nobody's business in a table. */
  #changes(): ReadonlyMap<string, Sent> {
    const all = [...this.#limiters].flatMap(([name, limiter]) =>
      limiter
        .unshared()
        .map((change) => [digestOf(name, limiter.rule, change.key), { limiter, change }] as const),
    );
    return new Map(all.slice(0, MAX_CHANGES));
  }

  #limiter(name: LimitName): CountingLimiter {
    const limiter = this.#limiters.get(name);
    if (limiter === undefined) throw new Error(`no limit is called ${name}`);
    return limiter;
  }
}

/** Of a window's length too: after a change of it, the windows of before mean nothing. */
function digestOf(limit: LimitName, { seconds }: LimitRule, key: string): string {
  return createHash('sha256').update(`${limit}\0${seconds}\0${key}`).digest('base64url').slice(0, 22);
}

function standingOf(limit: LimitName, rule: LimitRule, counted: RateLimiterRes): Standing {
  const { remainingPoints, msBeforeNext } = counted;
  return { limit, rule, remaining: remainingPoints, resetSeconds: Math.ceil(msBeforeNext / 1000) };
}
