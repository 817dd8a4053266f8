import * as client from 'openid-client';
import { BulkheadError, isBulkheadError } from '../errors.ts';
import { providerUnavailable } from './sign-in-providers.ts';

/** What openid-client says of an answer that no working provider would give, and of none at all. */
const GARBAGE = new Set([
  'OAUTH_TIMEOUT',
  'OAUTH_ABORT',
  'OAUTH_PARSE_ERROR',
  'OAUTH_RESPONSE_IS_NOT_JSON',
  'OAUTH_RESPONSE_IS_NOT_CONFORM',
]);
/** RFC 6749 §4.1.2.1: the provider says itself that it cannot. */
const TROUBLED = new Set(['server_error', 'temporarily_unavailable']);

/** Whatever the protocol library threw, as one of ours: the provider is not well, or the sign-in is not good. */
export function signInError(error: unknown): BulkheadError {
  if (isBulkheadError(error)) return error;
  if (isTrouble(error)) return providerUnavailable(error);
  if (error instanceof client.AuthorizationResponseError)
    return new BulkheadError('sign_in_failed', sentenceFor(error.error));
  return new BulkheadError(
    'sign_in_failed',
    'The sign-in expired or was tampered with; please start again.',
    { cause: error },
  );
}

function isTrouble(error: unknown): boolean {
  // a fetch that got no answer is a TypeError
  if (error instanceof TypeError) return true;
  if (error instanceof client.ResponseBodyError) return error.status >= 500 || TROUBLED.has(error.error);
  if (error instanceof client.AuthorizationResponseError) return TROUBLED.has(error.error);
  return error instanceof client.ClientError && GARBAGE.has(error.code ?? '');
}

/** The provider's own words are not shown: whoever made the browser come back wrote them. */
function sentenceFor(code: string): string {
  if (code === 'access_denied') return 'The sign-in was cancelled, or the identity provider refused it.';
  if (code === 'unmet_authentication_requirements')
    return 'The identity provider could not sign you in as strongly as this asks for.';
  return 'The identity provider did not complete the sign-in.';
}
