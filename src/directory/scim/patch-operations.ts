/** The body of a PATCH (RFC 7644 §3.5.2) as operations on places of the schema, providers' ways of writing it included. */
import type { Filter } from '../../store/directory-filter.ts';
import { readElementFilter } from './filter.ts';
import { findNamed, isNotKept, withoutSchema } from './places.ts';
import { isRecord, ownValue } from './read-resource.ts';
import { type Attribute, attributeNamed, type ResourceSchema } from './schemas.ts';
import { badRequest } from './scim-error.ts';

const MAX_OPERATIONS = 1_000;
const MAX_PATH = 2_000;

export interface PatchOperation {
  readonly op: 'add' | 'replace' | 'remove';
  readonly attribute: Attribute;
  /** Which elements of a list are meant; absent: the attribute as a whole. */
  readonly filter: Filter | undefined;
  readonly sub: Attribute | undefined;
  readonly value: unknown;
}

/**
 * @param id of the resource: Okta repeats it in what is to be replaced
 * @throws ScimError `invalidSyntax`, `invalidPath`, `invalidFilter`, `mutability`, `noTarget`
 */
export function readPatch(schema: ResourceSchema, body: unknown, id: string): readonly PatchOperation[] {
  const operations = isRecord(body) ? ownValue(body, 'Operations') : undefined;
  if (!Array.isArray(operations) || operations.length === 0)
    throw badRequest('invalidSyntax', '"Operations" must be a list of at least one operation.');
  if (operations.length > MAX_OPERATIONS)
    throw badRequest('invalidSyntax', `A patch has at most ${MAX_OPERATIONS} operations.`);
  return operations.flatMap((operation) => readOperation(schema, operation, id));
}

function readOperation(schema: ResourceSchema, input: unknown, id: string): readonly PatchOperation[] {
  if (!isRecord(input)) throw badRequest('invalidSyntax', 'An operation must be an object.');
  const op = readOp(ownValue(input, 'op'));
  const [path, value] = [ownValue(input, 'path'), ownValue(input, 'value')];
  if (path === undefined || path === null || path === '') return withoutPath(schema, op, value, id);
  if (typeof path !== 'string' || path.length > MAX_PATH)
    throw badRequest('invalidPath', 'A path must be text of a sensible length.');
  if (op !== 'remove' && value === undefined)
    throw badRequest('invalidValue', `An operation "${op}" needs a value.`);
  return atPath(schema, op, path, value);
}

/** Entra writes `Add`, `Replace` and `Remove`. */
function readOp(op: unknown): PatchOperation['op'] {
  const lower = typeof op === 'string' ? op.toLowerCase() : '';
  if (lower !== 'add' && lower !== 'replace' && lower !== 'remove')
    throw badRequest('invalidSyntax', '"op" must be add, replace or remove.');
  return lower;
}

/** Each key is a path of its own: a name, or, as Entra writes, `name.familyName` or a whole value path. */
function withoutPath(
  schema: ResourceSchema,
  op: PatchOperation['op'],
  value: unknown,
  id: string,
): readonly PatchOperation[] {
  if (op === 'remove') throw badRequest('noTarget', 'An operation "remove" needs a path.');
  if (!isRecord(value)) throw badRequest('invalidValue', 'Without a path, the value must be an object.');
  return Object.entries(value).flatMap(([key, each]) => {
    const lower = key.toLowerCase();
    if (lower === 'schemas' || (lower === 'id' && each === id)) return [];
    if (lower === schema.id.toLowerCase()) return withoutPath(schema, op, each, id);
    return atPath(schema, op, key, each);
  });
}

const VALUE_PATH = /^([^[\]]+)\[(.*)\](?:\.([^.[\]]+))?$/s;

function atPath(
  schema: ResourceSchema,
  op: PatchOperation['op'],
  path: string,
  value: unknown,
): readonly PatchOperation[] {
  const selected = VALUE_PATH.exec(path);
  const named = findNamed(schema, selected?.[1] ?? path);
  if (named === undefined) {
    if (isNotKept(schema, path)) return [];
    throw badRequest('invalidPath', `"${shown(schema, path)}" is no attribute of a ${schema.name}.`);
  }
  const { attribute } = named;
  if (selected === null) return [writable({ op, ...named, filter: undefined, value })];
  const [, , text = '', subName] = selected;
  const sub = subName === undefined ? undefined : attributeNamed(attribute.subAttributes ?? [], subName);
  if (named.sub !== undefined || !attribute.multiValued || (subName !== undefined && sub === undefined))
    throw badRequest('invalidPath', `"${shown(schema, path)}" selects nothing in a ${schema.name}.`);
  return [writable({ op, attribute, sub, filter: readElementFilter(attribute, text), value })];
}

function writable(operation: PatchOperation): PatchOperation {
  const { attribute, sub } = operation;
  const fixed = [attribute, sub].find((each) => each?.mutability === 'readOnly');
  if (fixed !== undefined) throw badRequest('mutability', `"${fixed.name}" cannot be written.`);
  return operation;
}

function shown(schema: ResourceSchema, path: string): string {
  return (withoutSchema(schema, path) ?? path).slice(0, 100);
}
