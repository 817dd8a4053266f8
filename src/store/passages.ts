import { type RawBuilder, sql } from 'kysely';
import type { AccessClass, Entry } from '../policy/access-class.ts';
import {
  type ChunkId,
  type ClassId,
  chunkId,
  classId,
  type DocumentId,
  documentId,
  type Instant,
  instant,
  principalId,
} from '../policy/ids.ts';
import type { Database } from './database.ts';
import type { SealedChunk } from './document-writes.ts';
import { contextJson, type SessionContext } from './session-context.ts';

/** One chunk of a live document version, as Postgres has it now. Not to be shown before stage 6. */
export interface StoredPassage {
  readonly chunk: ChunkId;
  readonly document: DocumentId;
  readonly version: number;
  readonly class: ClassId;
  readonly container: string;
  readonly ordinal: number;
  /** Empty, as the headings are, while the passage is sealed. */
  readonly text: string;
  readonly headingPath: readonly string[];
  /** Text and headings as a level keeps them that asks for encryption. */
  readonly sealed: SealedChunk | undefined;
  readonly startOffset: number;
  readonly endOffset: number;
  readonly title: string;
  readonly source: string;
  readonly externalId: string;
  readonly mediaType: string;
  readonly contentDate: Instant | undefined;
  readonly updatedAt: Instant;
}

/** The rows, and the classes they hang from up to the root, with the caller's own entries only. */
export interface Hydration {
  readonly passages: readonly StoredPassage[];
  readonly classes: ReadonlyMap<ClassId, AccessClass>;
}

/** A document's class as Postgres has it now, with the classes above it and the caller's own entries. */
interface PlacedDocument {
  readonly version: number;
  readonly class: ClassId;
  readonly classes: Hydration['classes'];
}

export interface DocumentFilter {
  readonly containerPath?: string | undefined;
  readonly source?: string | undefined;
  readonly mediaType?: string | undefined;
  readonly from?: Instant | undefined;
  readonly until?: Instant | undefined;
}

/** The texts and documents that one caller may read: every statement runs under row-level security. */
export class ReadableDocuments {
  readonly #database: Database;
  readonly #context: SessionContext;

  private constructor(database: Database, context: SessionContext) {
    this.#database = database;
    this.#context = context;
  }

  static as(database: Database, context: SessionContext): ReadableDocuments {
    return new ReadableDocuments(database, context);
  }

  /** The chunks among these that the caller may read, with what `decide` needs, in one round trip. */
  async hydrate(chunks: readonly ChunkId[]): Promise<Hydration> {
    const rows = await this.#database.statement(
      'retrieve',
      undefined,
      sql<HydratedRow>`select passages, classes from bulkhead.hydrate_as(
        ${contextJson(this.#context)}::text::json, ${[...chunks]}::bigint[])`,
    );
    return toHydration(rows);
  }

  /** Where one document hangs, without its text; absent for a missing and a hidden one alike. */
  async classOf(document: DocumentId): Promise<PlacedDocument | undefined> {
    const [row] = await this.#read(sql<{ placed: PlacedRow | null }>`
      with recursive
      found as materialized (select version, class_id from bulkhead.document where id = ${document}::uuid),
      walk(id) as (
        select class_id from found
        union
        select k.parent_id from walk join bulkhead.access_class k on k.id = walk.id where k.parent_id is not null)
      select (select json_build_object('version', f.version, 'class', f.class_id, 'classes', (
        select json_agg(json_build_object('id', k.id, 'parent', k.parent_id, 'inherits', k.inherits, 'rank', k.rank,
          'compartments', k.compartments, 'entries', (
            select json_agg(json_build_object('principal', e.principal_id, 'effect', e.effect,
              'from', bulkhead.ms(e.valid_from), 'until', bulkhead.ms(e.valid_until)))
            from bulkhead.entry e where e.class_id = k.id)))
        from walk join bulkhead.access_class k on k.id = walk.id)) from found f) as placed`);
    const placed = row?.placed ?? undefined;
    return (
      placed && {
        version: placed.version,
        class: classId(placed.class),
        classes: new Map(placed.classes.map((cls) => [classId(cls.id), toClass(cls)])),
      }
    );
  }

  /** Every chunk of one document, in reading order; empty for a missing or a hidden one alike. */
  hydrateDocument(document: DocumentId): Promise<Hydration> {
    return this.#hydrate(
      sql`array(select c.id from bulkhead.chunk c where c.document_id = ${document}::uuid)`,
    );
  }

  /** The first chunks of the next documents by id: a page of the list of documents. */
  hydratePage(filter: DocumentFilter, after: DocumentId | undefined, limit: number): Promise<Hydration> {
    return this.#hydrate(
      sql`array(select c.id from bulkhead.chunk c where c.ordinal = 0 and c.document_id in (
        select document.id from bulkhead.document where ${matches(filter)}
          and document.id > ${after ?? '00000000-0000-0000-0000-000000000000'}::uuid
        order by document.id limit ${limit}))`,
    );
  }

  /** Ids of readable documents that match. A hidden document and an unknown value both match nothing. */
  async matching(filter: DocumentFilter): Promise<readonly DocumentId[]> {
    const rows = await this.#read(
      sql<{ id: string }>`select document.id from bulkhead.document where ${matches(filter)}`,
    );
    return rows.map((row) => documentId(row.id));
  }

  /** The classes of one container and everything below it; none for a container that does not exist. */
  async classesBelow(path: string): Promise<readonly ClassId[]> {
    const rows = await this.#read(sql<{ id: number }>`
      select a.class_id as id from bulkhead.access_class k join bulkhead.class_ancestor a on a.ancestor_id = k.id
      where k.path = ${path}`);
    return rows.map((row) => classId(row.id));
  }

  /** How many readable chunks match, counted no further than `enough`. */
  async countChunks(
    filter: DocumentFilter & { readonly classes?: readonly ClassId[] | undefined },
    enough: number,
  ): Promise<number> {
    const inClasses =
      filter.classes === undefined ? sql`true` : sql`class_id = any (${[...filter.classes]}::int[])`;
    const [row] = await this.#read(sql<{ n: number }>`
      select count(*) as n from (
        select 1 from bulkhead.chunk c join bulkhead.document on document.id = c.document_id and document.version = c.version
        where ${matches(filter)} and ${inClasses} limit ${enough}) t`);
    return row?.n ?? 0;
  }

  /** @param chunks an array of chunk ids, in SQL */
  async #hydrate(chunks: RawBuilder<unknown>): Promise<Hydration> {
    return toHydration(
      await this.#read(sql<HydratedRow>`select passages, classes from bulkhead.hydrate(${chunks})`),
    );
  }

  #read<T>(statement: RawBuilder<T>): Promise<readonly T[]> {
    return this.#database.statement('retrieve', this.#context, statement);
  }
}

function matches(filter: DocumentFilter) {
  const clauses = [sql`true`];
  if (filter.source !== undefined) clauses.push(sql`document.source = ${filter.source}`);
  if (filter.mediaType !== undefined) clauses.push(sql`document.media_type = ${filter.mediaType}`);
  if (filter.from !== undefined)
    clauses.push(sql`document.content_date >= ${new Date(filter.from).toISOString()}::timestamptz`);
  if (filter.until !== undefined)
    clauses.push(sql`document.content_date < ${new Date(filter.until).toISOString()}::timestamptz`);
  if (filter.containerPath !== undefined)
    clauses.push(sql`exists (
      select 1 from bulkhead.class_ancestor a join bulkhead.access_class k on k.id = a.ancestor_id
      where a.class_id = document.class_id and k.path = ${filter.containerPath})`);
  return sql.join(clauses, sql` and `);
}

interface PassageRow {
  readonly chunk: number;
  readonly document: string;
  readonly version: number;
  readonly class: number;
  readonly container: string;
  readonly ordinal: number;
  readonly text: string;
  readonly heading_path: string[];
  readonly data_key: string | null;
  /** Base64. */
  readonly sealed: string | null;
  readonly start_offset: number;
  readonly end_offset: number;
  readonly title: string;
  readonly source: string;
  readonly external_id: string;
  readonly media_type: string;
  readonly content_date: number | null;
  readonly updated_at: number;
}

interface ClassRow {
  readonly id: number;
  readonly parent: number | null;
  readonly inherits: boolean;
  readonly rank: number | null;
  readonly compartments: string[];
  readonly entries:
    | readonly { principal: number; effect: 'allow' | 'deny'; from: number | null; until: number | null }[]
    | null;
}

interface PlacedRow {
  readonly version: number;
  readonly class: number;
  readonly classes: readonly ClassRow[];
}

interface HydratedRow {
  readonly passages: readonly PassageRow[] | null;
  readonly classes: readonly ClassRow[] | null;
}

function toHydration([row]: readonly HydratedRow[]): Hydration {
  return {
    passages: (row?.passages ?? []).map(toPassage),
    classes: new Map((row?.classes ?? []).map((cls) => [classId(cls.id), toClass(cls)])),
  };
}

function toPassage(row: PassageRow): StoredPassage {
  return {
    chunk: chunkId(row.chunk),
    document: documentId(row.document),
    version: row.version,
    class: classId(row.class),
    container: row.container,
    ordinal: row.ordinal,
    text: row.text,
    headingPath: row.heading_path,
    sealed:
      row.data_key === null || row.sealed === null
        ? undefined
        : { dataKey: row.data_key, bytes: Buffer.from(row.sealed, 'base64') },
    startOffset: row.start_offset,
    endOffset: row.end_offset,
    title: row.title,
    source: row.source,
    externalId: row.external_id,
    mediaType: row.media_type,
    contentDate: row.content_date === null ? undefined : instant(row.content_date),
    updatedAt: instant(row.updated_at),
  };
}

function toClass(row: ClassRow): AccessClass {
  return {
    id: classId(row.id),
    parent: row.parent === null ? undefined : classId(row.parent),
    inherits: row.inherits,
    label: { rank: row.rank ?? undefined, compartments: new Set(row.compartments) },
    entries: (row.entries ?? []).map(
      (entry): Entry => ({
        principal: principalId(entry.principal),
        effect: entry.effect,
        validFrom: entry.from === null ? undefined : instant(entry.from),
        validUntil: entry.until === null ? undefined : instant(entry.until),
      }),
    ),
  };
}
