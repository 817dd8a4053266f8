import { BulkheadError, type ErrorCode } from '../../errors.ts';

/** RFC 7644 §3.12, table 9. */
export type ScimType =
  | 'invalidFilter'
  | 'tooMany'
  | 'uniqueness'
  | 'mutability'
  | 'invalidSyntax'
  | 'invalidPath'
  | 'noTarget'
  | 'invalidValue'
  | 'invalidVers'
  | 'sensitive';

/** A refusal with the keyword that SCIM clients act on. */
export class ScimError extends BulkheadError {
  constructor(
    code: ErrorCode,
    readonly scimType: ScimType | undefined,
    detail: string,
  ) {
    super(code, detail);
  }
}

/** @param scimType which of the 400s of RFC 7644 §3.12 */
export function badRequest(scimType: Exclude<ScimType, 'uniqueness' | 'tooMany'>, detail: string): ScimError {
  return new ScimError('invalid_request', scimType, detail);
}

/** One answer, whatever it is taken by and whoever has it. */
export function taken(attribute: string): ScimError {
  return new ScimError('conflict', 'uniqueness', `Another resource has this ${attribute}.`);
}

/** One answer for an id that was never given, one that is gone, and one of another source or tenant. */
export function noResource(): ScimError {
  return new ScimError('not_found', undefined, 'There is no such resource.');
}
