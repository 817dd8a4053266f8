import { errors } from 'jose';
import { BulkheadError, isBulkheadError } from '../errors.ts';

const MALFORMED = 'The token is malformed.';

/** A refusal of the presented token. The sentence is for its holder and never repeats what the token says. */
export function refuse(detail: string): BulkheadError {
  return new BulkheadError('invalid_token', detail);
}

const BY_CODE: Readonly<Record<string, string>> = {
  [errors.JWTExpired.code]: 'The token has expired; ask its issuer for a new one.',
  [errors.JWSSignatureVerificationFailed.code]: "The signature does not verify with the issuer's key.",
  [errors.JWKSNoMatchingKey.code]: 'The token is signed with a key that its issuer does not publish.',
  [errors.JWKSMultipleMatchingKeys.code]: 'The token does not say which of its issuer’s keys signed it.',
  [errors.JOSEAlgNotAllowed.code]: 'The signature algorithm is not one configured for this issuer.',
};

const BY_CLAIM: Readonly<Record<string, string>> = {
  aud: 'The token was issued for another audience.',
  iss: 'The issuer of the token is not trusted here.',
  typ: 'The token is not an access token of the type this issuer sends.',
  nbf: 'The token is not valid yet.',
  iat: 'The token claims to have been issued in the future.',
};

/**
 * Turns what jose threw into a refusal. jose's error is not kept as `cause`: it carries every claim, and causes
 * reach the logs.
 */
export function refusalFor(error: unknown): BulkheadError {
  if (isBulkheadError(error)) return error;
  if (error instanceof errors.JWTClaimValidationFailed) {
    if (error.reason === 'missing') return refuse(`The token lacks the required claim "${error.claim}".`);
    return refuse(BY_CLAIM[error.claim] ?? `The claim "${error.claim}" of the token is not valid.`);
  }
  if (error instanceof errors.JOSEError) return refuse(BY_CODE[error.code] ?? MALFORMED);
  return new BulkheadError('invalid_token', MALFORMED, { cause: error });
}
