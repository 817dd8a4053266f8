/** Errors as responses: problem details (RFC 9457) with the challenges of RFC 6750 and RFC 9470. */
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
export function problemHeaders(error: BulkheadError): Record<string, string> {
  const headers: Record<string, string> = {};
  if (error.status === 401) headers['www-authenticate'] = challenge(error);
  if (error.status === 503 || error.status === 429)
    headers['retry-after'] = String(Math.ceil(error.retryAfterSeconds ?? RETRY_AFTER));
  return headers;
}

export function problemResponse(error: BulkheadError, requestId: string): Response {
  return new Response(JSON.stringify(toProblem(error, requestId)), {
    status: error.status,
    headers: { 'content-type': 'application/problem+json', ...problemHeaders(error) },
  });
}

const CHALLENGES: Partial<Record<ErrorCode, string>> = {
  invalid_token: 'invalid_token',
  credential_revoked: 'invalid_token',
  step_up_required: 'insufficient_user_authentication',
};

/** A request without a token is told the scheme only (RFC 6750 §3.1). */
function challenge(error: BulkheadError): string {
  const code = CHALLENGES[error.code];
  const parameters = {
    realm: 'bulkhead',
    ...(code !== undefined && { error: code, error_description: error.detail }),
    ...error.challenge,
  };
  const quoted = Object.entries(parameters).map(([name, value]) => `${name}="${quotable(value)}"`);
  return `Bearer ${quoted.join(', ')}`;
}

/** RFC 6750 §3 allows printable ASCII without `"` and `\` in these. */
function quotable(text: string): string {
  return text.replaceAll('’', "'").replace(/[^\x20-\x7e]|["\\]/g, '');
}
