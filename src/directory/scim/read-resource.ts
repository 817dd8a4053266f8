/** What clients send, read by the schema: names without case, types checked, everything unknown left out. */
import { FLAGS } from './filter.ts';
import { type Attribute, attributeNamed, type ResourceSchema } from './schemas.ts';
import { badRequest } from './scim-error.ts';

/** A resource by the schema's names: no other key, no inherited one, nothing unassigned. */
export type Fields = Readonly<Record<string, unknown>>;

const MAX_TEXT = 1_000;
const MAX_VALUES = 100;

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * What may be written of a resource. Read-only attributes are ignored (RFC 7644 §3.5.1), and so is what is not kept.
 * @throws ScimError `invalidSyntax`, `invalidValue`
 */
export function readFields(schema: ResourceSchema, input: unknown): Fields {
  if (!isRecord(input)) throw badRequest('invalidSyntax', 'A resource must be an object.');
  const fields = readComplex(schema.attributes, input, '');
  const missing = schema.attributes.find(({ name, required }) => required && fields[name] === undefined);
  if (missing !== undefined) throw badRequest('invalidValue', `"${missing.name}" is required.`);
  return fields;
}

/** `undefined` when it is not there. @throws ScimError `invalidValue` */
export function readExternalId(input: unknown): string | undefined {
  if (!isRecord(input)) return undefined;
  const value = ownValue(input, 'externalId');
  return isUnassigned(value) ? undefined : readText(value, 'externalId');
}

function readComplex(
  attributes: readonly Attribute[],
  input: Readonly<Record<string, unknown>>,
  path: string,
): Fields {
  const fields: Record<string, unknown> = {};
  for (const key of Object.keys(input)) {
    const attribute = attributeNamed(attributes, key);
    if (attribute === undefined || attribute.mutability === 'readOnly' || isUnassigned(input[key])) continue;
    const value = readValue(attribute, input[key], path + attribute.name);
    if (!isUnassigned(value)) fields[attribute.name] = value;
  }
  return fields;
}

/** Null and an empty list are the same as nothing (RFC 7643 §2.5). */
function isUnassigned(value: unknown): boolean {
  return (
    value === undefined ||
    value === null ||
    (Array.isArray(value) && value.length === 0) ||
    (isRecord(value) && Object.keys(value).length === 0)
  );
}

/** @throws ScimError `invalidValue` */
export function readValue(attribute: Attribute, value: unknown, path: string): unknown {
  if (!attribute.multiValued) return readSingle(attribute, value, path);
  const values = Array.isArray(value) ? value : [value];
  if (values.length > MAX_VALUES)
    throw badRequest('invalidValue', `"${path}" has more than ${MAX_VALUES} values.`);
  const read = values.map((each) => readSingle(attribute, each, path)).filter((each) => !isUnassigned(each));
  if (read.filter((each) => isRecord(each) && each.primary === true).length > 1)
    throw badRequest('invalidValue', `"${path}" has more than one primary value.`);
  return read;
}

function readSingle(attribute: Attribute, value: unknown, path: string): unknown {
  if (attribute.type === 'complex') {
    // Okta and others send the one value of a list as it is
    const given = attribute.multiValued && typeof value === 'string' ? { value } : value;
    if (!isRecord(given)) throw badRequest('invalidValue', `"${path}" must be an object.`);
    return readComplex(attribute.subAttributes ?? [], given, `${path}.`);
  }
  return attribute.type === 'boolean' ? readFlag(value, path) : readText(value, path);
}

/** Entra sends `"False"`. */
function readFlag(value: unknown, path: string): boolean {
  const flag = typeof value === 'string' ? FLAGS.get(value.toLowerCase()) : value;
  if (typeof flag !== 'boolean') throw badRequest('invalidValue', `"${path}" must be true or false.`);
  return flag;
}

function readText(value: unknown, path: string): string {
  if (typeof value !== 'string' || value.length > MAX_TEXT || /[\0\p{Surrogate}]/u.test(value))
    throw badRequest('invalidValue', `"${path}" must be text of at most ${MAX_TEXT} characters.`);
  return value;
}

/** The value under a name, letter case aside; own keys only. */
export function ownValue(input: Readonly<Record<string, unknown>>, name: string): unknown {
  const key = Object.keys(input).find((candidate) => candidate.toLowerCase() === name.toLowerCase());
  return key === undefined ? undefined : input[key];
}
