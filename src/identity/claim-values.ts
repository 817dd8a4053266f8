/** Claims by their shapes. What has another is refused; nothing is coerced or dropped. */
import { parsePrincipal } from '../policy/principal.ts';
import type { IssuerProfile } from './issuer.ts';
import { PROVIDERS } from './issuer-presets.ts';
import { refuse } from './token-refusal.ts';

export type Claims = Readonly<Record<string, unknown>>;

/** Own claims only, so that a claim configured as `constructor` reads nothing inherited. */
export function claim(claims: Claims, name: string): unknown {
  return Object.hasOwn(claims, name) ? claims[name] : undefined;
}

export function isRecord(value: unknown): value is Claims {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function isPrincipalId(value: unknown): value is string {
  return typeof value === 'string' && parsePrincipal(`user:x|${value}`) !== undefined;
}

/** The values of several claims joined by `:`, of which only the last may hold one. */
export function idClaim(claims: Claims, names: string | readonly string[], profile: IssuerProfile): string {
  const parts = [names].flat().map((name) => idPart(claims, name, profile));
  if (parts.slice(0, -1).some((part) => part.includes(':')))
    throw refuse('The claims that make the id cannot be told apart.');
  const id = parts.join(':');
  if (!isPrincipalId(id)) throw unusable([names].flat().join('" and "'));
  return id;
}

/** As the principals of an issuer have it. Injective: what stands for the bar and for itself is escaped as in a URL. */
export function writtenId(id: string, { kind = 'oidc' }: Pick<IssuerProfile, 'kind'>): string {
  return PROVIDERS[kind].escapesIds ? id.replaceAll('%', '%25').replaceAll('|', '%7C') : id;
}

function idPart(claims: Claims, name: string, profile: IssuerProfile): string {
  const value = claim(claims, name);
  const id = typeof value === 'string' ? writtenId(value, profile) : value;
  if (!isPrincipalId(id)) throw unusable(name);
  return id;
}

function unusable(name: string) {
  return refuse(`The claim "${name}" is missing or cannot be used as an id.`);
}

export function stringClaim(claims: Claims, name: string): string | undefined {
  const value = claim(claims, name);
  if (value !== undefined && typeof value !== 'string') throw refuse(`The claim "${name}" must be a string.`);
  return value;
}

/**
 * Reads a NumericDate (RFC 7519 §2) as milliseconds. JSON may spell infinity (1e999): such a date is refused.
 * @param latest milliseconds since 1970
 */
export function instantClaim(claims: Claims, name: string, latest: number): number | undefined {
  const value = claim(claims, name);
  if (value === undefined) return undefined;
  if (typeof value !== 'number' || !(value >= 0 && value * 1000 <= latest))
    throw refuse(`The claim "${name}" must be a time that makes sense.`);
  return value * 1000;
}

/** Space-delimited (RFC 8693 §4.2), or a list as Okta sends it. */
export function scopeClaim(claims: Claims, name: string): readonly string[] {
  const value = claim(claims, name);
  if (value === undefined) return [];
  if (typeof value === 'string') return value.split(' ').filter((scope) => scope !== '');
  if (Array.isArray(value) && value.every((scope) => typeof scope === 'string')) return value;
  throw refuse(`The claim "${name}" must be a list of scopes.`);
}
