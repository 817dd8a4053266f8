/** Filters of RFC 7644 §3.4.2.2, from text to names that the schema has. */
import { type Filter as Parsed, parse } from 'scim2-parse-filter';
import type { CompareOperator, Filter, Place } from '../../store/directory-filter.ts';
import { findNamed, placeOf } from './places.ts';
import { type Attribute, attributeNamed, type ResourceSchema } from './schemas.ts';
import { badRequest } from './scim-error.ts';

const MAX_CHARACTERS = 8_000;
const MAX_DEPTH = 20;
const MAX_COMPARISONS = 100;

/** Finds the place that a name in a filter means. */
type Resolve = (name: string) => Place | undefined;

/**
 * @throws ScimError `invalidFilter` for what is not a filter, names nothing in the schema, compares in a way that the
 *   attribute's type does not allow, or is larger than any honest one
 */
export function readFilter(schema: ResourceSchema, text: string): Filter {
  const { parsed, literals } = parseBounded(text);
  const resolve: Resolve = (name) => {
    const named = findNamed(schema, name);
    return named && placeOf(named);
  };
  return toFilter(parsed, literals, resolve, (name) => {
    const named = findNamed(schema, name);
    return named?.sub === undefined ? named?.attribute : undefined;
  });
}

/** The filter inside `emails[…]`: its names are sub-attributes. @throws ScimError `invalidFilter` */
export function readElementFilter(attribute: Attribute, text: string): Filter {
  const { parsed, literals } = parseBounded(text);
  return toFilter(parsed, literals, inside(attribute), () => undefined);
}

function inside(list: Attribute): Resolve {
  return (name) => {
    const attribute = attributeNamed(list.subAttributes ?? [], name);
    return attribute && placeOf({ attribute, sub: undefined });
  };
}

/**
 * The parser descends by calling itself and unescapes strings in a way of its own. So depth and size are checked before,
 * and strings are taken out: what it sees is names, operators and numbers of literals.
 */
function parseBounded(text: string): { parsed: Parsed; literals: readonly string[] } {
  if (text.length > MAX_CHARACTERS) throw badFilter('is too long');
  const literals: string[] = [];
  const bare = text.replace(/"(?:[^"\\]|\\.)*"/gs, (literal) => `"${literals.push(unescaped(literal)) - 1}"`);
  // a string that does not end costs the parser exponential time
  if (bare.replace(/"\d+"/g, '').includes('"')) throw badFilter('has a string that does not end');
  refuseDeep(bare);
  try {
    return { parsed: parse(bare), literals };
  } catch {
    throw badFilter('could not be read');
  }
}

function refuseDeep(bare: string): void {
  let depth = 0;
  for (const [token] of bare.matchAll(/[([]|[)\]]|\bnot\b/gi)) {
    depth += token === ')' || token === ']' ? -1 : 1;
    // `not` is never closed, so it counts for good: an honest filter has few
    if (depth > MAX_DEPTH) throw badFilter('is nested too deeply');
  }
  if ((bare.match(/\b(and|or)\b/gi)?.length ?? 0) >= MAX_COMPARISONS) throw badFilter('compares too much');
}

/** Some providers send `DOMAIN\user` without escaping the backslash, which JSON does not allow. */
function unescaped(literal: string): string {
  try {
    return JSON.parse(literal) as string;
  } catch {
    return literal.slice(1, -1).replaceAll('\\"', '"');
  }
}

function toFilter(
  parsed: Parsed,
  literals: readonly string[],
  resolve: Resolve,
  listNamed: (name: string) => Attribute | undefined,
): Filter {
  const inner = (part: Parsed) => toFilter(part, literals, resolve, listNamed);
  switch (parsed.op) {
    case 'and':
    case 'or':
      return { kind: parsed.op, filters: parsed.filters.map(inner) };
    case 'not':
      return { kind: 'not', filter: inner(parsed.filter) };
    case '[]': {
      const list = listNamed(parsed.attrPath);
      if (list?.type !== 'complex' || !list.multiValued) throw badFilter(`has no list "${parsed.attrPath}"`);
      const filter = toFilter(parsed.valFilter, literals, inside(list), () => undefined);
      return { kind: 'element', list: list.name, filter };
    }
    case 'pr':
      return { kind: 'present', place: known(resolve, parsed.attrPath) };
    default:
      return compare(parsed.op, known(resolve, parsed.attrPath), literalOf(parsed.compValue, literals));
  }
}

function known(resolve: Resolve, name: string): Place {
  const place = resolve(name);
  if (place === undefined) throw badFilter(`names nothing that can be compared with "${name.slice(0, 100)}"`);
  return place;
}

function literalOf(
  value: boolean | null | number | string,
  literals: readonly string[],
): string | boolean | null {
  if (typeof value === 'number') throw badFilter('compares with a number');
  return typeof value === 'string' ? (literals[Number(value)] ?? '') : value;
}

function compare(op: CompareOperator, place: Place, value: string | boolean | null): Filter {
  if (
    value !== null &&
    (op === 'gt' || op === 'ge' || op === 'lt' || op === 'le') &&
    place.type === 'boolean'
  )
    throw badFilter('orders a boolean');
  if (value === null && op !== 'eq' && op !== 'ne') throw badFilter('orders null');
  return { kind: 'compare', op, place, value: value === null ? null : typed(op, place, value) };
}

function typed(op: CompareOperator, { type }: Place, value: string | boolean): string | boolean {
  if (type === 'boolean') {
    // Entra and Okta quote booleans
    const flag = typeof value === 'boolean' ? value : FLAGS.get(value.toLowerCase());
    if (flag === undefined || (op !== 'eq' && op !== 'ne'))
      throw badFilter('compares a boolean with something else');
    return flag;
  }
  if (typeof value === 'boolean' || /[\0\p{Surrogate}]/u.test(value))
    throw badFilter('compares text with something else');
  if (type !== 'dateTime') return value;
  const at = /^\d{4}-\d{2}-\d{2}T/.test(value) ? Date.parse(value) : Number.NaN;
  if (Number.isNaN(at) || op === 'co' || op === 'sw' || op === 'ew')
    throw badFilter('compares an instant with something else');
  return new Date(at).toISOString();
}

export const FLAGS: ReadonlyMap<string, boolean> = new Map([
  ['true', true],
  ['false', false],
]);

function badFilter(problem: string) {
  return badRequest('invalidFilter', `The filter ${problem}.`);
}
