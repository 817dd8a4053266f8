/** Errors as responses: problem details (RFC 9457) with the challenges of RFC 6750, 9449, 9470 and 9728. */
import { BulkheadError, type ErrorCode, type FieldIssue } from '../errors.ts';

export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly code: ErrorCode;
  readonly request_id: string;
  readonly errors?: readonly FieldIssue[];
}

/** What a refused client is told about how to come back. */
export interface ChallengeOptions {
  /** Where the protected resource describes itself (RFC 9728 §5.1); absent where nothing does. */
  readonly resourceMetadata?: string | undefined;
  /** Algorithms of DPoP proofs (RFC 9449 §7.1); none = proofs are not spoken of. */
  readonly dpopAlgorithms?: readonly string[] | undefined;
}

/** Seconds, for a 503 that does not know better. */
const RETRY_AFTER = 5;
const MAX_ISSUES = 50;

/** One answer for what is missing and what is hidden, whoever noticed and however they put it. */
const NOT_FOUND = new BulkheadError('not_found', 'There is nothing here, or nothing that you may see.');

export function toProblem(error: BulkheadError, requestId: string): Problem {
  const shown = error.code === 'not_found' ? NOT_FOUND : error;
  return {
    type: `urn:bulkhead:problem:${shown.code}`,
    title: shown.title,
    status: shown.status,
    detail: shown.detail,
    code: shown.code,
    request_id: requestId,
    ...(shown.issues.length > 0 && { errors: shown.issues.slice(0, MAX_ISSUES) }),
  };
}

/** Headers that belong to the error itself, whatever the body looks like. */
export function problemHeaders(error: BulkheadError, options: ChallengeOptions = {}): Record<string, string> {
  const headers: Record<string, string> = {};
  if (isChallenged(error)) headers['www-authenticate'] = challenges(error, options).join(', ');
  if (error.status === 503 || error.status === 429)
    headers['retry-after'] = String(Math.ceil(error.retryAfterSeconds ?? RETRY_AFTER));
  return headers;
}

export function problemResponse(
  error: BulkheadError,
  requestId: string,
  options: ChallengeOptions = {},
): Response {
  return new Response(JSON.stringify(toProblem(error, requestId)), {
    status: error.status,
    headers: { 'content-type': 'application/problem+json', ...problemHeaders(error, options) },
  });
}

/** `insufficient_scope` alone is a 403 that another credential would mend (RFC 6750 §3.1). */
function isChallenged({ status, code }: BulkheadError): boolean {
  return status === 401 || code === 'insufficient_scope';
}

const CHALLENGES: Partial<Record<ErrorCode, string>> = {
  invalid_token: 'invalid_token',
  credential_revoked: 'invalid_token',
  insufficient_scope: 'insufficient_scope',
  step_up_required: 'insufficient_user_authentication',
};

/** Errors that only a proof can have (RFC 9449 §7.1, §9): the bearer scheme has no such codes. */
const PROOF_ERRORS = new Set(['invalid_dpop_proof', 'use_dpop_nonce']);

/** A request without a credential is told the schemes and where to read on, and no error (RFC 6750 §3.1). */
function challenges(error: BulkheadError, { resourceMetadata, dpopAlgorithms }: ChallengeOptions): string[] {
  const code = CHALLENGES[error.code];
  const said: Record<string, string> = {
    ...(code !== undefined && { error: code, error_description: error.detail }),
    ...error.challenge,
  };
  const everywhere = {
    realm: 'bulkhead',
    ...(resourceMetadata !== undefined && { resource_metadata: resourceMetadata }),
  };
  const isOfProof = PROOF_ERRORS.has(said.error ?? '');
  const bearer = challenge('Bearer', { ...everywhere, ...(!isOfProof && said) });
  if (dpopAlgorithms === undefined || dpopAlgorithms.length === 0) return [bearer];
  const algs = dpopAlgorithms.join(' ');
  return [bearer, challenge('DPoP', { ...everywhere, ...said, algs })];
}

function challenge(scheme: string, parameters: Readonly<Record<string, string>>): string {
  const quoted = Object.entries(parameters).map(([name, value]) => `${name}="${quotable(value)}"`);
  return `${scheme} ${quoted.join(', ')}`;
}

/** RFC 6750 §3 allows printable ASCII without `"` and `\` in these. */
function quotable(text: string): string {
  return text.replaceAll('’', "'").replace(/[^\x20-\x7e]|["\\]/g, '');
}
