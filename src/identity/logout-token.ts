/** Logout tokens (OpenID Connect Back-Channel Logout 1.0 §2.4, §2.6): how a provider says that somebody has signed out. */
import { createHash } from 'node:crypto';
import { decodeProtectedHeader, type JWTPayload, jwtVerify } from 'jose';
import { BulkheadError } from '../errors.ts';
import type { ProviderLogout } from '../store/session-store.ts';
import { writtenId } from './claim-values.ts';
import { type IssuerProfile, profilesByIssuer, tenantsOf } from './issuer.ts';
import { createKeySource, type KeySource } from './key-source.ts';
import { refusalFor, refuse } from './token-refusal.ts';

const EVENT = 'http://schemas.openid.net/event/backchannel-logout';
/** Seconds since `iat`; the specification advises two minutes. */
const MAX_AGE_SECONDS = 300;
/** Seconds: a provider's clock may be off, and no access is gained by being too lenient here. */
const CLOCK_TOLERANCE_SECONDS = 30;
const MAX_LENGTH = 16 * 1024;
const MAX_ID = 512;
/** What tells it apart from an access token; providers that came before the specification say `JWT` or nothing. */
const TYPES = new Set([undefined, 'jwt', 'logout+jwt', 'application/logout+jwt']);

/** What a provider said, proven by its signature. */
export interface LogoutNotice extends ProviderLogout {
  /** The tenants that the issuer's people are of. */
  readonly tenants: readonly string[];
  /** The principal that `subject` is, where the issuer's principals are named by `sub`. */
  readonly principalId: string | undefined;
  /** SHA-256 of issuer and `jti`: the token is used once. */
  readonly useId: Uint8Array;
  /** Milliseconds since 1970; from then on the token is refused for its age. */
  readonly usableUntil: number;
}

export interface LogoutTokens {
  /**
   * @param issuerName whose endpoint it came to
   * @throws BulkheadError `not_found` for an issuer that nobody signs in with, `invalid_token`, `identity_unavailable`
   */
  verify(issuerName: string, token: string): Promise<LogoutNotice>;
}

interface LogoutTokenOptions {
  readonly profiles: readonly IssuerProfile[];
  /** The audience, by name of the issuer; absent = nobody signs in there. */
  readonly clientIdOf: (issuer: string) => string | undefined;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  readonly fetch?: typeof fetch | undefined;
}

export function createLogoutTokens(options: LogoutTokenOptions): LogoutTokens {
  const { now, fetch: fetcher = fetch } = options;
  const issuers = new Map<string, { profile: IssuerProfile; keys: KeySource }>();
  for (const profile of profilesByIssuer(options.profiles).values())
    issuers.set(profile.name, { profile, keys: createKeySource(profile, { now, fetch: fetcher }) });
  return {
    async verify(issuerName, token) {
      const issuer = issuers.get(issuerName);
      const audience = options.clientIdOf(issuerName);
      if (issuer === undefined || audience === undefined)
        throw new BulkheadError('not_found', 'There is no such way to sign in.');
      try {
        checkHeader(token);
        const { payload } = await jwtVerify(token, issuer.keys.resolve, {
          issuer: issuer.profile.issuer,
          audience,
          algorithms: [...issuer.profile.algorithms],
          requiredClaims: ['iss', 'aud', 'iat', 'exp', 'jti', 'events'],
          maxTokenAge: MAX_AGE_SECONDS,
          clockTolerance: CLOCK_TOLERANCE_SECONDS,
          currentDate: new Date(now()),
        });
        return noticeOf(payload, issuer.profile);
      } catch (error) {
        throw refusalFor(error);
      }
    },
  };
}

function checkHeader(token: string): void {
  if (token.length > MAX_LENGTH) throw refuse('The logout token is longer than 16 KB.');
  const { typ, crit } = decodeProtectedHeader(token);
  if (crit !== undefined) throw refuse('The logout token asks for an extension that is not supported.');
  if (!TYPES.has(typ?.toLowerCase())) throw refuse('This is a token of another kind.');
}

function noticeOf(payload: JWTPayload, profile: IssuerProfile): LogoutNotice {
  // an id token has a nonce, and must never pass for a logout token (§2.4)
  if (Object.hasOwn(payload, 'nonce')) throw refuse('A logout token has no nonce.');
  if (!isLogout(payload.events)) throw refuse('The token does not say that anybody has signed out.');
  const subject = idOf(payload, 'sub');
  const session = idOf(payload, 'sid');
  if (subject === undefined && session === undefined)
    throw refuse('The token names neither a session nor a subject.');
  const jti = idOf(payload, 'jti');
  if (jti === undefined) throw refuse('The token has no id.');
  const { iat = 0 } = payload;
  return {
    issuer: profile.name,
    tenants: tenantsOf(profile),
    subject,
    session,
    principalId:
      subject !== undefined && profile.claims.subject === 'sub' ? writtenId(subject, profile) : undefined,
    useId: createHash('sha256').update(`logout token\n${profile.name}\n${jti}`).digest(),
    usableUntil: (iat + MAX_AGE_SECONDS + 2 * CLOCK_TOLERANCE_SECONDS) * 1000,
  };
}

function isLogout(events: unknown): boolean {
  if (typeof events !== 'object' || events === null || !Object.hasOwn(events, EVENT)) return false;
  const event: unknown = (events as Record<string, unknown>)[EVENT];
  return typeof event === 'object' && event !== null;
}

function idOf(payload: JWTPayload, name: string): string | undefined {
  if (!Object.hasOwn(payload, name)) return undefined;
  const value = payload[name];
  if (typeof value !== 'string' || value === '' || value.length > MAX_ID)
    throw refuse(`The claim "${name}" is not an id.`);
  return value;
}
