/** JWT access tokens (RFC 9068 §4, RFC 8725): every check is made, and with the values of one profile. */
import { decodeJwt, type JWTPayload, jwtVerify, type ProtectedHeaderParameters } from 'jose';
import { claim } from './claim-values.ts';
import { type IssuerProfile, TENANT_PLACE } from './issuer.ts';
import type { KeySource } from './key-source.ts';
import { readToken, type VerifiedToken } from './token-claims.ts';
import { refusalFor, refuse, UNVERIFIED } from './token-refusal.ts';

const NOT_AN_ACCESS_TOKEN = 'The token is not an access token of the type this issuer sends.';
const COMPACT_JWS = /^[\w-]+\.[\w-]+\.[\w-]+$/;
/** A tenant of Entra: nothing that could add to a URL. */
const TENANT_ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

export interface Issuer {
  readonly profile: IssuerProfile;
  readonly keys: KeySource;
}

/** Until when, in milliseconds since 1970, what was found holds. */
export interface Found {
  readonly token: VerifiedToken;
  readonly until: number;
}

export function looksLikeJwt(token: string): boolean {
  return COMPACT_JWS.test(token);
}

/** Trailing bits that decode to nothing would give one token many ids. @throws BulkheadError `invalid_token` */
export function checkSpelling(token: string): void {
  const signature = token.slice(token.lastIndexOf('.') + 1);
  if (Buffer.from(signature, 'base64url').toString('base64url') !== signature) throw refuse(UNVERIFIED);
}

/**
 * Finds the profile that the unverified `iss` names. It chooses among the configured ones and does nothing else.
 * @returns the issuer, and its `iss` as this token has to have it
 * @throws BulkheadError `invalid_token`
 */
export function chooseIssuer(
  token: string,
  issuers: ReadonlyMap<string, Issuer>,
): { readonly issuer: Issuer; readonly iss: string } {
  const iss = unverifiedIssuer(token);
  const exact = iss.includes(TENANT_PLACE) ? undefined : issuers.get(iss);
  if (exact !== undefined) return { issuer: exact, iss };
  for (const [url, issuer] of issuers) if (isFrom(url, iss)) return { issuer, iss };
  throw refuse(UNVERIFIED);
}

function unverifiedIssuer(token: string): string {
  try {
    const { iss } = decodeJwt(token);
    if (typeof iss === 'string') return iss;
  } catch (error) {
    throw refusalFor(error);
  }
  throw refuse(UNVERIFIED);
}

function isFrom(template: string, iss: string): boolean {
  const [before, after] = template.split(TENANT_PLACE);
  if (before === undefined || after === undefined) return false;
  if (!iss.startsWith(before) || !iss.endsWith(after)) return false;
  return TENANT_ID.test(iss.slice(before.length, iss.length - after.length));
}

/**
 * @param now milliseconds since 1970
 * @throws BulkheadError `invalid_token`, `identity_unavailable`
 */
export async function verifyJwt(
  { profile, keys }: Issuer,
  iss: string,
  { token, tokenId, now }: { readonly token: string; readonly tokenId: string; readonly now: number },
): Promise<Found> {
  const { maxTokenAgeSeconds: maxTokenAge, clockToleranceSeconds: clockTolerance } = profile;
  try {
    const { payload, protectedHeader } = await jwtVerify(token, keys.resolve, {
      issuer: iss,
      audience: profile.audience,
      algorithms: [...profile.algorithms],
      requiredClaims: ['iss', 'sub', 'aud', 'exp', 'iat'],
      currentDate: new Date(now),
      clockTolerance,
      ...(maxTokenAge === undefined ? {} : { maxTokenAge }),
    });
    checkType(protectedHeader, payload, profile);
    const verified = readToken(payload, profile, tokenId, now);
    const youngest = (payload.iat ?? 0) + (maxTokenAge ?? Number.POSITIVE_INFINITY);
    return { token: verified, until: (Math.min(payload.exp ?? 0, youngest) + clockTolerance) * 1000 };
  } catch (error) {
    throw refusalFor(error);
  }
}

/**
 * RFC 9068 §4 asks for `at+jwt`. Where the provider sends JWT for everything, an ID token is told by what only ID
 * tokens have.
 */
function checkType(header: ProtectedHeaderParameters, payload: JWTPayload, profile: IssuerProfile): void {
  if (Object.hasOwn(header, 'typ') && typeof header.typ !== 'string') throw refuse(NOT_AN_ACCESS_TOKEN);
  const presented = header.typ === undefined ? 'absent' : mediaType(header.typ);
  const accepted = profile.typ.map((typ) => (typ === 'absent' ? typ : mediaType(typ)));
  if (!accepted.includes(presented)) throw refuse(NOT_AN_ACCESS_TOKEN);
  if (presented === 'absent' || presented === 'application/jwt') refuseIdToken(payload, profile);
}

function refuseIdToken(payload: JWTPayload, { kind }: IssuerProfile): void {
  // Keycloak's preset asks the claim that says what the token is for; older versions send a nonce with all of them
  const telling = kind === 'keycloak' ? [] : ['nonce'];
  for (const name of ['at_hash', 'c_hash', 's_hash', ...telling])
    if (claim(payload, name) !== undefined) throw refuse(NOT_AN_ACCESS_TOKEN);
}

/** RFC 7515 §4.1.9: `at+jwt` is short for `application/at+jwt`. */
function mediaType(typ: string): string {
  const lower = typ.toLowerCase();
  return lower.includes('/') ? lower : `application/${lower}`;
}
