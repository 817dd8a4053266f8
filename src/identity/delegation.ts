/** A service that acts for a user (RFC 8693): the user's rights, within the service's ceiling. */
import type { CredentialRight } from '../store/authority.ts';
import type { VerifiedCaller } from './token-claims.ts';
import { refuse } from './token-refusal.ts';

/**
 * Puts a service's own token beside the user's. The result is the user's caller with the service as its actor, and
 * can be taken back by either's credentials.
 * @throws BulkheadError `invalid_token` unless one is a user's, the other a service's, and nobody else is between
 */
export function actFor(user: VerifiedCaller, service: VerifiedCaller): VerifiedCaller {
  if (service.kind !== 'service' || service.actor !== undefined)
    throw refuse('The header Actor-Authorization takes the token of a service, issued to itself.');
  if (user.kind !== 'user')
    throw refuse('A service acts for a user, and the token in Authorization is not one.');
  if (user.actor !== undefined)
    throw refuse('The token names a service that acts already; another cannot join it.');
  if (user.tenant !== service.tenant) throw refuse('The service and the user are of different tenants.');
  return {
    ...user,
    actor: { issuer: service.issuer, id: service.id },
    expiresAt: Math.min(user.expiresAt, service.expiresAt),
    revocable: [...(user.revocable ?? []), ...(service.revocable ?? [])],
    rights: both(user.rights, service.rights),
  };
}

type Rights = ReadonlySet<CredentialRight> | undefined;

function both(one: Rights, other: Rights): Rights {
  if (one === undefined || other === undefined) return one ?? other;
  return new Set([...one].filter((right) => other.has(right)));
}
