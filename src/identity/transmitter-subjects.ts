/** Whether the subjects of security events are the principals that tokens of the same issuer make. */
import { BulkheadError } from '../errors.ts';
import type { IssuerProfile } from './issuer-profile.ts';

interface Speaking {
  readonly issuer: string;
  readonly issuerName: string;
  /** Which claim of the issuer's tokens the `sub` of its events repeats. */
  readonly subjectClaim: string;
}

/**
 * An event names an account by one id (`iss_sub`, RFC 9493). Where the principal is made of something else, the event
 * would be acknowledged and name nobody: an account that its provider has closed would go on.
 * @throws BulkheadError `config_invalid`
 */
export function requireSubjectsKnown(
  transmitters: readonly Speaking[],
  profiles: readonly IssuerProfile[],
): void {
  for (const { issuer, issuerName, subjectClaim } of transmitters) {
    const names = [profiles.find(({ name }) => name === issuerName)?.claims.subject ?? []].flat();
    if (names.length === 1 && names[0] === subjectClaim) continue;
    const advice =
      names.length === 1
        ? `say subjectClaim: ${names[0]} if the sub of its events is that`
        : 'an event cannot name them, so this stream cannot be received';
    throw new BulkheadError(
      'config_invalid',
      `The transmitter of signals "${issuer}" names accounts by ${subjectClaim}, and the accounts of the issuer "${issuerName}" are told apart by ${names.join(' and ')}: ${advice}.`,
    );
  }
}
