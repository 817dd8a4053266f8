/**
 * Every error Bulkhead raises on purpose: a code, an HTTP status and a title. The detail is written where the
 * error is thrown, for the person who will read it. Anything else that reaches an edge is `internal`.
 */
const CATALOGUE = {
  // the request
  malformed_json: [400, 'The body is not valid JSON'],
  invalid_request: [400, 'The request is not valid'],
  unsupported_media_type: [415, 'This content type is not accepted'],
  headers_too_large: [431, 'The headers are too large'],
  payload_too_large: [413, 'The body is too large'],
  not_found: [404, 'Not found'],
  method_not_allowed: [405, 'Method not allowed'],
  conflict: [409, 'This conflicts with what is already there'],
  precondition_failed: [412, 'It has been changed since'],
  not_implemented: [501, 'This is not offered'],
  // the caller
  missing_token: [401, 'A bearer token is required'],
  invalid_token: [401, 'The bearer token was not accepted'],
  credential_revoked: [401, 'This sign-in or credential was revoked'],
  insufficient_scope: [403, 'The credential is not for this'],
  rate_limited: [429, 'Too many requests'],
  subject_unknown: [403, 'This account is not in the directory'],
  subject_disabled: [403, 'This account is disabled'],
  groups_unknown: [403, 'The group list of this token is incomplete'],
  right_missing: [403, 'A right is missing for this'],
  separation_of_duties: [403, 'Nobody may raise their own rights'],
  step_up_required: [401, 'A stronger or fresher sign-in is required'],
  sign_in_failed: [400, 'The sign-in did not complete'],
  csrf: [403, 'The form did not come from this session'],
  // documents
  label_required: [422, 'A document needs a label'],
  label_too_wide: [403, 'Content may only tighten its own rights'],
  unknown_level: [422, 'This level is not configured'],
  unknown_compartment: [422, 'This compartment is not configured'],
  unknown_principal: [422, 'This principal is not in the directory'],
  unknown_container: [422, 'This container does not exist'],
  unparsable: [422, 'The document could not be read'],
  invalid_encoding: [422, 'The text is not valid UTF-8'],
  binary_content: [422, 'The content is binary, not text'],
  empty_document: [422, 'The document holds no text'],
  unreadable_file: [422, 'The file could not be read'],
  // the parts
  authority_moved: [503, 'Permissions are changing too fast to answer'],
  policy_unavailable: [503, 'Permissions could not be read'],
  database_unavailable: [503, 'The database did not answer'],
  rate_limit_unavailable: [503, 'The request limits could not be read'],
  directory_stale: [503, 'The directory is too old for this'],
  index_unavailable: [503, 'The index did not answer'],
  embedding_unavailable: [503, 'The embedding model did not answer'],
  audit_unavailable: [503, 'The audit log could not be written'],
  redaction_failed: [503, 'The redactor failed'],
  decryption_failed: [503, 'An encrypted text did not open'],
  keys_unavailable: [503, 'The keys of encrypted texts are not available'],
  replay_check_unavailable: [503, 'Whether a proof was used before could not be checked'],
  identity_unavailable: [503, 'The identity provider did not answer'],
  shutting_down: [503, 'The service is stopping'],
  // start-up and operation
  config_invalid: [500, 'The configuration is not valid'],
  data_folder_locked: [500, 'The data folder is in use'],
  model_changed: [500, 'The index was built with another embedding model'],
  model_tampered: [500, 'A model file does not match its manifest'],
  model_missing: [500, 'The embedding model was not found'],
  store_unsafe: [500, 'The database would run with too much privilege or too little durability'],
  not_initialised: [500, 'There is no tenant yet'],
  audit_broken: [500, 'The audit log does not verify'],
  development_only: [500, 'This is for development only'],
  server_unreachable: [503, 'The running server did not answer'],
  internal: [500, 'Something went wrong on our side'],
} as const satisfies Record<string, readonly [number, string]>;

export type ErrorCode = keyof typeof CATALOGUE;

/** One field of a request that did not validate. `path` is dotted, as in the request body. */
export interface FieldIssue {
  readonly path: string;
  readonly message: string;
}

export interface ErrorDetails {
  readonly issues?: readonly FieldIssue[];
  /** Seconds after which a retry makes sense; sent as `Retry-After`. */
  readonly retryAfterSeconds?: number;
  /** Extra `WWW-Authenticate` parameters, RFC 6750 §3 and RFC 9470 §3. */
  readonly challenge?: Readonly<Record<string, string>>;
  readonly cause?: unknown;
}

export class BulkheadError extends Error {
  override readonly name = 'BulkheadError';
  readonly status: number;
  readonly title: string;
  readonly issues: readonly FieldIssue[];
  readonly retryAfterSeconds: number | undefined;
  readonly challenge: Readonly<Record<string, string>> | undefined;

  /**
   * @param code which of the catalogue's errors this is
   * @param detail one sentence for the person who reads it; never names a document the caller may not read
   */
  constructor(
    readonly code: ErrorCode,
    readonly detail: string,
    details: ErrorDetails = {},
  ) {
    super(`${code}: ${detail}`, details.cause === undefined ? undefined : { cause: details.cause });
    const [status, title] = CATALOGUE[code];
    this.status = status;
    this.title = title;
    this.issues = details.issues ?? [];
    this.retryAfterSeconds = details.retryAfterSeconds;
    this.challenge = details.challenge;
  }
}

export function isBulkheadError(error: unknown): error is BulkheadError {
  return error instanceof BulkheadError;
}

/** Turns whatever was thrown into one of ours. The original is kept as `cause`, for logs, and never shown. */
export function toBulkheadError(error: unknown): BulkheadError {
  if (isBulkheadError(error)) return error;
  return new BulkheadError('internal', 'The request could not be completed. The log has the reason.', {
    cause: error,
  });
}
