import type { BulkheadError } from '../../errors.ts';
import { ScimError } from './scim-error.ts';
import type { Json } from './views.ts';

const NOT_FOUND = 'There is no such resource.';
/** What our other refusals are called in RFC 7644 §3.12. */
const TYPES: Readonly<Partial<Record<BulkheadError['code'], string>>> = {
  malformed_json: 'invalidSyntax',
  invalid_request: 'invalidValue',
  conflict: 'uniqueness',
};

/** An error as SCIM has it (RFC 7644 §3.12): the status is text. What is missing and what is hidden are one answer. */
export function errorView(error: BulkheadError): Json {
  const scimType = error instanceof ScimError ? error.scimType : TYPES[error.code];
  return {
    schemas: ['urn:ietf:params:scim:api:messages:2.0:Error'],
    status: String(error.status),
    ...(scimType !== undefined && { scimType }),
    detail: error.code === 'not_found' ? NOT_FOUND : error.detail,
  };
}
