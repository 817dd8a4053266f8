import { type RawBuilder, sql } from 'kysely';
import { BulkheadError } from '../errors.ts';
import type { Entry } from '../policy/access-class.ts';
import {
  type ClassId,
  classId,
  type DocumentId,
  documentId,
  type Instant,
  instant,
  type PrincipalId,
  principalId,
} from '../policy/ids.ts';
import type { Label } from '../policy/label.ts';
import type { OwnAccess } from './access-classes.ts';
import type { Database, Work } from './database.ts';
import type { SessionContext } from './session-context.ts';

/** A container in which the caller holds `ingest`, with what its documents inherit. */
export interface IngestContainer {
  readonly id: ClassId;
  readonly path: string;
  /** Joined along the ancestors; `undefined` when none of them has a level. */
  readonly label: Label | undefined;
  readonly mayLabel: boolean;
  readonly mayGrant: boolean;
}

export interface DocumentKey {
  readonly source: string;
  readonly container: ClassId;
  readonly externalId: string;
}

/** A document that is there already, as its newest version is, live or not. */
export interface PresentDocument extends DocumentKey {
  readonly id: DocumentId;
  readonly class: ClassId;
  readonly version: number;
  readonly title: string;
  readonly mediaType: string;
  readonly date: Instant | undefined;
  readonly contentHash: Uint8Array;
  readonly access: OwnAccess;
}

/** What was removed, for the audit. */
export interface RemovedDocument {
  readonly id: DocumentId;
  readonly version: number;
  readonly container: string;
  readonly source: string;
}

/** The last thing in a transaction: the audit takes its locks after all others. */
export type Alongside<T> = (trx: Work, what: T) => Promise<unknown>;

/**
 * The documents of the containers in which one caller holds `ingest`: nothing else is seen, found or taken for a
 * duplicate. Row-level security sees to it.
 */
export class ManagedDocuments {
  readonly #database: Database;
  readonly #context: SessionContext;

  private constructor(database: Database, context: SessionContext) {
    this.#database = database;
    this.#context = context;
  }

  static as(database: Database, context: SessionContext): ManagedDocuments {
    return new ManagedDocuments(database, context);
  }

  /** The containers among these paths in which the caller holds `ingest`, by path. */
  containers(paths: readonly string[]): Promise<ReadonlyMap<string, IngestContainer>> {
    return this.unitOfWork(async (trx) => {
      const { rows } = await containersAt(paths).execute(trx);
      return new Map(rows.map((row) => [row.path, toContainer(row)]));
    });
  }

  /** The documents among these that are there already. */
  present(keys: readonly DocumentKey[]): Promise<readonly PresentDocument[]> {
    return this.unitOfWork(async (trx) => {
      const { rows } = await presentAt(keys).execute(trx);
      return rows.map(toPresent);
    });
  }

  /** Ids by text form; a principal that the directory does not have is missing. */
  principals(names: readonly string[]): Promise<ReadonlyMap<string, PrincipalId>> {
    return this.unitOfWork(async (trx) => {
      const { rows } = await sql<{ id: number; key: string }>`
        select id, key from bulkhead.principal where key = any (${[...new Set(names)]}::text[])`.execute(trx);
      return new Map(rows.map(({ id, key }) => [key, principalId(id)]));
    });
  }

  /**
   * Deletes a document with all its versions; it is gone for readers when this resolves.
   * @throws BulkheadError `not_found` for a missing document and for one outside the caller's containers alike
   */
  async remove(document: DocumentId, alongside: Alongside<RemovedDocument>): Promise<void> {
    await this.unitOfWork(async (trx) => {
      await sql`
        insert into bulkhead.document_tombstone (tenant_id, source, container_id, external_id, class_id)
        select tenant_id, source, container_id, external_id, class_id from bulkhead.document
        where id = ${document}::uuid and class_id <> container_id
        on conflict (container_id, source, external_id) do update set class_id = excluded.class_id`.execute(
        trx,
      );
      const { rows } = await sql<{ version: number; container: string; source: string }>`
        delete from bulkhead.document d using bulkhead.access_class c
        where d.id = ${document}::uuid and c.id = d.container_id
        returning d.version, c.path as container, d.source`.execute(trx);
      const [removed] = rows;
      if (removed === undefined) throw new BulkheadError('not_found', 'There is no such document.');
      await sql`insert into bulkhead.outbox (tenant_id, document_id, operation)
        values (bulkhead.ctx_tenant(), ${document}::uuid, 'remove')`.execute(trx);
      await alongside(trx, { id: document, ...removed });
    });
    await this.#database.flush();
  }

  /** What documents with these keys said about their access when they were deleted; most were not. */
  remembered(
    keys: readonly DocumentKey[],
  ): Promise<readonly (DocumentKey & { readonly access: OwnAccess })[]> {
    if (keys.length === 0) return Promise.resolve([]);
    return this.unitOfWork(async (trx) => {
      const { rows } = await rememberedAt(keys).execute(trx);
      return rows.map((row) => ({
        source: row.source,
        container: classId(row.container),
        externalId: row.external_id,
        access: toAccess(row),
      }));
    });
  }

  unitOfWork<T>(work: (trx: Work) => Promise<T>): Promise<T> {
    return this.#database.unitOfWork('ingest', this.#context, work);
  }
}

interface ContainerRow {
  readonly id: number;
  readonly path: string;
  readonly rank: number | null;
  readonly compartments: string[];
  readonly may_label: boolean;
  readonly may_grant: boolean;
}

function containersAt(paths: readonly string[]): RawBuilder<ContainerRow> {
  return sql<ContainerRow>`
    select c.id, c.path, above.rank, above.compartments,
      bulkhead.holds_right(c.id, 'label') as may_label, bulkhead.holds_right(c.id, 'grant') as may_grant
    from bulkhead.access_class c, lateral (
      select max(k.rank) as rank, array(
        select distinct unnest(m.compartments) from bulkhead.class_ancestor b
        join bulkhead.access_class m on m.id = b.ancestor_id where b.class_id = c.id order by 1) as compartments
      from bulkhead.class_ancestor a join bulkhead.access_class k on k.id = a.ancestor_id
      where a.class_id = c.id) above
    where c.kind = 'container' and c.path = any (${[...new Set(paths)]}::text[])
      and bulkhead.holds_right(c.id, 'ingest')`;
}

function toContainer(row: ContainerRow): IngestContainer {
  return {
    id: classId(row.id),
    path: row.path,
    label: row.rank === null ? undefined : { rank: row.rank, compartments: new Set(row.compartments) },
    mayLabel: row.may_label,
    mayGrant: row.may_grant,
  };
}

interface AccessRow {
  readonly level: string | null;
  readonly compartments: string[];
  readonly inherits: boolean;
  readonly entries:
    | readonly { principal: number; effect: 'allow' | 'deny'; from: number | null; until: number | null }[]
    | null;
}

interface RememberedRow extends AccessRow {
  readonly source: string;
  readonly container: number;
  readonly external_id: string;
}

interface PresentRow extends AccessRow {
  readonly id: string;
  readonly source: string;
  readonly container: number;
  readonly external_id: string;
  readonly class: number;
  readonly version: number;
  readonly title: string;
  readonly media_type: string;
  readonly date: number | null;
  readonly content_hash: Uint8Array;
}

const OWN_ENTRIES = sql.raw(`(
  select json_agg(json_build_object('principal', e.principal_id, 'effect', e.effect,
    'from', bulkhead.ms(e.valid_from), 'until', bulkhead.ms(e.valid_until)))
  from bulkhead.entry e where e.class_id = own.id) as entries`);

function rememberedAt(keys: readonly DocumentKey[]): RawBuilder<RememberedRow> {
  return sql<RememberedRow>`
    select t.source, t.container_id as container, t.external_id, own.level, own.compartments, own.inherits, ${OWN_ENTRIES}
    from unnest(${keys.map(({ source }) => source)}::text[], ${keys.map(({ container }) => container)}::int[],
      ${keys.map(({ externalId }) => externalId)}::text[]) as k (source, container, external_id)
    join bulkhead.document_tombstone t on t.source = k.source and t.container_id = k.container and t.external_id = k.external_id
    join bulkhead.access_class own on own.id = t.class_id`;
}

/** A document that sits in its container's own class has no access of its own. */
function presentAt(keys: readonly DocumentKey[]): RawBuilder<PresentRow> {
  return sql<PresentRow>`
    select d.id, d.source, d.container_id as container, d.external_id, d.class_id as class, v.version, v.title,
      v.media_type, bulkhead.ms(v.content_date) as date, v.content_hash, own.level,
      coalesce(own.compartments, '{}') as compartments, coalesce(own.inherits, true) as inherits, ${OWN_ENTRIES}
    from unnest(${keys.map(({ source }) => source)}::text[], ${keys.map(({ container }) => container)}::int[],
      ${keys.map(({ externalId }) => externalId)}::text[]) as k (source, container, external_id)
    join bulkhead.document d on d.source = k.source and d.container_id = k.container and d.external_id = k.external_id
    join lateral (select * from bulkhead.document_version n where n.document_id = d.id order by n.version desc limit 1) v
      on true
    left join bulkhead.access_class own on own.id = d.class_id and d.class_id <> d.container_id`;
}

function toPresent(row: PresentRow): PresentDocument {
  return {
    id: documentId(row.id),
    source: row.source,
    container: classId(row.container),
    externalId: row.external_id,
    class: classId(row.class),
    version: row.version,
    title: row.title,
    mediaType: row.media_type,
    date: row.date === null ? undefined : instant(row.date),
    contentHash: row.content_hash,
    access: toAccess(row),
  };
}

function toAccess({ level, compartments, inherits, entries }: AccessRow): OwnAccess {
  return { level, compartments, inherits, entries: (entries ?? []).map(toEntry) };
}

function toEntry(row: NonNullable<PresentRow['entries']>[number]): Entry {
  return {
    principal: principalId(row.principal),
    effect: row.effect,
    validFrom: row.from === null ? undefined : instant(row.from),
    validUntil: row.until === null ? undefined : instant(row.until),
  };
}
