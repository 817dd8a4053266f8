import { BulkheadError } from '../errors.ts';
import { parsePrincipal } from '../policy/principal.ts';
import { PROVIDERS } from './issuer-presets.ts';
import type { IssuerProfile } from './issuer-profile.ts';
import { parseProviderUrl } from './secure-url.ts';

export type { IntrospectionProfile, IssuerProfile } from './issuer-profile.ts';

/** Signatures that need a private key. HMAC is absent because its key would be one the verifier also publishes. */
const ASYMMETRIC = /^((RS|PS|ES)(256|384|512)|EdDSA|Ed25519)$/;

/** Claims that change, are given to somebody else later, or that users edit themselves. */
const NO_KEY =
  /^(email|upn|preferred_username|unique_name|name|nickname|given_name|family_name|phone_number)$/i;
const USER_EDITABLE = /user_metadata/i;

/** Stands in an issuer's URL for the tenant that the token names. */
export const TENANT_PLACE = '{tid}';

/**
 * The profiles by their exact issuer.
 * @throws BulkheadError `config_invalid` for two profiles that could be confused, an algorithm that is not
 *   asymmetric, a URL without TLS, a source of groups without its claim, or what the provider's kind forbids
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
  checkIntrospection(profiles);
  return byIssuer;
}

/** The tenants that an issuer's tokens can be of. */
export function tenantsOf({ tenant }: IssuerProfile): readonly string[] {
  return typeof tenant === 'string' ? [tenant] : [...new Set(Object.values(tenant.map))];
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
  if (profile.issuer.includes(TENANT_PLACE) && profile.kind !== 'entra')
    throw invalid(profile, 'has {tid} in its URL, which only issuers of the kind entra may');
  checkClaims(profile);
  const problem = PROVIDERS[profile.kind ?? 'oidc'].forbids(profile);
  if (problem !== undefined) throw invalid(profile, problem);
}

function checkClaims(profile: IssuerProfile): void {
  const { claims, tenant } = profile;
  const ids = [claims.subject, claims.service ?? []].flat();
  if (ids.some((name) => NO_KEY.test(name)))
    throw invalid(profile, 'may not tell people apart by a name or an address: those change hands');
  const trusted = [...Object.values(claims).flat(), ...(typeof tenant === 'string' ? [] : [tenant.claim])];
  if (trusted.some((name) => name !== undefined && USER_EDITABLE.test(name)))
    throw invalid(profile, 'may not take anything from user_metadata, which users edit themselves');
}

/** A token whose issuer cannot be read off it would otherwise be shown to an issuer that it is no business of. */
function checkIntrospection(profiles: readonly IssuerProfile[]): void {
  const asking = profiles.filter(({ introspection }) => introspection !== undefined);
  for (const profile of asking) {
    const { endpoint, tokenPrefix } = profile.introspection ?? {};
    if (endpoint !== undefined)
      parseProviderUrl(endpoint, `introspection endpoint of the issuer "${profile.name}"`);
    if (asking.length > 1 && tokenPrefix === undefined)
      throw invalid(profile, 'needs a tokenPrefix, because another issuer introspects tokens too');
    const others = asking.filter((other) => other !== profile);
    if (others.some((other) => other.introspection?.tokenPrefix?.startsWith(tokenPrefix ?? '')))
      throw invalid(profile, 'has a tokenPrefix that tokens of another issuer begin with too');
  }
}

function invalid(profile: IssuerProfile, problem: string): BulkheadError {
  return new BulkheadError('config_invalid', `The issuer "${profile.name}" ${problem}.`);
}
