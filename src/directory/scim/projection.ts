/** `attributes` and `excludedAttributes` (RFC 7644 §3.9). */
import { findNamed } from './places.ts';
import type { ResourceSchema } from './schemas.ts';

export interface Projection {
  readonly attributes?: readonly string[] | undefined;
  readonly excludedAttributes?: readonly string[] | undefined;
}

type Json = Readonly<Record<string, unknown>>;

/** What is always returned stays; a name that the schema does not have selects nothing. */
export function project(schema: ResourceSchema, resource: Json, projection: Projection): Json {
  const { attributes, excludedAttributes } = projection;
  if (attributes !== undefined && attributes.length > 0) return only(schema, resource, attributes);
  if (excludedAttributes !== undefined) return without(schema, resource, excludedAttributes);
  return resource;
}

/** Whether a list as long as a group's members is wanted at all. */
export function wants(schema: ResourceSchema, name: string, projection: Projection): boolean {
  return name in project(schema, { [name]: true }, projection);
}

function only(schema: ResourceSchema, resource: Json, names: readonly string[]): Json {
  const wanted = names.flatMap((name) => findNamed(schema, name) ?? []);
  const entries = Object.entries(resource).flatMap(([key, value]): [string, unknown][] => {
    if (isAlwaysReturned(schema, key)) return [[key, value]];
    const meant = wanted.filter(({ attribute }) => attribute.name === key);
    if (meant.length === 0) return [];
    if (meant.some(({ sub }) => sub === undefined)) return [[key, value]];
    const subs = new Set(meant.map(({ sub }) => sub?.name));
    return [[key, picked(value, (name) => subs.has(name))]];
  });
  return Object.fromEntries(entries);
}

function without(schema: ResourceSchema, resource: Json, names: readonly string[]): Json {
  const unwanted = names.flatMap((name) => findNamed(schema, name) ?? []);
  const entries = Object.entries(resource).flatMap(([key, value]): [string, unknown][] => {
    if (isAlwaysReturned(schema, key)) return [[key, value]];
    const meant = unwanted.filter(({ attribute }) => attribute.name === key);
    if (meant.some(({ sub }) => sub === undefined)) return [];
    const subs = new Set(meant.map(({ sub }) => sub?.name));
    return [[key, subs.size === 0 ? value : picked(value, (name) => !subs.has(name))]];
  });
  return Object.fromEntries(entries);
}

function isAlwaysReturned(schema: ResourceSchema, name: string): boolean {
  return findNamed(schema, name)?.attribute.returned === 'always';
}

function picked(value: unknown, isWanted: (name: string) => boolean): unknown {
  if (Array.isArray(value)) return value.map((each) => picked(each, isWanted));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).filter(([name]) => isWanted(name)));
}
