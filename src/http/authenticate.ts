/** The one place where credentials become a caller: for the API from its header, for pages from their session. */
import { BulkheadError } from '../errors.ts';
import type { VerifiedCaller } from '../identity/verify-token.ts';
import { instant } from '../policy/ids.ts';
import { formatPrincipal } from '../policy/principal.ts';
import type { CallerIdentity } from '../store/authority.ts';

/** The scheme is compared without case (RFC 9110 §11.1); a token in the query or a cookie is never looked at. */
const BEARER = /^bearer +(\S+) *$/i;

/** @throws BulkheadError `missing_token` */
export function bearerToken(authorization: string | undefined): string {
  const token = BEARER.exec(authorization ?? '')?.[1];
  if (token === undefined)
    throw new BulkheadError('missing_token', 'Send an access token as "Authorization: Bearer …".');
  return token;
}

/** Names are put together from the issuer's own name, so two issuers never meet in one principal. */
export function toIdentity(caller: VerifiedCaller): CallerIdentity {
  const { issuer, kind, id, groups, actor, authTime } = caller;
  return {
    tenant: caller.tenant,
    user: formatPrincipal({ kind, issuer, id }),
    tokenGroups:
      groups === 'unknown'
        ? 'unknown'
        : groups.map((group) => formatPrincipal({ kind: 'group', issuer, id: group })),
    actor: actor && formatPrincipal({ kind: 'service', issuer: actor.issuer, id: actor.id }),
    acr: caller.acr,
    authTime: authTime === undefined ? undefined : instant(authTime),
    revocable: caller.revocable,
    rights: caller.rights,
  };
}
