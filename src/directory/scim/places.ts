/** Attribute names of filters, paths and projections, looked up in a schema. */
import type { Place } from '../../store/directory-filter.ts';
import { type Attribute, attributeNamed, COMMON, type ResourceSchema } from './schemas.ts';

/** An attribute, or a sub-attribute of it. */
export interface Named {
  readonly attribute: Attribute;
  readonly sub: Attribute | undefined;
}

/** What RFC 7643 knows and is not kept here: changes of it are accepted and forgotten, since providers send it all. */
const NOT_KEPT = new Set(
  [
    ...[
      'addresses',
      'phoneNumbers',
      'photos',
      'ims',
      'entitlements',
      'roles',
      'x509Certificates',
      'password',
    ],
    ...['profileUrl', 'honorificPrefix', 'honorificSuffix'],
  ].map((name) => name.toLowerCase()),
);
const EXTENSION = /^urn:ietf:params:scim:schemas:extension:[\w.:-]+$/i;

/** The name without the schema in front of it; `undefined` when that is another schema. */
export function withoutSchema({ id }: ResourceSchema, name: string): string | undefined {
  if (!/^urn:/i.test(name)) return name;
  return name.toLowerCase().startsWith(`${id.toLowerCase()}:`) ? name.slice(id.length + 1) : undefined;
}

/** Whether this is an attribute of the standard, or of any extension of it, that is not kept. */
export function isNotKept(schema: ResourceSchema, name: string): boolean {
  if (EXTENSION.test(name.split('[')[0] ?? '')) return true;
  const own = withoutSchema(schema, name) ?? '';
  const [first = '', second] = own
    .replace(/\[.*\]/s, '')
    .toLowerCase()
    .split('.');
  return NOT_KEPT.has(first) || (first === 'name' && second !== undefined && NOT_KEPT.has(second));
}

/** `userName`, `name.familyName`, with or without the schema in front. */
export function findNamed(schema: ResourceSchema, name: string): Named | undefined {
  const [first = '', second, ...more] = (withoutSchema(schema, name) ?? '').split('.');
  if (more.length > 0) return undefined;
  const attribute = attributeNamed([...schema.attributes, ...COMMON], first);
  if (attribute === undefined) return undefined;
  if (second === undefined) return { attribute, sub: undefined };
  const sub = attributeNamed(attribute.subAttributes ?? [], second);
  return sub && { attribute, sub };
}

/** The place that a filter compares; of a list of complex values alone, its `value` (RFC 7644 §3.4.2.2). */
export function placeOf({ attribute, sub }: Named): Place | undefined {
  const isList = attribute.type === 'complex' && attribute.multiValued;
  const leaf = sub ?? (isList ? attributeNamed(attribute.subAttributes ?? [], 'value') : attribute);
  if (leaf === undefined || leaf.type === 'complex' || leaf.multiValued) return undefined;
  return {
    attribute: attribute.name,
    sub: leaf === attribute ? undefined : leaf.name,
    type: leaf.type === 'reference' ? 'string' : leaf.type,
    caseExact: leaf.caseExact,
    isList,
  };
}
