import type { JWTPayload } from 'jose';
import { parsePrincipal } from '../policy/principal.ts';
import type { CredentialRight, Revocable } from '../store/authority.ts';
import type { IssuerProfile } from './issuer.ts';
import { refuse } from './token-refusal.ts';

const MAX_GROUPS = 1_000;

/** Who a verified token says is calling. */
export interface VerifiedCaller {
  /** Name of the issuer profile. */
  readonly issuer: string;
  readonly tenant: string;
  /** `service` when the subject is the client itself (RFC 9068 §2.2). */
  readonly kind: 'user' | 'service';
  readonly id: string;
  /**
   * What the token says about groups: none where the directory alone is asked, `unknown` where the token should
   * say but does not or could not.
   */
  readonly groups: readonly string[] | 'unknown';
  /** The service acting for the user (RFC 8693 §4.1), of the same issuer. */
  readonly actor: { readonly issuer: string; readonly id: string } | undefined;
  readonly acr: string | undefined;
  /** Milliseconds since 1970. */
  readonly authTime: number | undefined;
  /** Milliseconds since 1970. */
  readonly expiresAt: number;
  /** SHA-256 of the token, base64url. */
  readonly tokenId: string;
  /** By which of these the credential, and an actor's beside it, can be revoked. */
  readonly revocable?: readonly Revocable[] | undefined;
  /** What the credential is limited to; absent: whatever the subject may. */
  readonly rights?: ReadonlySet<CredentialRight> | undefined;
}

/**
 * Reads the claims of a token whose signature, issuer, audience and times jose has accepted.
 * @param now milliseconds since 1970
 * @throws BulkheadError `invalid_token` for a claim of the wrong shape; nothing is coerced or dropped
 */
export function readCaller(
  payload: JWTPayload,
  profile: IssuerProfile,
  tokenId: string,
  now: number,
): VerifiedCaller {
  if (Object.hasOwn(payload, 'cnf'))
    throw refuse('The token is bound to a key of its sender (cnf), which is not supported yet.');
  const latest = now + profile.clockToleranceSeconds * 1000;
  if (instantClaim(payload, 'iat', latest) === undefined) throw refuse('The token lacks the claim "iat".');
  const expiresAt = instantClaim(payload, 'exp', Number.MAX_SAFE_INTEGER);
  if (expiresAt === undefined) throw refuse('The token lacks the claim "exp".');
  const subject = idClaim(payload, profile.claims.subject);
  const client = idClaim(payload, profile.claims.client);
  return {
    issuer: profile.name,
    tenant: profile.tenant,
    kind: subject === client ? 'service' : 'user',
    id: subject,
    groups: readGroups(payload, profile),
    actor: readActor(payload, profile),
    acr: stringClaim(payload, profile.claims.acr),
    authTime: instantClaim(payload, profile.claims.authTime, latest),
    expiresAt,
    tokenId,
  };
}

/**
 * The outermost actor decides; earlier actors of a chain are only history (RFC 8693 §4.1), but a chain is refused:
 * no ceiling was ever set for the services in it.
 */
function readActor(payload: JWTPayload, profile: IssuerProfile): VerifiedCaller['actor'] {
  const act = claim(payload, 'act');
  if (act === undefined) return undefined;
  if (!isRecord(act)) throw refuse('The claim "act" must be an object.');
  if (Object.hasOwn(act, 'act')) throw refuse('The token names a chain of actors; only one is accepted.');
  if (Object.hasOwn(act, 'iss') && act.iss !== payload.iss)
    throw refuse('The actor in the token belongs to another issuer.');
  return { issuer: profile.name, id: idClaim(act, 'sub') };
}

function readGroups(payload: JWTPayload, profile: IssuerProfile): VerifiedCaller['groups'] {
  const name = profile.claims.groups;
  if (profile.groupSource === 'directory' || name === undefined) return [];
  const groups = claim(payload, name);
  if (groups !== undefined) checkGroups(groups);
  return groups === undefined || isOverage(payload, name) ? 'unknown' : [...new Set(groups)];
}

function checkGroups(groups: unknown): asserts groups is readonly string[] {
  if (!Array.isArray(groups) || groups.length > MAX_GROUPS || !groups.every(isPrincipalId))
    throw refuse(`The group claim must be a list of at most ${MAX_GROUPS} group ids.`);
}

/** Entra's ways of saying that the groups did not fit: `_claim_names` points elsewhere, `hasgroups` only tells. */
function isOverage(payload: JWTPayload, groupsClaim: string): boolean {
  const elsewhere = claim(payload, '_claim_names');
  if (elsewhere !== undefined && !isRecord(elsewhere)) return true;
  if (elsewhere !== undefined && [groupsClaim, 'groups'].some((name) => Object.hasOwn(elsewhere, name)))
    return true;
  const flag = claim(payload, 'hasgroups');
  return flag !== undefined && flag !== false && flag !== 'false';
}

function idClaim(claims: Record<string, unknown>, name: string): string {
  const value = claim(claims, name);
  if (!isPrincipalId(value)) throw refuse(`The claim "${name}" is missing or cannot be used as an id.`);
  return value;
}

function stringClaim(payload: JWTPayload, name: string): string | undefined {
  const value = claim(payload, name);
  if (value !== undefined && typeof value !== 'string') throw refuse(`The claim "${name}" must be a string.`);
  return value;
}

/** Reads a NumericDate (RFC 7519 §2) as milliseconds. JSON may spell infinity (1e999): such a date is refused. */
function instantClaim(payload: JWTPayload, name: string, latest: number): number | undefined {
  const value = claim(payload, name);
  if (value === undefined) return undefined;
  if (typeof value !== 'number' || !(value >= 0 && value * 1000 <= latest))
    throw refuse(`The claim "${name}" must be a time that makes sense.`);
  return value * 1000;
}

/** Own claims only, so that a claim configured as `constructor` reads nothing inherited. */
function claim(claims: Record<string, unknown>, name: string): unknown {
  return Object.hasOwn(claims, name) ? claims[name] : undefined;
}

function isPrincipalId(value: unknown): value is string {
  return typeof value === 'string' && parsePrincipal(`user:x|${value}`) !== undefined;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
