import { BulkheadError } from '../errors.ts';

/**
 * One text for one value (RFC 8785): members sorted by UTF-16 code units, no spaces, numbers as ECMAScript
 * writes them. Members that are `undefined` are left out. Unlike the RFC, a lone surrogate is escaped and not
 * refused: callers send them.
 *
 * @throws BulkheadError `internal` for what JSON cannot say: NaN, infinities, functions, maps, dates
 */
export function canonicalJson(value: unknown): string {
  if (value === null || typeof value === 'boolean' || typeof value === 'string') return JSON.stringify(value);
  if (typeof value === 'number' && Number.isFinite(value)) return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  if (isPlainObject(value)) return `{${members(value).join(',')}}`;
  throw new BulkheadError('internal', `An audit record cannot hold a ${describe(value)}.`);
}

function members(object: Readonly<Record<string, unknown>>): string[] {
  return Object.keys(object)
    .filter((key) => object[key] !== undefined)
    .sort()
    .map((key) => `${JSON.stringify(key)}:${canonicalJson(object[key])}`);
}

/** Anything else, a Map say, would be written as `{}` and its content lost. */
function isPlainObject(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

function describe(value: unknown): string {
  return typeof value === 'object' && value !== null ? value.constructor.name : String(value);
}
