/** Filters of RFC 7644 §3.4.2.2 as SQL. Names were resolved against a schema before; values are parameters. */
import { type RawBuilder, sql } from 'kysely';

export type CompareOperator = 'eq' | 'ne' | 'co' | 'sw' | 'ew' | 'gt' | 'ge' | 'lt' | 'le';

/** A place in a resource, by its names in the schema. Inside a value path, `attribute` is the sub-attribute. */
export interface Place {
  readonly attribute: string;
  readonly sub: string | undefined;
  readonly type: 'string' | 'boolean' | 'dateTime';
  readonly caseExact: boolean;
  /** Whether the attribute holds a list of complex values, one of which has to match. */
  readonly isList: boolean;
}

export type Filter =
  | { readonly kind: 'and' | 'or'; readonly filters: readonly Filter[] }
  | { readonly kind: 'not'; readonly filter: Filter }
  | { readonly kind: 'present'; readonly place: Place }
  | {
      readonly kind: 'compare';
      readonly op: CompareOperator;
      readonly place: Place;
      readonly value: string | boolean | null;
    }
  /** One element of the list matches all of it. */
  | { readonly kind: 'element'; readonly list: string; readonly filter: Filter };

/** How one resource type's places are found in its row. */
export interface FilterTarget {
  /** The value at a single-valued place: text, boolean or timestamptz, as its type says. */
  single(place: Place): RawBuilder<unknown>;
  /** The same in small letters, where that is a column with an index. */
  folded(place: Place): RawBuilder<unknown> | undefined;
  /** A relation `e` of the list's elements, to be put after `from`. */
  elements(list: string): RawBuilder<unknown>;
  /** A value of `e`. */
  ofElement(list: string, place: Place): RawBuilder<unknown>;
}

/** A value, and the same in small letters. */
interface Held {
  readonly value: RawBuilder<unknown>;
  readonly folded: RawBuilder<unknown>;
}

/** A condition that is true for what matches; an index serves it where one can. */
export function condition(target: FilterTarget, filter: Filter): RawBuilder<boolean> {
  return conditionOf(filter, target, (place, test) => {
    if (place.isList) {
      const value = held(target.ofElement(place.attribute, elementPlace(place)));
      return sql`exists (select 1 from ${target.elements(place.attribute)} where ${test(value)})`;
    }
    return test(held(target.single(place), target.folded(place)));
  });
}

function held(value: RawBuilder<unknown>, folded: RawBuilder<unknown> = sql`lower(${value})`): Held {
  return { value, folded };
}

type AtPlace = (place: Place, test: (held: Held) => RawBuilder<boolean>) => RawBuilder<boolean>;

function conditionOf(filter: Filter, target: FilterTarget, at: AtPlace): RawBuilder<boolean> {
  switch (filter.kind) {
    case 'and':
    case 'or': {
      const parts = filter.filters.map((part) => conditionOf(part, target, at));
      return sql`(${sql.join(parts, filter.kind === 'and' ? sql` and ` : sql` or `)})`;
    }
    case 'not':
      return not(conditionOf(filter.filter, target, at));
    case 'present':
      return at(filter.place, isPresent);
    case 'compare':
      return compared(filter, at);
    case 'element': {
      const { list } = filter;
      const inner = conditionOf(filter.filter, target, (place, test) =>
        test(held(target.ofElement(list, place))),
      );
      return sql`exists (select 1 from ${target.elements(list)} where ${inner})`;
    }
  }
}

/** What cannot be said of a value that is not there is false, and its opposite true. */
function not(part: RawBuilder<boolean>): RawBuilder<boolean> {
  return sql`(not coalesce(${part}, false))`;
}

const isPresent = ({ value }: Held): RawBuilder<boolean> => sql`coalesce(${value}::text, '') <> ''`;

function compared(
  { op, place, value }: Extract<Filter, { kind: 'compare' }>,
  at: AtPlace,
): RawBuilder<boolean> {
  // `ne` is true of what is not there, and of a list in which no value equals
  if (op === 'ne') return not(compared({ kind: 'compare', op: 'eq', place, value }, at));
  if (value === null) return not(at(place, isPresent));
  return at(place, (found) => test(op, place, found, value));
}

function test(
  op: Exclude<CompareOperator, 'ne'>,
  { type, caseExact }: Place,
  { value: left, folded }: Held,
  value: string | boolean,
): RawBuilder<boolean> {
  if (type === 'boolean') return sql`${left} = ${value}::boolean`;
  if (type === 'dateTime') return sql`${left} ${ORDER[op as keyof typeof ORDER]} ${value}::timestamptz`;
  return testText(
    op,
    caseExact ? left : folded,
    caseExact ? sql`${value}::text` : sql`lower(${value}::text)`,
  );
}

function testText(
  op: Exclude<CompareOperator, 'ne'>,
  left: RawBuilder<unknown>,
  right: RawBuilder<unknown>,
): RawBuilder<boolean> {
  switch (op) {
    case 'eq':
      return sql`${left} = ${right}`;
    case 'co':
      return sql`strpos(${left}, ${right}) > 0`;
    case 'sw':
      return sql`starts_with(${left}, ${right})`;
    case 'ew':
      return sql`right(${left}, length(${right})) = ${right}`;
    default:
      return sql`${left} collate "C" ${ORDER[op]} ${right}`;
  }
}

const ORDER = { eq: sql`=`, gt: sql`>`, ge: sql`>=`, lt: sql`<`, le: sql`<=` } as const;

function elementPlace(place: Place): Place {
  return { ...place, attribute: place.sub ?? 'value', sub: undefined, isList: false };
}
