import { sql } from 'kysely';
import type { AccessClass, Entry } from '../policy/access-class.ts';
import { type ClassId, classId, instant, principalId } from '../policy/ids.ts';
import type { Work } from './database.ts';

/** What a class says itself: its own label, whether it inherits allows, its own entries. */
export interface OwnAccess {
  /** A level's name; `null` leaves it to the containers above. */
  readonly level: string | null;
  readonly compartments: readonly string[];
  readonly inherits: boolean;
  readonly entries: readonly Entry[];
}

/** A class of the tree with what `decide` does not need. */
export interface StoredClass extends AccessClass {
  /** Of containers; `undefined` for the interned class of documents. */
  readonly path: string | undefined;
  readonly level: string | null;
  readonly hasDocuments: boolean;
}

/** One text for one own access, whatever the order it was written in. */
export function accessKey(own: OwnAccess): string {
  const entries = distinctEntries(own.entries).map(entryTuple);
  return JSON.stringify([own.level, sorted(own.compartments), own.inherits, entries]);
}

/**
 * The class of documents in the container that say this themselves: the container's own when they say nothing.
 * Within a unit of work of role `ingest` or `admin`; made on first use.
 * @throws DatabaseError 42501 without `ingest`, `label` or `grant` on the container
 */
export async function internClass(trx: Work, container: ClassId, own: OwnAccess): Promise<ClassId> {
  if (saysNothing(own)) return container;
  const entries = distinctEntries(own.entries).map(({ principal, effect, validFrom, validUntil }) => ({
    principal,
    effect,
    from: validFrom ?? null,
    until: validUntil ?? null,
  }));
  const { rows } = await sql<{ id: number }>`select bulkhead.intern_class(${container}, ${own.level},
    ${sorted(own.compartments)}::text[], ${own.inherits}, ${JSON.stringify(entries)}::text::jsonb) as id`.execute(
    trx,
  );
  return classId(rows[0]?.id ?? Number.NaN);
}

/** What the class says itself; nothing, for a document that sits in its container's class. */
export function ownAccessOf(cls: StoredClass): OwnAccess {
  if (cls.path !== undefined) return { level: null, compartments: [], inherits: true, entries: [] };
  return {
    level: cls.level,
    compartments: [...cls.label.compartments],
    inherits: cls.inherits,
    entries: cls.entries,
  };
}

/**
 * The class, everything below it and everything above it, with all entries: enough to decide on every class
 * of the subtree. For roles that see every entry of the tenant.
 */
export function classesBelow(trx: Work, top: ClassId): Promise<ReadonlyMap<ClassId, StoredClass>> {
  return readClasses(
    trx,
    sql`select class_id from bulkhead.class_ancestor where ancestor_id = ${top}
      union select ancestor_id from bulkhead.class_ancestor where class_id = ${top}`,
  );
}

/** The class and its ancestors. */
export function classesAbove(trx: Work, cls: ClassId): Promise<ReadonlyMap<ClassId, StoredClass>> {
  return readClasses(trx, sql`select ancestor_id from bulkhead.class_ancestor where class_id = ${cls}`);
}

/** Several classes and all their ancestors. */
export function classesAboveAll(
  trx: Work,
  ids: readonly ClassId[],
): Promise<ReadonlyMap<ClassId, StoredClass>> {
  return readClasses(
    trx,
    sql`select ancestor_id from bulkhead.class_ancestor where class_id = any (${[...ids]}::int[])`,
  );
}

interface Row {
  readonly id: number;
  readonly parent: number | null;
  readonly path: string | null;
  readonly inherits: boolean;
  readonly level: string | null;
  readonly rank: number | null;
  readonly compartments: string[];
  readonly hasDocuments: boolean;
  readonly entries: readonly EntryTuple[];
}

type EntryTuple = readonly [
  principal: number,
  effect: 'allow' | 'deny',
  from: number | null,
  until: number | null,
];

async function readClasses(
  trx: Work,
  which: ReturnType<typeof sql>,
): Promise<ReadonlyMap<ClassId, StoredClass>> {
  const { rows } = await sql<Row>`
    select c.id, c.parent_id as parent, c.path, c.inherits, c.level, c.rank, c.compartments,
      exists (select 1 from bulkhead.document d where d.class_id = c.id) as "hasDocuments",
      coalesce((select json_agg(json_build_array(e.principal_id, e.effect, bulkhead.ms(e.valid_from),
          bulkhead.ms(e.valid_until)) order by e.id)
        from bulkhead.entry e where e.class_id = c.id), '[]') as entries
    from bulkhead.access_class c where c.id in (${which})`.execute(trx);
  return new Map(rows.map((row) => [classId(row.id), toStoredClass(row)]));
}

function toStoredClass(row: Row): StoredClass {
  return {
    id: classId(row.id),
    parent: row.parent === null ? undefined : classId(row.parent),
    path: row.path ?? undefined,
    inherits: row.inherits,
    level: row.level,
    label: { rank: row.rank ?? undefined, compartments: new Set(row.compartments) },
    hasDocuments: row.hasDocuments,
    entries: row.entries.map(
      ([principal, effect, from, until]): Entry => ({
        principal: principalId(principal),
        effect,
        validFrom: from === null ? undefined : instant(from),
        validUntil: until === null ? undefined : instant(until),
      }),
    ),
  };
}

function saysNothing({ level, compartments, inherits, entries }: OwnAccess): boolean {
  return level === null && compartments.length === 0 && inherits && entries.length === 0;
}

const sorted = (names: readonly string[]): string[] => [...new Set(names)].sort();

function distinctEntries(entries: readonly Entry[]): readonly Entry[] {
  const byText = new Map(entries.map((entry) => [JSON.stringify(entryTuple(entry)), entry]));
  return [...byText].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, entry]) => entry);
}

function entryTuple({ principal, effect, validFrom, validUntil }: Entry): EntryTuple {
  return [principal, effect, validFrom ?? null, validUntil ?? null];
}
