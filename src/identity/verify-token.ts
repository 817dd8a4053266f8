import { createHash } from 'node:crypto';
import { decodeJwt, decodeProtectedHeader, jwtVerify, type ProtectedHeaderParameters } from 'jose';
import { LRUCache } from 'lru-cache';
import { type IssuerProfile, profilesByIssuer } from './issuer.ts';
import { createKeySource, type KeySource } from './key-source.ts';
import { readCaller, type VerifiedCaller } from './token-claims.ts';
import { refusalFor, refuse } from './token-refusal.ts';

export type { VerifiedCaller } from './token-claims.ts';

/** Characters; what is longer is refused before any of it is parsed. */
const MAX_TOKEN_LENGTH = 16 * 1024;
const CACHED_TOKENS = 10_000;
const MAX_CACHED_MS = 10 * 60_000;
const COMPACT_JWS = /^[\w-]+\.[\w-]+\.[\w-]+$/;

interface TokenVerifierOptions {
  /** Milliseconds since 1970. */
  readonly now: () => number;
  readonly fetch?: typeof fetch | undefined;
}

export interface TokenVerifier {
  /**
   * @throws BulkheadError `invalid_token` for every token that is not to be believed, `identity_unavailable` (with
   *   a time to retry) when the issuer's keys cannot be had
   */
  verify(token: string): Promise<VerifiedCaller>;
}

interface Issuer {
  readonly profile: IssuerProfile;
  readonly keys: KeySource;
}

interface CachedCaller {
  readonly caller: VerifiedCaller;
  readonly until: number;
  readonly keys: KeySource;
  /** The key set that verified it: with the next set it is verified anew, so a withdrawn key ends it. */
  readonly generation: number;
}

/**
 * Verifies JWT access tokens (RFC 9068 §4, RFC 8725). The unverified `iss` only chooses among the configured
 * profiles; every check is then made with that profile's values, and keys come from that issuer's key set alone.
 * @throws BulkheadError `config_invalid` when a profile could not be used safely
 */
export function createTokenVerifier(
  profiles: readonly IssuerProfile[],
  options: TokenVerifierOptions,
): TokenVerifier {
  const keyOptions = { now: options.now, fetch: options.fetch ?? fetch };
  const issuers = new Map<string, Issuer>();
  for (const [url, profile] of profilesByIssuer(profiles))
    issuers.set(url, { profile, keys: createKeySource(profile, keyOptions) });
  const cache = new LRUCache<string, CachedCaller>({ max: CACHED_TOKENS });

  return {
    async verify(token) {
      checkForm(token);
      const tokenId = createHash('sha256').update(token).digest('base64url');
      const now = options.now();
      const known = cache.get(tokenId);
      if (known !== undefined && isCurrent(known, now)) return known.caller;
      cache.delete(tokenId);
      const { keys, profile } = chooseIssuer(token, issuers);
      const generation = keys.generation();
      const { caller, until } = await verifyWith(profile, keys, token, tokenId, now);
      if (generation !== undefined && generation === keys.generation())
        cache.set(tokenId, { caller, until: Math.min(until, now + MAX_CACHED_MS), keys, generation });
      return caller;
    },
  };
}

function isCurrent(cached: CachedCaller, now: number): boolean {
  return now < cached.until && cached.generation === cached.keys.generation();
}

function checkForm(token: string): void {
  if (token.length > MAX_TOKEN_LENGTH) throw refuse('The token is longer than 16 KB.');
  if (!COMPACT_JWS.test(token)) throw refuse('The token is not a signed JWT.');
  // Trailing bits that decode to nothing would give one token many ids.
  const signature = token.slice(token.lastIndexOf('.') + 1);
  if (Buffer.from(signature, 'base64url').toString('base64url') !== signature)
    throw refuse('The token is malformed.');
}

function chooseIssuer(token: string, issuers: ReadonlyMap<string, Issuer>): Issuer {
  let iss: string | undefined;
  try {
    iss = decodeJwt(token).iss;
  } catch (error) {
    throw refusalFor(error);
  }
  const issuer = iss === undefined ? undefined : issuers.get(iss);
  if (issuer === undefined) throw refuse('The issuer of the token is not trusted here.');
  return issuer;
}

async function verifyWith(
  profile: IssuerProfile,
  keys: KeySource,
  token: string,
  tokenId: string,
  now: number,
): Promise<{ caller: VerifiedCaller; until: number }> {
  const { maxTokenAgeSeconds: maxTokenAge, clockToleranceSeconds: clockTolerance } = profile;
  try {
    const typ = acceptedType(decodeProtectedHeader(token), profile);
    const { payload } = await jwtVerify(token, keys.resolve, {
      issuer: profile.issuer,
      audience: profile.audience,
      algorithms: [...profile.algorithms],
      typ,
      requiredClaims: ['iss', 'sub', 'aud', 'exp', 'iat', profile.claims.subject, profile.claims.client],
      currentDate: new Date(now),
      clockTolerance,
      ...(maxTokenAge === undefined ? {} : { maxTokenAge }),
    });
    const caller = readCaller(payload, profile, tokenId, now);
    const lastSecond = Math.min(
      payload.exp ?? 0,
      (payload.iat ?? 0) + (maxTokenAge ?? Number.POSITIVE_INFINITY),
    );
    return { caller, until: (lastSecond + clockTolerance) * 1000 };
  } catch (error) {
    throw refusalFor(error);
  }
}

/** The header decides nothing but which of the configured types is asked for; `crit` names what we do not know. */
function acceptedType(header: ProtectedHeaderParameters, profile: IssuerProfile): string {
  if (Object.hasOwn(header, 'crit'))
    throw refuse('The token asks for an extension (crit) that is not supported.');
  const presented = typeof header.typ === 'string' ? mediaType(header.typ) : undefined;
  const accepted = profile.typ.find((typ) => mediaType(typ) === presented);
  if (accepted === undefined) throw refuse('The token is not an access token of the type this issuer sends.');
  return accepted;
}

/** RFC 7515 §4.1.9: `at+jwt` is short for `application/at+jwt`. */
function mediaType(typ: string): string {
  const lower = typ.toLowerCase();
  return lower.includes('/') ? lower : `application/${lower}`;
}
