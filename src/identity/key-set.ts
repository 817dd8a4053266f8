/** Which keys an issuer publishes for signing tokens, as its own key set endpoint says. */
import { createLocalJWKSet, type JSONWebKeySet, type JWK, type LocalJWKSet } from 'jose';
import { type IssuerProfile, TENANT_PLACE } from './issuer.ts';
import { fetchJson } from './limited-fetch.ts';
import { parseProviderUrl } from './secure-url.ts';

const MAX_KEYS = 100;

export interface FetchedKeys {
  readonly find: LocalJWKSet;
  /** Tells a set from a changed one. */
  readonly text: string;
}

/** @throws Error of any kind for what is not the key set of the issuer */
export async function fetchKeys(profile: IssuerProfile, fetcher: typeof fetch): Promise<FetchedKeys> {
  const uri = profile.jwksUri ?? (await discoverKeySet(profile, fetcher));
  const { keys } = await fetchJson(uri, fetcher);
  if (!Array.isArray(keys) || keys.length > MAX_KEYS) throw new TypeError('The answer is not a key set.');
  const own = { keys: keys.filter((key: unknown) => isOf(profile, key)) };
  return { find: createLocalJWKSet(own as JSONWebKeySet), text: JSON.stringify(own) };
}

/**
 * Entra publishes the keys of several issuers in one set and says with each which issuer's it is: a key of one
 * tenant, or of personal accounts, signs nothing for another.
 */
function isOf({ issuer }: IssuerProfile, key: unknown): boolean {
  if (typeof key !== 'object' || key === null) return false;
  const { issuer: named } = key as JWK & { readonly issuer?: unknown };
  if (named === undefined) return true;
  if (typeof named !== 'string') return false;
  const template = named.replace('{tenantid}', TENANT_PLACE);
  if (template === issuer) return true;
  const [before = '', after = ''] = template.split(TENANT_PLACE);
  return template.includes(TENANT_PLACE) && issuer.startsWith(before) && issuer.endsWith(after);
}

/** OpenID Connect Discovery 1.0 §4.3: the document must name the very issuer it was asked for. */
async function discoverKeySet(profile: IssuerProfile, fetcher: typeof fetch): Promise<string> {
  const document = await discover(profile, fetcher);
  if (typeof document.jwks_uri !== 'string') throw new TypeError('The discovery document names no key set.');
  return parseProviderUrl(document.jwks_uri, 'discovered key set URL').href;
}

/** @throws Error of any kind unless the document is that of the configured issuer */
export async function discover(
  profile: IssuerProfile,
  fetcher: typeof fetch,
): Promise<Readonly<Record<string, unknown>>> {
  const url = `${profile.issuer.replace(/\/$/, '')}/.well-known/openid-configuration`;
  const document = await fetchJson(url, fetcher);
  if (document.issuer !== profile.issuer)
    throw new TypeError('The discovery document is not that of the configured issuer.');
  return document;
}
