import { BulkheadError } from '../errors.ts';
import { parsePrincipal } from '../policy/principal.ts';
import { parseProviderUrl } from './secure-url.ts';

/** Everything Bulkhead takes for granted about one token issuer. Two issuers never share a principal. */
export interface IssuerProfile {
  /** Short stable key used in principals, as in `user:workforce|anna.keller`. */
  readonly name: string;
  readonly tenant: string;
  /** Compared with `iss` character by character. */
  readonly issuer: string;
  readonly audience: string;
  /** JWS algorithms, asymmetric only. */
  readonly algorithms: readonly string[];
  /** Accepted `typ` headers: `at+jwt` (RFC 9068 §2.1), or what the provider sends instead. */
  readonly typ: readonly string[];
  /** Absent: found by OpenID Connect discovery. */
  readonly jwksUri?: string | undefined;
  /** Which claim says what. `groups` is needed only where the token is a source of groups. */
  readonly claims: {
    readonly subject: string;
    readonly client: string;
    readonly groups?: string | undefined;
    readonly acr: string;
    readonly authTime: string;
  };
  readonly groupSource: 'token' | 'directory' | 'both';
  readonly clockToleranceSeconds: number;
  /** Longest time since `iat`; absent = as long as `exp` allows. */
  readonly maxTokenAgeSeconds?: number | undefined;
}

/** Signatures that need a private key. HMAC is absent because its key would be one the verifier also publishes. */
const ASYMMETRIC = /^((RS|PS|ES)(256|384|512)|EdDSA|Ed25519)$/;

/**
 * The profiles by their exact issuer.
 * @throws BulkheadError `config_invalid` for two profiles that could be confused, an algorithm that is not
 *   asymmetric, a URL without TLS, or a source of groups without its claim
 */
export function profilesByIssuer(profiles: readonly IssuerProfile[]): ReadonlyMap<string, IssuerProfile> {
  const byIssuer = new Map<string, IssuerProfile>();
  const names = new Set<string>();
  for (const profile of profiles) {
    checkProfile(profile);
    if (byIssuer.has(profile.issuer) || names.has(profile.name))
      throw invalid(profile, 'has the name or the issuer URL of another one');
    byIssuer.set(profile.issuer, profile);
    names.add(profile.name);
  }
  return byIssuer;
}

function checkProfile(profile: IssuerProfile): void {
  if (parsePrincipal(`user:${profile.name}|x`) === undefined)
    throw invalid(profile, 'needs a name of a–z, 0–9, dot, dash and underscore');
  parseProviderUrl(profile.issuer, `URL of the issuer "${profile.name}"`);
  if (profile.jwksUri !== undefined)
    parseProviderUrl(profile.jwksUri, `key set URL of the issuer "${profile.name}"`);
  if (profile.audience === '') throw invalid(profile, 'needs an audience');
  if (profile.algorithms.length === 0 || !profile.algorithms.every((algorithm) => ASYMMETRIC.test(algorithm)))
    throw invalid(profile, 'may list asymmetric signature algorithms only, and at least one');
  if (profile.typ.length === 0) throw invalid(profile, 'needs at least one token type');
  if (profile.groupSource !== 'directory' && profile.claims.groups === undefined)
    throw invalid(profile, 'takes groups from the token but names no group claim');
  if (!(profile.clockToleranceSeconds >= 0 && profile.clockToleranceSeconds <= 300))
    throw invalid(profile, 'may tolerate a clock difference of 0 to 300 seconds');
}

function invalid(profile: IssuerProfile, problem: string): BulkheadError {
  return new BulkheadError('config_invalid', `The issuer "${profile.name}" ${problem}.`);
}
