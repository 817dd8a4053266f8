import { errors, type JWTVerifyGetKey } from 'jose';
import { LRUCache } from 'lru-cache';
import { BulkheadError } from '../errors.ts';
import type { IssuerProfile } from './issuer.ts';
import { type FetchedKeys, fetchKeys } from './key-set.ts';

/** A withdrawn key is refused after this long at the latest: a set older than this verifies nothing. */
const MAX_AGE_MS = 10 * 60_000;
/** From this age on a newer set is fetched in the background, so that hardly a request waits for one. */
const DUE_MS = 8 * 60_000;
/** Tokens with invented key ids cause at most one fetch in this time… */
const UNKNOWN_KEY_COOLDOWN_MS = 30_000;
/** …and one that was not there is not looked for again for this long. */
const UNKNOWN_KEY_MS = 60_000;
const REMEMBERED_UNKNOWN_KEYS = 1_000;
/** After a failed fetch nobody tries again for this long. */
const FAILURE_COOLDOWN_MS = 5_000;
/**
 * Forced reloads come no closer together, so that between them there are keys for everybody else and an issuer is asked
 * no more often, whoever asks us. By so much whoever asked just before delays the end of a key, so it is short.
 */
const RELOAD_DISTANCE_MS = 1_000;
/** A failure that long ago says nothing about whether the issuer is down. */
const KNOWN_DOWN_MS = 60_000;

interface KeySourceOptions {
  /** Milliseconds since 1970. */
  readonly now: () => number;
  readonly fetch: typeof fetch;
  /** While the issuer does not answer, tokens verified earlier are believed for this much longer; default 0. */
  readonly maxStaleMs?: number;
}

/** The public keys of one issuer, fetched when needed and never because of what one token says. */
export interface KeySource {
  readonly resolve: JWTVerifyGetKey;
  /** Names the key set in force, `undefined` when there is none or it is too old. */
  generation(): number | undefined;
  /**
   * Names the key set that vouches for tokens verified earlier. While the issuer is down that is the last one that
   * it published, for a while. A promise only where nobody knows yet whether the issuer is down.
   */
  vouching(): number | undefined | Promise<number | undefined>;
  /**
   * Forgets all keys and fetches them anew. Until that succeeds nothing verifies, earlier tokens included.
   * @throws BulkheadError `identity_unavailable`
   */
  reload(): Promise<void>;
}

interface KeySet extends FetchedKeys {
  readonly fetchedAt: number;
  readonly generation: number;
}

/**
 * jose's `createRemoteJWKSet` reads the system clock and fetches once per token while the endpoint is down; this
 * one takes the clock as an argument, remembers failures, and leaves choosing and importing the key to jose.
 * `resolve` throws jose's errors for an unknown key and `identity_unavailable` when the issuer does not answer.
 */
export function createKeySource(profile: IssuerProfile, options: KeySourceOptions): KeySource {
  return new PublishedKeys(profile, options);
}

class PublishedKeys implements KeySource {
  readonly #profile: IssuerProfile;
  readonly #options: KeySourceOptions;
  readonly #unknown = new LRUCache<string, number>({ max: REMEMBERED_UNKNOWN_KEYS });
  #keys: KeySet | undefined;
  #failedAt = Number.NEGATIVE_INFINITY;
  #pending: Promise<KeySet> | undefined;
  #generations = 0;
  /** Raised by each forced reload: what was asked for before it is not taken after it. */
  #epoch = 0;
  /** Until a forced reload is over and the next may begin, and the one that then follows for all who asked meanwhile. */
  #forced: Promise<void> | undefined;
  #following: Promise<void> | undefined;

  constructor(profile: IssuerProfile, options: KeySourceOptions) {
    this.#profile = profile;
    this.#options = options;
  }

  generation(): number | undefined {
    return this.#current()?.generation;
  }

  vouching(): number | undefined | Promise<number | undefined> {
    if (this.#keys === undefined) return undefined;
    const age = this.#age();
    if (age >= DUE_MS && age < MAX_AGE_MS) this.#refreshInBackground();
    if (age < MAX_AGE_MS) return this.#keys.generation;
    const sinceFailure = this.#options.now() - this.#failedAt;
    if (this.#failedAt >= this.#keys.fetchedAt && sinceFailure < KNOWN_DOWN_MS) {
      this.#refreshInBackground();
      return this.#lastPublished();
    }
    return this.#refresh().then(
      ({ generation }) => generation,
      () => this.#lastPublished(),
    );
  }

  readonly resolve: JWTVerifyGetKey = async (header, token) => {
    const id = `${header.alg} ${header.kid}`.slice(0, 200);
    const set = this.#current() ?? (await this.#refresh());
    try {
      return await set.find(header, token);
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey) || !this.#isWorthAsking(set, id)) throw error;
    }
    const newer = await this.#refresh();
    try {
      return await newer.find(header, token);
    } catch (error) {
      this.#unknown.set(id, this.#options.now() + UNKNOWN_KEY_MS);
      throw error;
    }
  };

  reload(): Promise<void> {
    if (this.#forced === undefined) return this.#force();
    this.#following ??= this.#forced.then(() => {
      this.#following = undefined;
      return this.#force();
    });
    return this.#following;
  }

  #force(): Promise<void> {
    const reloading = this.#reloadNow();
    const pause = new Promise((resolve) => setTimeout(resolve, RELOAD_DISTANCE_MS).unref());
    this.#forced = Promise.allSettled([reloading, pause]).then(() => {
      this.#forced = undefined;
    });
    return reloading;
  }

  async #reloadNow(): Promise<void> {
    this.#epoch += 1;
    this.#keys = undefined;
    this.#pending = undefined;
    this.#failedAt = Number.NEGATIVE_INFINITY;
    this.#unknown.clear();
    await this.#refresh();
  }

  #age(): number {
    return this.#keys === undefined ? Number.POSITIVE_INFINITY : this.#options.now() - this.#keys.fetchedAt;
  }

  #current(): KeySet | undefined {
    return this.#age() < MAX_AGE_MS ? this.#keys : undefined;
  }

  #lastPublished(): number | undefined {
    return this.#age() < MAX_AGE_MS + (this.#options.maxStaleMs ?? 0) ? this.#keys?.generation : undefined;
  }

  /** Whether asking the issuer again could find the key. */
  #isWorthAsking(set: KeySet, id: string): boolean {
    const now = this.#options.now();
    return now - set.fetchedAt >= UNKNOWN_KEY_COOLDOWN_MS && now >= (this.#unknown.get(id) ?? 0);
  }

  #refreshInBackground(): void {
    void this.#refresh().catch(() => undefined);
  }

  #refresh(): Promise<KeySet> {
    if (this.#pending !== undefined) return this.#pending;
    const wait = this.#failedAt + FAILURE_COOLDOWN_MS - this.#options.now();
    if (wait > 0) return Promise.reject(unavailable(this.#profile, wait));
    const loading = this.#load().finally(() => {
      if (this.#pending === loading) this.#pending = undefined;
    });
    this.#pending = loading;
    return loading;
  }

  async #load(): Promise<KeySet> {
    const { now } = this.#options;
    const asked = this.#epoch;
    try {
      const fetched = await fetchKeys(this.#profile, this.#options.fetch);
      if (asked !== this.#epoch) throw new Error('The keys were asked for before they were to be forgotten.');
      const isSame = fetched.text === this.#keys?.text;
      const generation = isSame ? this.#keys?.generation : undefined;
      if (generation === undefined) this.#generations += 1;
      this.#keys = { ...fetched, fetchedAt: now(), generation: generation ?? this.#generations };
      return this.#keys;
    } catch (cause) {
      if (asked === this.#epoch) this.#failedAt = now();
      throw unavailable(this.#profile, FAILURE_COOLDOWN_MS, cause);
    }
  }
}

function unavailable(profile: IssuerProfile, waitMs: number, cause?: unknown): BulkheadError {
  return new BulkheadError(
    'identity_unavailable',
    `The keys of the issuer "${profile.name}" could not be fetched.`,
    { retryAfterSeconds: Math.max(1, Math.ceil(waitMs / 1000)), cause },
  );
}
