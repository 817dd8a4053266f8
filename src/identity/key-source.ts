import { createLocalJWKSet, errors, type JSONWebKeySet, type JWTVerifyGetKey, type LocalJWKSet } from 'jose';
import { BulkheadError } from '../errors.ts';
import type { IssuerProfile } from './issuer.ts';
import { parseProviderUrl } from './secure-url.ts';

/** A withdrawn key is refused after this long at the latest: a set older than this verifies nothing. */
const MAX_AGE_MS = 10 * 60_000;
/** Tokens with invented key ids cause at most one fetch in this time. */
const UNKNOWN_KEY_COOLDOWN_MS = 30_000;
/** After a failed fetch nobody tries again for this long. */
const FAILURE_COOLDOWN_MS = 5_000;
const TIMEOUT_MS = 5_000;

interface KeySourceOptions {
  /** Milliseconds since 1970. */
  readonly now: () => number;
  readonly fetch: typeof fetch;
}

/** The public keys of one issuer, fetched when needed and never because of what one token says. */
export interface KeySource {
  readonly resolve: JWTVerifyGetKey;
  /** Names the key set in force, `undefined` when there is none or it is too old. */
  generation(): number | undefined;
}

interface KeySet {
  readonly find: LocalJWKSet;
  readonly fetchedAt: number;
  readonly generation: number;
}

/**
 * jose's `createRemoteJWKSet` reads the system clock and fetches once per token while the endpoint is down; this
 * one takes the clock as an argument, remembers failures, and leaves choosing and importing the key to jose.
 * `resolve` throws jose's errors for an unknown key and `identity_unavailable` when the issuer does not answer.
 */
export function createKeySource(profile: IssuerProfile, options: KeySourceOptions): KeySource {
  let keys: KeySet | undefined;
  let failedAt = Number.NEGATIVE_INFINITY;
  let pending: Promise<KeySet> | undefined;

  const current = () =>
    keys !== undefined && options.now() - keys.fetchedAt < MAX_AGE_MS ? keys : undefined;

  async function load(): Promise<KeySet> {
    try {
      const find = createLocalJWKSet(await fetchKeys(profile, options.fetch));
      keys = { find, fetchedAt: options.now(), generation: (keys?.generation ?? 0) + 1 };
      return keys;
    } catch (cause) {
      failedAt = options.now();
      throw unavailable(profile, FAILURE_COOLDOWN_MS, cause);
    }
  }

  function reload(): Promise<KeySet> {
    const wait = failedAt + FAILURE_COOLDOWN_MS - options.now();
    if (pending === undefined && wait > 0) return Promise.reject(unavailable(profile, wait));
    pending ??= load().finally(() => {
      pending = undefined;
    });
    return pending;
  }

  return {
    generation: () => current()?.generation,
    async resolve(header, token) {
      const set = current() ?? (await reload());
      try {
        return await set.find(header, token);
      } catch (error) {
        const coolingDown = options.now() - set.fetchedAt < UNKNOWN_KEY_COOLDOWN_MS;
        if (!(error instanceof errors.JWKSNoMatchingKey) || coolingDown) throw error;
      }
      return (await reload()).find(header, token);
    },
  };
}

async function fetchKeys(profile: IssuerProfile, fetcher: typeof fetch): Promise<JSONWebKeySet> {
  const uri = profile.jwksUri ?? (await discoverKeySet(profile, fetcher));
  return (await fetchJson(uri, fetcher)) as unknown as JSONWebKeySet;
}

/** OpenID Connect Discovery 1.0 §4.3: the document must name the very issuer it was asked for. */
async function discoverKeySet(profile: IssuerProfile, fetcher: typeof fetch): Promise<string> {
  const document = await fetchJson(
    `${profile.issuer.replace(/\/$/, '')}/.well-known/openid-configuration`,
    fetcher,
  );
  if (document.issuer !== profile.issuer || typeof document.jwks_uri !== 'string')
    throw new TypeError('The discovery document is not that of the configured issuer.');
  return parseProviderUrl(document.jwks_uri, 'discovered key set URL').href;
}

async function fetchJson(uri: string, fetcher: typeof fetch): Promise<Record<string, unknown>> {
  const response = await fetcher(uri, {
    redirect: 'error',
    headers: { accept: 'application/json' },
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  if (response.status !== 200) throw new TypeError(`The identity provider answered ${response.status}.`);
  const body: unknown = await response.json();
  if (typeof body !== 'object' || body === null) throw new TypeError('The answer is not a JSON object.');
  return body as Record<string, unknown>;
}

function unavailable(profile: IssuerProfile, waitMs: number, cause?: unknown): BulkheadError {
  return new BulkheadError(
    'identity_unavailable',
    `The keys of the issuer "${profile.name}" could not be fetched.`,
    { retryAfterSeconds: Math.max(1, Math.ceil(waitMs / 1000)), cause },
  );
}
