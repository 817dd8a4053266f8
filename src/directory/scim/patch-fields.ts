/** A patch applied to the fields of one small resource, in memory. */
import type { Filter } from '../../store/directory-filter.ts';
import type { PatchOperation } from './patch-operations.ts';
import { type Fields, isRecord, readValue } from './read-resource.ts';
import type { Attribute } from './schemas.ts';
import { badRequest } from './scim-error.ts';

/**
 * What the fields are after the operations, one after the other (RFC 7644 §3.5.2). An element that `add` or `replace`
 * selects by equality and does not find is made: providers count on it.
 * @throws ScimError `invalidValue`, `invalidPath`, `noTarget`
 */
export function patchFields(fields: Fields, operations: readonly PatchOperation[]): Fields {
  return operations.reduce(applied, fields);
}

function applied(fields: Fields, operation: PatchOperation): Fields {
  const { attribute } = operation;
  const held = fields[attribute.name];
  const value = attribute.multiValued
    ? patchList(isList(held) ? held : [], operation)
    : patchSingle(held, operation);
  return withField(fields, attribute.name, value);
}

function withField(fields: Fields, name: string, value: unknown): Fields {
  const { [name]: _, ...others } = fields;
  return isEmpty(value) ? others : { ...others, [name]: value };
}

function isEmpty(value: unknown): boolean {
  if (Array.isArray(value)) return value.length === 0;
  return value === undefined || value === null || (isRecord(value) && Object.keys(value).length === 0);
}

function patchSingle(held: unknown, { op, attribute, sub, value }: PatchOperation): unknown {
  const parts = isRecord(held) ? held : {};
  if (sub !== undefined) return withField(parts, sub.name, op === 'remove' ? undefined : read(sub, value));
  if (op === 'remove') return undefined;
  const given = read(attribute, value);
  // sub-attributes that are not named stay (RFC 7644 §3.5.2.3)
  return attribute.type === 'complex' && isRecord(given) ? { ...parts, ...given } : given;
}

type Elements = readonly Fields[];

function patchList(held: Elements, operation: PatchOperation): Elements {
  const { op, attribute, filter, sub, value } = operation;
  if (filter !== undefined) return patchSelected(held, filter, operation);
  if (sub !== undefined) return held.map((element) => patchElement(element, operation));
  if (op === 'remove' && isEmpty(value)) return [];
  const given = read(attribute, value);
  const elements = isList(given) ? given : [];
  if (op === 'remove') return held.filter((element) => !elements.some((gone) => isPartOf(gone, element)));
  const kept = op === 'replace' ? [] : held.filter((old) => !elements.some((one) => isSame(one, old)));
  return onePrimary([...kept, ...elements], elements);
}

function patchSelected(held: Elements, filter: Filter, operation: PatchOperation): Elements {
  const isMeant = (element: Fields) => matches(filter, element);
  if (operation.op === 'remove' && operation.sub === undefined) return held.filter((each) => !isMeant(each));
  if (held.some(isMeant)) {
    const changed = held.filter(isMeant).map((each) => patchElement(each, operation));
    let next = 0;
    return onePrimary(
      held.map((each) => (isMeant(each) ? (changed[next++] ?? each) : each)),
      changed,
    );
  }
  const made = operation.op === 'remove' ? undefined : elementMeantBy(filter);
  if (made === undefined) throw badRequest('noTarget', 'The path selects nothing that is there.');
  const element = patchElement(made, operation);
  return onePrimary([...held, element], [element]);
}

function patchElement(element: Fields, { op, attribute, sub, value }: PatchOperation): Fields {
  if (sub !== undefined) return withField(element, sub.name, op === 'remove' ? undefined : read(sub, value));
  const [given] = [read(attribute, value)].flat();
  return isRecord(given) ? { ...element, ...given } : element;
}

/** A new primary value takes it from the others (RFC 7644 §3.5.2). */
function onePrimary(elements: Elements, changed: Elements): Elements {
  const primary = changed.findLast((element) => element.primary === true);
  if (primary === undefined) return elements;
  return elements.map((element) =>
    element !== primary && element.primary === true ? { ...element, primary: false } : element,
  );
}

/** `[type eq "work" and primary eq true]` says what an element would have to be. */
function elementMeantBy(filter: Filter): Fields | undefined {
  if (filter.kind === 'compare' && filter.op === 'eq' && filter.value !== null)
    return { [filter.place.attribute]: filter.value };
  if (filter.kind !== 'and') return undefined;
  const parts = filter.filters.map(elementMeantBy);
  return parts.includes(undefined) ? undefined : Object.assign({}, ...parts);
}

/** The same as the condition that store/directory-filter.ts makes, of one element. */
function matches(filter: Filter, element: Fields): boolean {
  switch (filter.kind) {
    case 'and':
      return filter.filters.every((part) => matches(part, element));
    case 'or':
      return filter.filters.some((part) => matches(part, element));
    case 'not':
      return !matches(filter.filter, element);
    case 'present':
      return !isEmpty(element[filter.place.attribute]) && element[filter.place.attribute] !== '';
    case 'element':
      return false;
    case 'compare':
      return compares(filter, element[filter.place.attribute]);
  }
}

function compares({ op, place, value }: Extract<Filter, { kind: 'compare' }>, held: unknown): boolean {
  if (op === 'ne') return !compares({ kind: 'compare', op: 'eq', place, value }, held);
  if (value === null) return isEmpty(held) || held === '';
  if (typeof held !== 'string' || typeof value !== 'string') return op === 'eq' && held === value;
  const [left, right] = place.caseExact ? [held, value] : [held.toLowerCase(), value.toLowerCase()];
  switch (op) {
    case 'eq':
      return left === right;
    case 'co':
      return left.includes(right);
    case 'sw':
      return left.startsWith(right);
    case 'ew':
      return left.endsWith(right);
    case 'gt':
      return left > right;
    case 'ge':
      return left >= right;
    case 'lt':
      return left < right;
    case 'le':
      return left <= right;
  }
}

function read(attribute: Attribute, value: unknown): unknown {
  return value === null ? undefined : readValue(attribute, value, attribute.name);
}

function isList(value: unknown): value is Elements {
  return Array.isArray(value);
}

function isPartOf(part: Fields, whole: Fields): boolean {
  return Object.entries(part).every(([name, value]) => whole[name] === value);
}

function isSame(a: Fields, b: Fields): boolean {
  return isPartOf(a, b) && isPartOf(b, a);
}
