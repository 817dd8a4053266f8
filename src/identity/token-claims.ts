import { type Instant, instant } from '../policy/ids.ts';
import type { CredentialRight, Revocable } from '../store/authority.ts';
import {
  type Claims,
  claim,
  idClaim,
  instantClaim,
  isPrincipalId,
  isRecord,
  scopeClaim,
  stringClaim,
} from './claim-values.ts';
import type { IssuerProfile } from './issuer.ts';
import { PROVIDERS } from './issuer-presets.ts';
import { readGroups } from './token-groups.ts';
import { refuse } from './token-refusal.ts';

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
  /** The service acting for the user (RFC 8693 §4.1). */
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

/** Keys that a token is bound to: only who holds each of them may use it (RFC 7800, `cnf`). */
interface Confirmation {
  /** Thumbprint of the key that signs DPoP proofs (RFC 9449 §6). */
  readonly proofKey: string | undefined;
  /** SHA-256 of the client's certificate, base64url (RFC 8705 §3.1). */
  readonly certificate: string | undefined;
}

/** A token that verified, which need not be its holder's to use. */
export interface VerifiedToken {
  readonly caller: VerifiedCaller;
  readonly confirmation: Confirmation | undefined;
}

/**
 * Reads the claims of a token whose signature, issuer, audience and times were accepted.
 * @param now milliseconds since 1970
 * @throws BulkheadError `invalid_token` for a claim of the wrong shape; nothing is coerced or dropped
 */
export function readToken(
  claims: Claims,
  profile: IssuerProfile,
  tokenId: string,
  now: number,
): VerifiedToken {
  const problem = PROVIDERS[profile.kind ?? 'oidc'].refuses(claims);
  if (problem !== undefined) throw refuse(problem);
  const latest = now + profile.clockToleranceSeconds * 1000;
  const issuedAt = instantClaim(claims, 'iat', latest);
  if (issuedAt === undefined) throw refuse('The token lacks the claim "iat".');
  const expiresAt = instantClaim(claims, 'exp', Number.MAX_SAFE_INTEGER);
  if (expiresAt === undefined) throw refuse('The token lacks the claim "exp".');
  const kind = PROVIDERS[profile.kind ?? 'oidc'].isService(claims, profile) ? 'service' : 'user';
  const client = clientOf(claims, profile);
  const id = kind === 'service' ? client : idClaim(claims, profile.claims.subject, profile);
  const actors = readActors(claims, profile, kind, client);
  return {
    confirmation: readConfirmation(claims),
    caller: {
      issuer: profile.name,
      tenant: tenantOf(claims, profile),
      kind,
      id,
      groups: readGroups(claims, profile, kind),
      actor: actors[0] === undefined ? undefined : { issuer: profile.name, id: actors[0] },
      acr: stringClaim(claims, profile.claims.acr),
      authTime: instantClaim(claims, profile.claims.authTime, latest),
      expiresAt,
      tokenId,
      revocable: revocablesOf(profile.name, earliest(issuedAt, profile), {
        user: kind === 'user' ? [id] : [],
        session: sessionOf(claims, profile),
        client: [...new Set([client, ...actors])],
      }),
      rights: rightsOf(claims, profile),
    },
  };
}

function sessionOf(claims: Claims, { claims: { session: name } }: IssuerProfile): readonly string[] {
  const session = name === undefined ? undefined : stringClaim(claims, name);
  if (session === undefined) return [];
  if (!isPrincipalId(session)) throw refuse(`The claim "${name}" cannot be used as an id.`);
  return [session];
}

/** A service by what its own token calls it, so that a client and its principal are one. */
function clientOf(claims: Claims, profile: IssuerProfile): string {
  return idClaim(claims, profile.claims.service ?? profile.claims.client, profile);
}

/** Never a field of the request: the issuer says whose its tokens are, itself or by a claim that it signs. */
function tenantOf(claims: Claims, { tenant }: IssuerProfile): string {
  if (typeof tenant === 'string') return tenant;
  const value = claim(claims, tenant.claim);
  const found = typeof value === 'string' && Object.hasOwn(tenant.map, value) ? tenant.map[value] : undefined;
  if (found === undefined) throw refuse('The token is of a tenant that is not served here.');
  return found;
}

/**
 * The services that act, the nearest first. The outermost decides and earlier ones are history (RFC 8693 §4.1); a
 * chain longer than configured is refused, and each link of it can be revoked.
 */
function readActors(
  claims: Claims,
  profile: IssuerProfile,
  kind: VerifiedCaller['kind'],
  client: string,
): readonly string[] {
  const actors: string[] = [];
  for (let act = claim(claims, 'act'); act !== undefined; act = claim(act, 'act')) {
    if (!isRecord(act)) throw refuse('The claim "act" must be an object.');
    if (Object.hasOwn(act, 'iss') && act.iss !== claims.iss)
      throw refuse('The actor in the token belongs to another issuer.');
    actors.push(idClaim(act, 'sub', profile));
    if (actors.length > (profile.maxActorDepth ?? 1))
      throw refuse('The token names a longer chain of actors than is accepted.');
  }
  const actsUnsaid =
    kind === 'user' && profile.actingClients?.includes(String(claims[profile.claims.client]));
  return actors.length === 0 && actsUnsaid === true ? [client] : actors;
}

/** A key that nothing here can check is never passed over: the token is not for whoever merely holds it. */
function readConfirmation(claims: Claims): Confirmation | undefined {
  if (!Object.hasOwn(claims, 'cnf')) return undefined;
  const { cnf } = claims;
  if (!isRecord(cnf)) throw refuse('The claim "cnf" must be an object.');
  const { jkt, 'x5t#S256': certificate, ...others } = cnf;
  const known = [jkt, certificate].filter((value) => value !== undefined);
  if (known.length === 0 || Object.keys(others).length > 0)
    throw refuse('The token is bound to a key of its sender (cnf) in a way that is not supported.');
  if (!known.every((value) => typeof value === 'string' && /^[\w-]{43}$/.test(value)))
    throw refuse('The key that the token is bound to (cnf) is not a SHA-256 thumbprint.');
  return { proofKey: jkt as string | undefined, certificate: certificate as string | undefined };
}

function rightsOf(claims: Claims, { scopes, claims: names }: IssuerProfile): VerifiedCaller['rights'] {
  if (scopes === undefined) return undefined;
  const given = names.scope === undefined ? [] : scopeClaim(claims, names.scope);
  return new Set(given.flatMap((scope) => (Object.hasOwn(scopes, scope) ? (scopes[scope] ?? []) : [])));
}

/**
 * When the token was issued at the earliest: an issuer whose clock is as far ahead as is tolerated dates its tokens past
 * a revocation that comes after them.
 */
function earliest(issuedAt: number, { clockToleranceSeconds }: IssuerProfile): Instant {
  return instant(issuedAt - clockToleranceSeconds * 1000);
}

type Ids = Readonly<Record<'user' | 'session' | 'client', readonly string[]>>;

function revocablesOf(issuer: string, issuedAt: Instant, ids: Ids): readonly Revocable[] {
  return (['user', 'session', 'client'] as const).flatMap((kind) =>
    ids[kind].map((id) => ({ kind, id: `${issuer}|${id}`, issuedAt })),
  );
}
