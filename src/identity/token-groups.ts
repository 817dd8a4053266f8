/** What a token says about groups: a list, or that nobody knows. Never an empty list for want of a better one. */
import { type Claims, claim, isPrincipalId, isRecord } from './claim-values.ts';
import type { IssuerProfile } from './issuer.ts';
import { PROVIDERS } from './issuer-presets.ts';
import { refuse } from './token-refusal.ts';

const MAX_GROUPS = 1_000;

/**
 * @returns `unknown` where the token should say and could not, and the directory may not answer for it
 * @throws BulkheadError `invalid_token` for a claim of the wrong shape
 */
export function readGroups(
  claims: Claims,
  profile: IssuerProfile,
  kind: 'user' | 'service',
): readonly string[] | 'unknown' {
  const name = profile.claims.groups;
  if (profile.groupSource === 'directory' || name === undefined) return [];
  const groups = claim(claims, name);
  if (groups !== undefined) checkGroups(groups, profile);
  if (groups === undefined || isOverage(claims, name) || isCutOff(groups, profile)) {
    // providers send groups of people; those of a service are what the directory says
    if (kind === 'service' && groups === undefined && !isOverage(claims, name)) return [];
    const directoryAnswers = profile.groupSource === 'both' && profile.directoryAuthoritative === true;
    return directoryAnswers ? [...new Set(groups)] : 'unknown';
  }
  return [...new Set(groups)];
}

function checkGroups(groups: unknown, { kind = 'oidc' }: IssuerProfile): asserts groups is readonly string[] {
  if (!Array.isArray(groups) || groups.length > MAX_GROUPS || !groups.every(isPrincipalId))
    throw refuse(`The group claim must be a list of at most ${MAX_GROUPS} group ids.`);
  const { refusesGroup } = PROVIDERS[kind];
  const problem = groups.map((group) => refusesGroup?.(group)).find((found) => found !== undefined);
  if (problem !== undefined) throw refuse(problem);
}

function isCutOff(groups: readonly string[], { kind = 'oidc' }: IssuerProfile): boolean {
  return groups.length >= (PROVIDERS[kind].groupLimit ?? Number.POSITIVE_INFINITY);
}

/** Entra's ways of saying that the groups did not fit: `_claim_names` points elsewhere, `hasgroups` only tells. */
function isOverage(claims: Claims, groupsClaim: string): boolean {
  const elsewhere = claim(claims, '_claim_names');
  if (elsewhere !== undefined && !isRecord(elsewhere)) return true;
  if (elsewhere !== undefined && [groupsClaim, 'groups'].some((name) => Object.hasOwn(elsewhere, name)))
    return true;
  const flag = claim(claims, 'hasgroups');
  return flag !== undefined && flag !== false && flag !== 'false';
}
