/** What the index should hold of single documents, and the switch that readers see; in the role `indexer`. */
import { sql } from 'kysely';
import {
  type ChunkId,
  type ClassId,
  chunkId,
  classId,
  type DocumentId,
  documentId,
  type TenantId,
  tenantId,
} from '../policy/ids.ts';
import type { Work } from './database.ts';
import { fromBytes } from './document-writes.ts';

/** A document as the index should have it: its newest version, live or about to be. */
export interface VersionToIndex {
  readonly tenant: TenantId;
  readonly document: DocumentId;
  readonly class: ClassId;
  readonly liveVersion: number;
  readonly version: number;
  readonly chunkCount: number;
}

export interface StoredPoint {
  readonly tenant: TenantId;
  readonly chunkId: ChunkId;
  readonly documentId: DocumentId;
  readonly version: number;
  readonly classId: ClassId;
  readonly embedding: Float32Array;
  readonly terms: { readonly ids: readonly number[]; readonly weights: readonly number[] };
}

/** The documents as they are now; one that was deleted is missing. */
export async function versionsToIndex(
  trx: Work,
  documents: readonly DocumentId[],
): Promise<readonly VersionToIndex[]> {
  const { rows } = await sql<{
    tenant: number;
    document: string;
    class: number;
    live: number;
    version: number;
    chunks: number;
  }>`
    select d.tenant_id as tenant, d.id as document, d.class_id as class, d.version as live, v.version,
      v.chunk_count as chunks
    from bulkhead.document d join lateral (
      select version, chunk_count from bulkhead.document_version n
      where n.document_id = d.id order by n.version desc limit 1) v on true
    where d.id = any (${[...documents]}::uuid[])`.execute(trx);
  return rows.map((row) => ({
    tenant: tenantId(row.tenant),
    document: documentId(row.document),
    class: classId(row.class),
    liveVersion: row.live,
    version: row.version,
    chunkCount: row.chunks,
  }));
}

/** The points of these versions in one model's space, by chunk id, from the first after `after`. */
export async function pointsOf(
  trx: Work,
  versions: readonly Pick<VersionToIndex, 'document' | 'version'>[],
  fingerprint: string,
  after: number,
  limit: number,
): Promise<readonly StoredPoint[]> {
  const { rows } = await sql<PointRow>`
    select c.tenant_id as tenant, c.id as chunk, c.document_id as document, c.version, d.class_id as class,
      e.embedding, e.terms, e.weights
    from unnest(${versions.map(({ document }) => document)}::uuid[],
      ${versions.map(({ version }) => version)}::int[]) as w (id, version)
    join bulkhead.document d on d.id = w.id
    join bulkhead.chunk c on c.document_id = w.id and c.version = w.version and c.id > ${after}
    join bulkhead.chunk_embedding e on e.chunk_id = c.id and e.fingerprint = ${fingerprint}
    order by c.id limit ${limit}`.execute(trx);
  return rows.map(toPoint);
}

/** Makes these versions the ones that readers see, and drops the chunks and versions before them. */
export async function publishVersions(trx: Work, versions: readonly VersionToIndex[]): Promise<void> {
  const documents = versions.map(({ document }) => document);
  const numbers = versions.map(({ version }) => version);
  await lockDocuments(trx, documents);
  const published = sql`unnest(${documents}::uuid[], ${numbers}::int[]) as p (id, version)`;
  await sql`
    update bulkhead.document d set version = v.version, chunk_count = v.chunk_count, title = v.title,
      media_type = v.media_type, content_date = v.content_date, content_hash = v.content_hash, updated_at = now()
    from ${published} join bulkhead.document_version v on v.document_id = p.id and v.version = p.version
    where d.id = p.id and d.version < p.version`.execute(trx);
  await sql`delete from bulkhead.chunk c using ${published}
    where c.document_id = p.id and c.version < p.version`.execute(trx);
  await sql`delete from bulkhead.document_version v using ${published}
    where v.document_id = p.id and v.version < p.version`.execute(trx);
}

/**
 * As whoever changes documents or adds to their outbox does first, in the order of ids: nobody waits in a circle, and a
 * document's rows in the outbox are numbered in the order in which they can be seen.
 */
export async function lockDocuments(trx: Work, documents: readonly DocumentId[]): Promise<void> {
  await sql`select 1 from bulkhead.document where id = any (${[...documents]}::uuid[]) order by id
    for no key update`.execute(trx);
}

/** The points of all live chunks of a tenant, by chunk id, from the first after `after`. */
export async function livePoints(
  trx: Work,
  tenant: TenantId,
  fingerprint: string,
  after: number,
  limit: number,
): Promise<readonly StoredPoint[]> {
  const { rows } = await sql<PointRow>`
    select c.tenant_id as tenant, c.id as chunk, c.document_id as document, c.version, d.class_id as class,
      e.embedding, e.terms, e.weights
    from bulkhead.chunk c
    join bulkhead.document d on d.id = c.document_id and d.version = c.version
    join bulkhead.chunk_embedding e on e.chunk_id = c.id and e.fingerprint = ${fingerprint}
    where c.tenant_id = ${tenant} and c.id > ${after} order by c.id limit ${limit}`.execute(trx);
  return rows.map(toPoint);
}

interface PointRow {
  readonly tenant: number;
  readonly chunk: number;
  readonly document: string;
  readonly version: number;
  readonly class: number;
  readonly embedding: Uint8Array;
  readonly terms: number[];
  readonly weights: number[];
}

function toPoint(row: PointRow): StoredPoint {
  return {
    tenant: tenantId(row.tenant),
    chunkId: chunkId(row.chunk),
    documentId: documentId(row.document),
    version: row.version,
    classId: classId(row.class),
    embedding: fromBytes(row.embedding),
    terms: { ids: row.terms, weights: row.weights },
  };
}
