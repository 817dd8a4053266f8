/** How SCIM requests are read and answered (RFC 7644 §3), apart from what they ask. */
import type { Context, MiddlewareHandler } from 'hono';
import { etag, namesVersion } from '../../directory/scim/client.ts';
import { errorView } from '../../directory/scim/error-view.ts';
import { type Projection, project } from '../../directory/scim/projection.ts';
import type { ResourceSchema } from '../../directory/scim/schemas.ts';
import { badRequest } from '../../directory/scim/scim-error.ts';
import type { SearchRequest } from '../../directory/scim/search.ts';
import type { Versioned } from '../../directory/scim/users.ts';
import { BulkheadError } from '../../errors.ts';
import { mediaTypeOf } from '../body.ts';
import type { Env } from '../env.ts';

const SCIM_TYPE = 'application/scim+json';
const TYPES = new Set([SCIM_TYPE, 'application/json']);
/** Bulk holds data, which holds a list, which holds objects: honest bodies are far from it. */
const MAX_DEPTH = 16;
const MAX_NAMES = 4_000;

/** @throws BulkheadError `unsupported_media_type` */
export const requireScimType: MiddlewareHandler = async (c, next) => {
  if (!TYPES.has(mediaTypeOf(c.req.header('content-type'))))
    throw new BulkheadError('unsupported_media_type', `Send the body as ${SCIM_TYPE}.`);
  return next();
};

/** @throws BulkheadError `malformed_json`; ScimError `invalidSyntax` */
export async function bodyOf(c: Context<Env>): Promise<unknown> {
  let body: unknown;
  try {
    body = JSON.parse(await c.req.text());
  } catch (cause) {
    throw new BulkheadError('malformed_json', 'The body could not be read as JSON.', { cause });
  }
  refuseDeep(body);
  return body;
}

/** Level by level: what is too deep to walk through by calling oneself is not walked through so. */
function refuseDeep(body: unknown): void {
  let level: unknown[] = [body];
  for (let depth = 0; level.length > 0; depth += 1) {
    if (depth > MAX_DEPTH) throw badRequest('invalidSyntax', 'The body is nested too deeply.');
    level = level.flatMap((value) =>
      typeof value === 'object' && value !== null ? Object.values(value) : [],
    );
  }
}

/** @returns `undefined` when nothing was said */
export function projectionOf(c: Context<Env>): Projection | undefined {
  const [attributes, excludedAttributes] = [names(c, 'attributes'), names(c, 'excludedAttributes')];
  if (attributes === undefined && excludedAttributes === undefined) return undefined;
  if (attributes !== undefined && excludedAttributes !== undefined)
    throw badRequest('invalidValue', 'Ask for "attributes" or "excludedAttributes", not both.');
  return { attributes, excludedAttributes };
}

function names(c: Context<Env>, parameter: string): readonly string[] | undefined {
  return c.req.query(parameter) === undefined
    ? undefined
    : listOf((c.req.queries(parameter) ?? []).join(','), parameter);
}

function listOf(text: string, parameter: string): readonly string[] {
  if (text.length > MAX_NAMES) throw badRequest('invalidValue', `"${parameter}" is too long.`);
  return text
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '');
}

/** @throws ScimError `invalidValue` */
export function queryOf(c: Context<Env>): SearchRequest {
  return {
    ...projectionOf(c),
    filter: c.req.query('filter'),
    sortBy: c.req.query('sortBy'),
    sortOrder: c.req.query('sortOrder'),
    startIndex: wholeNumber(c.req.query('startIndex'), 'startIndex'),
    count: wholeNumber(c.req.query('count'), 'count'),
  };
}

/** The body of `/.search` (RFC 7644 §3.4.3). @throws ScimError `invalidSyntax`, `invalidValue` */
export function searchOf(body: unknown): SearchRequest {
  if (typeof body !== 'object' || body === null || Array.isArray(body))
    throw badRequest('invalidSyntax', 'A search must be an object.');
  const given: Readonly<Record<string, unknown>> = { ...body };
  const text = (name: string) => optional(given[name], name, (value) => typeof value === 'string');
  return {
    attributes: nameList(given.attributes, 'attributes'),
    excludedAttributes: nameList(given.excludedAttributes, 'excludedAttributes'),
    filter: text('filter'),
    sortBy: text('sortBy'),
    sortOrder: text('sortOrder'),
    startIndex: wholeNumber(given.startIndex, 'startIndex'),
    count: wholeNumber(given.count, 'count'),
  };
}

function optional(value: unknown, name: string, isRight: (value: unknown) => boolean): string | undefined {
  if (value === undefined || value === null) return undefined;
  if (!isRight(value)) throw badRequest('invalidValue', `"${name}" is not of its type.`);
  return String(value);
}

function nameList(value: unknown, name: string): readonly string[] | undefined {
  if (value === undefined || value === null) return undefined;
  if (!Array.isArray(value) || !value.every((each) => typeof each === 'string'))
    throw badRequest('invalidValue', `"${name}" must be a list of names.`);
  return listOf(value.join(','), name);
}

function wholeNumber(value: unknown, name: string): number | undefined {
  if (value === undefined || value === null) return undefined;
  if (!/^-?\d{1,9}$/.test(String(value)))
    throw badRequest('invalidValue', `"${name}" must be a whole number.`);
  return Number(value);
}

/** One resource, as much of it as was asked for. A 304 where the caller has it already (RFC 9110 §13.1.2). */
export function resourceResponse(
  c: Context<Env>,
  schema: ResourceSchema,
  { version, resource }: Versioned,
  status: 200 | 201,
): Response {
  const headers: Record<string, string> = { etag: etag(version) };
  const known = c.req.header('if-none-match');
  if (c.req.method === 'GET' && known !== undefined && namesVersion(known, version))
    return c.body(null, 304, headers);
  const { location } = resource.meta as { readonly location: string };
  if (status === 201) headers.location = location;
  return scimResponse(c, project(schema, resource, projectionOf(c) ?? {}), status, headers);
}

export function scimResponse(
  c: Context<Env>,
  body: object,
  status: 200 | 201 = 200,
  headers: Readonly<Record<string, string>> = {},
): Response {
  return c.body(JSON.stringify(body), status, { ...headers, 'content-type': SCIM_TYPE });
}

/** @param headers that belong to the error itself */
export function scimErrorResponse(error: BulkheadError, headers: Readonly<Record<string, string>>): Response {
  return new Response(JSON.stringify(errorView(error)), {
    status: error.status,
    headers: { ...headers, 'content-type': SCIM_TYPE },
  });
}
