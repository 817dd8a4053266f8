import { BulkheadError } from '../errors.ts';
import { type Instant, instant } from '../policy/ids.ts';
import { parsePrincipal } from '../policy/principal.ts';

/** What a credential can be taken back by; `issuedAt` in milliseconds since 1970. */
export interface Revocable {
  readonly kind: 'user' | 'session' | 'client' | 'key';
  /** `<issuer name>|<id>`: the principal's text form without its kind for users and clients. */
  readonly id: string;
  readonly issuedAt: Instant;
}

/** As credentials that no revocation so far reaches: for questions about somebody who is not calling. */
export function newlyIssued(principals: readonly (string | undefined)[]): readonly Revocable[] {
  return principals.flatMap((name) => {
    const principal = name === undefined ? undefined : parsePrincipal(name);
    if (principal?.kind !== 'user' && principal?.kind !== 'service') return [];
    const { kind, issuer, id } = principal;
    const issuedAt = instant(Number.MAX_SAFE_INTEGER);
    return [{ kind: kind === 'user' ? 'user' : 'client', id: `${issuer}|${id}`, issuedAt }];
  });
}

/** One answer whichever it was: the person's, the session, the service's or the key. */
export function credentialRevoked(): BulkheadError {
  return new BulkheadError(
    'credential_revoked',
    'This sign-in or credential was revoked. Sign in again, or use another.',
  );
}
