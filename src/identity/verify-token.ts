import { createHash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { BulkheadError } from '../errors.ts';
import { type Claims, claim, instantClaim } from './claim-values.ts';
import { createIntrospector, type Introspector } from './introspection.ts';
import { type IssuerProfile, profilesByIssuer } from './issuer.ts';
import { createKeySource } from './key-source.ts';
import { readToken, type VerifiedCaller, type VerifiedToken } from './token-claims.ts';
import { refuse } from './token-refusal.ts';
import {
  checkSpelling,
  chooseIssuer,
  type Found,
  type Issuer,
  looksLikeJwt,
  verifyJwt,
} from './verify-jwt.ts';

export type { VerifiedCaller } from './token-claims.ts';

/** Characters; what is longer is refused before any of it is parsed. */
const MAX_TOKEN_LENGTH = 16 * 1024;
const CACHED_TOKENS = 10_000;
const HOUR_SECONDS = 3_600;

interface TokenVerifierOptions {
  /** Milliseconds since 1970. */
  readonly now: () => number;
  readonly fetch?: typeof fetch | undefined;
  /** Clients that people sign in with: what is meant for one of them alone is an ID token. */
  readonly signInClients?: readonly string[] | undefined;
  /** While an issuer is down, tokens verified earlier are believed for this long; default one hour. */
  readonly maxStaleSeconds?: number | undefined;
}

export interface TokenVerifier {
  /**
   * For a token that anybody who holds it may use.
   * @throws BulkheadError `invalid_token` for every token that is not to be believed, `identity_unavailable` (with
   *   a time to retry) when the issuer cannot be asked
   */
  verify(token: string): Promise<VerifiedCaller>;
  /** As `verify`, but for one that may be bound to a key, which is the caller's to check. */
  examine(token: string): Promise<VerifiedToken>;
  /**
   * Forgets what this process knows of an issuer's keys and fetches them anew: what a withdrawn key signed is refused
   * from then on, tokens verified earlier among it.
   * @throws BulkheadError `not_found`; `identity_unavailable`, and then no token of the issuer is believed
   */
  reloadKeys(issuerName: string): Promise<void>;
}

interface Asked extends Issuer {
  readonly introspector: Introspector | undefined;
}

interface Cached extends Found {
  /** Whether whoever vouched for it still does. */
  readonly isVouched: () => boolean | Promise<boolean>;
}

/**
 * Verifies access tokens. The unverified `iss` only chooses among the configured profiles; every check is then made
 * with that profile's values, and keys come from that issuer's key set alone.
 * @throws BulkheadError `config_invalid` when a profile could not be used safely
 */
export function createTokenVerifier(
  profiles: readonly IssuerProfile[],
  options: TokenVerifierOptions,
): TokenVerifier {
  return new CachingVerifier(profiles, options);
}

class CachingVerifier implements TokenVerifier {
  readonly #now: () => number;
  readonly #maxStaleMs: number;
  readonly #issuers = new Map<string, Asked>();
  readonly #cache = new LRUCache<string, Cached>({ max: CACHED_TOKENS });

  constructor(profiles: readonly IssuerProfile[], options: TokenVerifierOptions) {
    this.#now = options.now;
    this.#maxStaleMs = (options.maxStaleSeconds ?? HOUR_SECONDS) * 1000;
    const asking = { now: options.now, fetch: options.fetch ?? fetch };
    for (const [url, profile] of profilesByIssuer(profiles)) {
      checkAudience(profile, options.signInClients ?? []);
      const keys = createKeySource(profile, { ...asking, maxStaleMs: this.#maxStaleMs });
      const { introspection } = profile;
      const introspector = introspection && createIntrospector(profile, introspection, asking);
      this.#issuers.set(url, { profile, keys, introspector });
    }
  }

  async verify(token: string): Promise<VerifiedCaller> {
    const { caller, confirmation } = await this.examine(token);
    if (confirmation === undefined) return caller;
    throw refuse('The token is bound to a key of its sender (cnf), which did not come with it.');
  }

  async examine(token: string): Promise<VerifiedToken> {
    if (token.length > MAX_TOKEN_LENGTH) throw refuse('The token is longer than 16 KB.');
    const tokenId = createHash('sha256').update(token).digest('base64url');
    const now = this.#now();
    const known = this.#cache.get(tokenId);
    if (known !== undefined && now < known.until) {
      const vouched = known.isVouched();
      if (vouched === true || (await vouched)) return known.token;
    }
    this.#cache.delete(tokenId);
    const found = await this.#verifyAnew(token, tokenId, now);
    if (found.isVouched() === true) this.#cache.set(tokenId, found);
    return found.token;
  }

  async reloadKeys(issuerName: string): Promise<void> {
    const issuer = [...this.#issuers.values()].find(({ profile }) => profile.name === issuerName);
    if (issuer === undefined) throw new BulkheadError('not_found', 'There is no such issuer.');
    await issuer.keys.reload();
  }

  async #verifyAnew(token: string, tokenId: string, now: number): Promise<Cached> {
    const asked = this.#introspecting(token);
    if (asked !== undefined) return this.#askAbout(asked, token, tokenId);
    if (!looksLikeJwt(token)) throw refuse('The token is not a signed JWT.');
    checkSpelling(token);
    const { issuer, iss } = chooseIssuer(token, this.#issuers);
    const before = issuer.keys.generation();
    const found = await verifyJwt(issuer, iss, { token, tokenId, now });
    const generation = issuer.keys.generation();
    // when the set changed meanwhile nobody knows which one verified it, so the next request verifies again
    const isKnown = generation !== undefined && before === generation;
    return { ...found, isVouched: () => isKnown && isGeneration(issuer.keys.vouching(), generation) };
  }

  /** Opaque tokens only: what is a JWT of a configured issuer says itself what it is. */
  #introspecting(token: string): (Asked & { readonly introspector: Introspector }) | undefined {
    for (const { introspector, ...issuer } of this.#issuers.values()) {
      if (introspector === undefined || !introspector.takes(token)) continue;
      const isPrefixed = issuer.profile.introspection?.tokenPrefix !== undefined;
      if (isPrefixed || !looksLikeJwt(token)) return { ...issuer, introspector };
    }
    return undefined;
  }

  async #askAbout(
    { profile, introspector }: { readonly profile: IssuerProfile; readonly introspector: Introspector },
    token: string,
    tokenId: string,
  ): Promise<Cached> {
    const answer = await introspector.ask(token, tokenId);
    const now = this.#now();
    const lasting = Math.min((profile.introspection?.cacheSeconds ?? 0) * 1000, this.#maxStaleMs);
    const lastsUntil = checkTimes(answer, profile, now);
    const verified = readToken(asClaims(answer, profile), profile, tokenId, now);
    return { token: verified, until: Math.min(lastsUntil, now + lasting), isVouched: () => true };
  }
}

function isGeneration(
  vouching: number | undefined | Promise<number | undefined>,
  generation: number | undefined,
): boolean | Promise<boolean> {
  return vouching instanceof Promise ? vouching.then((name) => name === generation) : vouching === generation;
}

/** RFC 7662 §2.2 names the client `client_id`, whatever the issuer's JWTs call it. */
function asClaims(answer: Claims, { issuer, claims: { client } }: IssuerProfile): Claims {
  const named = claim(answer, client) ?? claim(answer, 'client_id');
  return { ...answer, iss: issuer, [client]: named };
}

/** @returns until when the token lasts, in milliseconds since 1970 @throws BulkheadError `invalid_token` */
function checkTimes(answer: Claims, profile: IssuerProfile, now: number): number {
  const tolerance = profile.clockToleranceSeconds * 1000;
  const expires = instantClaim(answer, 'exp', Number.MAX_SAFE_INTEGER);
  const issued = instantClaim(answer, 'iat', now + tolerance);
  const starts = instantClaim(answer, 'nbf', Number.MAX_SAFE_INTEGER);
  if (expires === undefined) throw refuse('The token lacks the claim "exp".');
  if (issued === undefined) throw refuse('The token lacks the claim "iat".');
  const oldest = (profile.maxTokenAgeSeconds ?? Number.POSITIVE_INFINITY) * 1000;
  const until = Math.min(expires, issued + oldest) + tolerance;
  if (now >= until) throw refuse('The token has expired; ask its issuer for a new one.');
  if (starts !== undefined && starts > now + tolerance) throw refuse('The token is not valid yet.');
  return until;
}

/** RFC 9068 §2.1 keeps ID tokens out by their type; where an issuer has one type for both, the audience has to. */
function checkAudience({ name, typ, audience }: IssuerProfile, signInClients: readonly string[]): void {
  if (signInClients.includes(audience) && typ.some((type) => !/^(application\/)?at\+jwt$/i.test(type)))
    throw new BulkheadError(
      'config_invalid',
      `The issuer "${name}" has the sign-in client as its audience, so that an ID token would be taken for an access token: register the API on its own.`,
    );
}
