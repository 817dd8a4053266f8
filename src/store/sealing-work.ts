/** Which passages are sealed otherwise than their level asks, and putting that right. In the role `indexer`. */
import { type RawBuilder, sql } from 'kysely';
import {
  type ChunkId,
  chunkId,
  type DocumentId,
  documentId,
  type TenantId,
  tenantId,
} from '../policy/ids.ts';
import type { Database, Work } from './database.ts';
import type { SealedChunk } from './document-writes.ts';
import { type SealedRow, toSealed } from './live-chunks.ts';

/** A document that may hold such passages, with the rank of its effective label; none, when nothing gives it a level. */
export interface DocumentToSeal {
  readonly document: DocumentId;
  readonly tenant: TenantId;
  readonly rank: number | undefined;
}

/** What all passages of a document are to be under; absent = in clear. */
export interface WantedKeys {
  readonly textKey: string | undefined;
  readonly termsKey: string | undefined;
}

export interface PassageToSeal {
  readonly chunk: ChunkId;
  readonly document: DocumentId;
  readonly version: number;
  readonly ordinal: number;
  readonly title: string;
  readonly text: string;
  readonly headingPath: readonly string[];
  readonly sealed: SealedChunk | undefined;
}

/** A passage as it is to be from now on. */
export interface ResealedPassage extends PassageToSeal {
  readonly becomes: { readonly text: string; readonly headingPath: readonly string[] } | SealedChunk;
  readonly terms: { readonly ids: ArrayLike<number>; readonly weights: ArrayLike<number> };
  readonly termsKey: string | undefined;
}

export interface QueuedWork {
  readonly id: number;
  readonly documents: readonly DocumentId[];
  /** More of it is to come after these. */
  readonly isLast: boolean;
}

export class SealingWork {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /**
   * Takes note of which levels ask for encryption, and queues everything when they are others than before.
   * @returns whether they are
   */
  configure(levels: readonly string[]): Promise<boolean> {
    return this.#run(async (trx) => {
      const { rows } = await sql<{ level: string }>`select level from bulkhead.encrypted_level`.execute(trx);
      const before = new Set(rows.map(({ level }) => level));
      if (before.size === levels.length && levels.every((level) => before.has(level))) return false;
      await sql`delete from bulkhead.encrypted_level where level <> all (${[...levels]}::text[])`.execute(
        trx,
      );
      await sql`insert into bulkhead.encrypted_level select unnest(${[...levels]}::text[]) on conflict do nothing`.execute(
        trx,
      );
      await sql`select bulkhead.queue_everything_for_sealing()`.execute(trx);
      return true;
    });
  }

  /** The next documents of the oldest work, if any. */
  next(limit: number): Promise<QueuedWork | undefined> {
    return this.#run(async (trx) => {
      const { rows } = await sql<{
        id: number;
        class: number | null;
        document: string | null;
        after: string;
      }>`
        select id, class_id as class, document_id as document, after_document as after
        from bulkhead.seal_queue order by id limit 1`.execute(trx);
      const [work] = rows;
      if (work === undefined) return undefined;
      if (work.document !== null)
        return { id: work.id, documents: [documentId(work.document)], isLast: true };
      const below = await sql<{ id: string }>`
        select bulkhead.documents_below(${work.class}, ${work.after}::uuid, ${limit}) as id`.execute(trx);
      const documents = below.rows.map(({ id }) => documentId(id));
      return { id: work.id, documents, isLast: documents.length < limit };
    });
  }

  /** What was taken is done; done twice is no harm. */
  settle({ id, documents, isLast }: QueuedWork): Promise<void> {
    return this.#run(async (trx) => {
      const last = documents.at(-1);
      if (isLast || last === undefined)
        await sql`delete from bulkhead.seal_queue where id = ${id}`.execute(trx);
      else
        await sql`update bulkhead.seal_queue set after_document = greatest(after_document, ${last}::uuid)
          where id = ${id}`.execute(trx);
    });
  }

  /** Documents with passages, or terms, under a key that was retired. */
  underOldKeys(after: DocumentId | undefined, limit: number): Promise<readonly DocumentId[]> {
    const first = after ?? '00000000-0000-0000-0000-000000000000';
    return this.#run(async (trx) => {
      const { rows } = await sql<{ id: string }>`
        with old as materialized (select id from bulkhead.data_key where state = 'old')
        select document_id as id from (
          select c.document_id from bulkhead.chunk c where c.data_key_id in (select id from old)
          union
          select c.document_id from bulkhead.chunk_embedding e join bulkhead.chunk c on c.id = e.chunk_id
          where e.term_key_id in (select id from old)) t
        where document_id > ${first}::uuid order by document_id limit ${limit}`.execute(trx);
      return rows.map(({ id }) => documentId(id));
    });
  }

  /** Of these, those that are still there. */
  ranks(documents: readonly DocumentId[]): Promise<readonly DocumentToSeal[]> {
    return this.#run(async (trx) => {
      const { rows } = await sql<{ document: string; tenant: number; rank: number | null }>`
        select document, tenant, rank from bulkhead.document_ranks(${[...documents]}::uuid[])`.execute(trx);
      return rows.map(({ document, tenant, rank }) => ({
        document: documentId(document),
        tenant: tenantId(tenant),
        rank: rank ?? undefined,
      }));
    });
  }

  /** Passages of every version of the document that are not under these keys, by id. */
  wrong(
    document: DocumentId,
    { textKey, termsKey }: WantedKeys,
    after: number,
    limit: number,
  ): Promise<readonly PassageToSeal[]> {
    return this.#run(async (trx) => {
      const { rows } = await sql<PassageRow>`
        select c.id as chunk, c.document_id as document, c.version, c.ordinal, v.title, c.text, c.heading_path,
          c.data_key_id as data_key, c.sealed
        from bulkhead.chunk c
        join bulkhead.document_version v on v.document_id = c.document_id and v.version = c.version
        where c.document_id = ${document}::uuid and c.id > ${after}
          and (c.data_key_id is distinct from ${textKey ?? null}::uuid or exists (
            select 1 from bulkhead.chunk_embedding e
            where e.chunk_id = c.id and e.term_key_id is distinct from ${termsKey ?? null}::uuid))
        order by c.id limit ${limit}`.execute(trx);
      return rows.map(toPassage);
    });
  }

  /**
   * Writes them in one transaction, and tells the index of their documents' terms. A passage that is no longer as it
   * was read is passed over.
   */
  reseal(tenant: TenantId, passages: readonly ResealedPassage[]): Promise<void> {
    return this.#run(async (trx) => {
      for (const passage of passages) await resealOne(trx, passage);
      const documents = [...new Set(passages.map(({ document }) => document))];
      await sql`insert into bulkhead.outbox (tenant_id, document_id, operation)
        select ${tenant}, d.id, 'publish' from bulkhead.document d where d.id = any (${documents}::uuid[])`.execute(
        trx,
      );
    });
  }

  #run<T>(work: (trx: Work) => Promise<T>): Promise<T> {
    return this.#database.unitOfWork('indexer', undefined, work);
  }
}

interface PassageRow extends SealedRow {
  readonly chunk: number;
  readonly document: string;
  readonly version: number;
  readonly ordinal: number;
  readonly title: string;
  readonly text: string;
  readonly heading_path: string[];
}

function toPassage(row: PassageRow): PassageToSeal {
  const { version, ordinal, title, text } = row;
  return {
    chunk: chunkId(row.chunk),
    document: documentId(row.document),
    version,
    ordinal,
    title,
    text,
    headingPath: row.heading_path,
    sealed: toSealed(row),
  };
}

async function resealOne(
  trx: Work,
  { chunk, sealed, becomes, terms, termsKey }: ResealedPassage,
): Promise<void> {
  const before = sealed?.dataKey ?? null;
  const { numAffectedRows } = await sql`update bulkhead.chunk set ${assignments(becomes)}
    where id = ${chunk} and data_key_id is not distinct from ${before}::uuid`.execute(trx);
  if (numAffectedRows === 0n) return;
  await sql`update bulkhead.chunk_embedding set terms = ${Array.from(terms.ids)}::int[],
      weights = ${Array.from(terms.weights)}::real[], term_key_id = ${termsKey ?? null}::uuid
    where chunk_id = ${chunk}`.execute(trx);
}

function assignments(becomes: ResealedPassage['becomes']): RawBuilder<unknown> {
  return 'dataKey' in becomes
    ? sql`text = '', heading_path = '{}', data_key_id = ${becomes.dataKey}::uuid, sealed = ${becomes.bytes}`
    : sql`text = ${becomes.text}, heading_path = ${[...becomes.headingPath]}::text[], data_key_id = null, sealed = null`;
}
