import { errors } from 'jose';
import { BulkheadError, isBulkheadError } from '../errors.ts';

/**
 * One answer for everything before the signature has verified: which issuers are trusted, which keys they publish and
 * which algorithms are configured is nothing that the holder of a forged token learns from the body.
 */
export const UNVERIFIED =
  'The token is malformed, or its signature was not made by an issuer that is trusted here.';

/** A refusal of the presented token. The sentence is for its holder and never repeats what the token says. */
export function refuse(detail: string): BulkheadError {
  return new BulkheadError('invalid_token', detail);
}

const BY_CLAIM: Readonly<Record<string, string>> = {
  aud: 'The token was issued for another audience.',
  iss: UNVERIFIED,
  nbf: 'The token is not valid yet.',
  iat: 'The token claims to have been issued in the future.',
};

/**
 * Turns what jose threw into a refusal. jose's error is not kept as `cause`: it carries every claim, and causes
 * reach the logs.
 */
export function refusalFor(error: unknown): BulkheadError {
  if (isBulkheadError(error)) return error;
  if (error instanceof errors.JWTExpired)
    return refuse('The token has expired; ask its issuer for a new one.');
  if (error instanceof errors.JWTClaimValidationFailed) {
    if (error.reason === 'missing') return refuse(`The token lacks the required claim "${error.claim}".`);
    return refuse(BY_CLAIM[error.claim] ?? `The claim "${error.claim}" of the token is not valid.`);
  }
  if (error instanceof errors.JOSEError) return refuse(UNVERIFIED);
  return new BulkheadError('invalid_token', UNVERIFIED, { cause: error });
}
