/** What stage 7 writes. Everything runs inside a unit of work of role `ingest`, which commits all or nothing. */
import { sql } from 'kysely';
import {
  type ChunkId,
  type ClassId,
  chunkId,
  type DocumentId,
  type Instant,
  type PrincipalId,
  type TenantId,
} from '../policy/ids.ts';
import type { Work } from './database.ts';
import type { DocumentKey, PresentDocument } from './documents.ts';

/** A new document or a new version of one that was `present` when its ingestion began. */
export interface VersionToWrite extends DocumentKey {
  readonly id: DocumentId;
  readonly present: PresentDocument | undefined;
  readonly class: ClassId;
  readonly title: string;
  readonly mediaType: string;
  readonly date: Instant | undefined;
  /** SHA-256. */
  readonly contentHash: Uint8Array;
  readonly submittedBy: PrincipalId;
  readonly batch: string | undefined;
  readonly parser: string;
  readonly fingerprint: string;
  readonly chunks: readonly ChunkToWrite[];
}

export interface ChunkToWrite {
  readonly ordinal: number;
  readonly text: string;
  readonly headingPath: readonly string[];
  readonly start: number;
  readonly end: number;
  readonly tokens: number;
  readonly embedding: Float32Array;
  readonly terms: { readonly ids: ArrayLike<number>; readonly weights: ArrayLike<number> };
  /** The data key that the terms are hashed with; absent = they are those of the words in clear. */
  readonly termKey?: string | undefined;
  /** Text and headings sealed for this row; they are then stored in no other form. */
  readonly sealed?: SealedChunk | undefined;
}

/** A ciphertext and the data key (UUID) that it is under. */
export interface SealedChunk {
  readonly dataKey: string;
  readonly bytes: Uint8Array;
}

/** One statement's worth: PGlite blocks the event loop for as long as a statement runs. */
const ROWS_PER_STATEMENT = 16;

/**
 * Claims the documents' rows for these versions.
 * @returns those that were claimed; with the others another ingestion was faster, and what they rest on is no
 *   longer so
 */
export async function claimDocuments(
  trx: Work,
  tenant: TenantId,
  versions: readonly VersionToWrite[],
): Promise<ReadonlySet<VersionToWrite>> {
  const claimed = new Set<VersionToWrite>();
  // in the order of ids, as everybody locks documents
  const ordered = [...versions].sort((a, b) => (a.id < b.id ? -1 : 1));
  for (const version of ordered)
    if (version.present !== undefined && (await takeOver(trx, version, version.present)))
      claimed.add(version);
  const added = await insertDocuments(
    trx,
    tenant,
    ordered.filter(({ present }) => present === undefined),
  );
  for (const version of added) claimed.add(version);
  return claimed;
}

async function insertDocuments(
  trx: Work,
  tenant: TenantId,
  versions: readonly VersionToWrite[],
): Promise<readonly VersionToWrite[]> {
  if (versions.length === 0) return [];
  const inserted = await trx
    .withSchema('bulkhead')
    .insertInto('document')
    .values(
      versions.map((version) => ({
        id: version.id,
        tenant_id: tenant,
        container_id: version.container,
        class_id: version.class,
        source: version.source,
        external_id: version.externalId,
        title: version.title,
        media_type: version.mediaType,
        content_date: toDate(version.date),
        content_hash: version.contentHash,
      })),
    )
    .onConflict((conflict) => conflict.doNothing())
    .returning('id')
    .execute();
  const ids = new Set(inserted.map(({ id }) => id));
  return versions.filter(({ id }) => ids.has(id));
}

/** Label and entries change at once, for the version that is still live too; all else when the new one is. */
async function takeOver(trx: Work, version: VersionToWrite, present: PresentDocument): Promise<boolean> {
  if (!(await isAsSeen(trx, present))) return false;
  if (version.class === present.class) return true;
  await tighten(trx, present.id, version.class);
  return true;
}

/**
 * Gives the document a tighter class of its container, for which `ingest` there is enough.
 * @throws DatabaseError 42501 for a class that is wider in anything
 */
export async function tighten(trx: Work, document: DocumentId, cls: ClassId): Promise<void> {
  await sql`select bulkhead.tighten_document(${document}::uuid, ${cls})`.execute(trx);
}

/** Locks the document's row and tells whether its class and newest version are still those that were seen. */
export async function isAsSeen(trx: Work, present: PresentDocument): Promise<boolean> {
  const { rows } = await sql<{ class: number }>`
    select class_id as class from bulkhead.document where id = ${present.id}::uuid for update`.execute(trx);
  if (rows[0]?.class !== present.class) return false;
  const newest = await sql<{ version: number }>`
    select max(version) as version from bulkhead.document_version where document_id = ${present.id}::uuid`.execute(
    trx,
  );
  return newest.rows[0]?.version === present.version;
}

/** Adds the next version of each document with its chunks, and tells the index of it. */
export async function writeVersions(
  trx: Work,
  tenant: TenantId,
  versions: readonly VersionToWrite[],
): Promise<void> {
  for (const some of slices(versions)) await insertVersions(trx, tenant, some);
  const chunks = versions.flatMap((version) => version.chunks.map((chunk) => ({ version, chunk })));
  for (const some of slices(chunks)) {
    const ids = await insertChunks(trx, tenant, some);
    await insertEmbeddings(trx, tenant, some, ids);
  }
  await addToOutbox(
    trx,
    versions.map(({ id }) => id),
    'publish',
  );
}

/** The number that the next version of the document gets. */
export function nextVersion({ present }: Pick<VersionToWrite, 'present'>): number {
  return (present?.version ?? 0) + 1;
}

async function addToOutbox(
  trx: Work,
  documents: readonly DocumentId[],
  operation: 'publish' | 'move',
): Promise<void> {
  await sql`insert into bulkhead.outbox (tenant_id, document_id, operation)
    select bulkhead.ctx_tenant(), id, ${operation} from unnest(${[...documents]}::uuid[]) id`.execute(trx);
}

async function insertVersions(
  trx: Work,
  tenant: TenantId,
  versions: readonly VersionToWrite[],
): Promise<void> {
  await trx
    .withSchema('bulkhead')
    .insertInto('document_version')
    .values(
      versions.map((version) => ({
        document_id: version.id,
        version: nextVersion(version),
        tenant_id: tenant,
        title: version.title,
        media_type: version.mediaType,
        content_date: toDate(version.date),
        content_hash: version.contentHash,
        chunk_count: version.chunks.length,
        submitted_by: version.submittedBy,
        batch: version.batch ?? null,
        parser: version.parser,
        fingerprint: version.fingerprint,
      })),
    )
    .execute();
}

interface ChunkOfVersion {
  readonly version: VersionToWrite;
  readonly chunk: ChunkToWrite;
}

/** @returns the ids, in the order given */
async function insertChunks(
  trx: Work,
  tenant: TenantId,
  chunks: readonly ChunkOfVersion[],
): Promise<readonly ChunkId[]> {
  const rows = await trx
    .withSchema('bulkhead')
    .insertInto('chunk')
    .values(
      chunks.map(({ version, chunk }) => ({
        tenant_id: tenant,
        document_id: version.id,
        version: nextVersion(version),
        ordinal: chunk.ordinal,
        text: chunk.sealed === undefined ? chunk.text : '',
        heading_path: chunk.sealed === undefined ? [...chunk.headingPath] : [],
        start_offset: chunk.start,
        end_offset: chunk.end,
        tokens: chunk.tokens,
        data_key_id: chunk.sealed?.dataKey ?? null,
        sealed: chunk.sealed?.bytes ?? null,
      })),
    )
    .returning(['id', 'document_id', 'ordinal'])
    .execute();
  const ids = new Map(rows.map((row) => [`${row.document_id} ${row.ordinal}`, chunkId(row.id)]));
  return chunks.map(({ version, chunk }) => {
    const id = ids.get(`${version.id} ${chunk.ordinal}`);
    if (id === undefined) throw new Error('a chunk that was inserted did not come back');
    return id;
  });
}

async function insertEmbeddings(
  trx: Work,
  tenant: TenantId,
  chunks: readonly ChunkOfVersion[],
  ids: readonly ChunkId[],
): Promise<void> {
  await trx
    .withSchema('bulkhead')
    .insertInto('chunk_embedding')
    .values(
      ids.map((id, i) => {
        const { version, chunk } = chunks[i] as ChunkOfVersion;
        return {
          chunk_id: id,
          fingerprint: version.fingerprint,
          tenant_id: tenant,
          embedding: toBytes(chunk.embedding),
          terms: Array.from(chunk.terms.ids),
          weights: Array.from(chunk.terms.weights),
          term_key_id: chunk.termKey ?? null,
        };
      }),
    )
    .execute();
}

/** float32, little-endian. */
export function toBytes(vector: Float32Array): Uint8Array {
  const view = new DataView(new ArrayBuffer(vector.length * 4));
  vector.forEach((value, i) => {
    view.setFloat32(i * 4, value, true);
  });
  return new Uint8Array(view.buffer);
}

export function fromBytes(bytes: Uint8Array): Float32Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Float32Array.from({ length: bytes.byteLength / 4 }, (_, i) => view.getFloat32(i * 4, true));
}

const toDate = (date: Instant | undefined): Date | null => (date === undefined ? null : new Date(date));

function* slices<T>(items: readonly T[]): Iterable<readonly T[]> {
  for (let start = 0; start < items.length; start += ROWS_PER_STATEMENT)
    yield items.slice(start, start + ROWS_PER_STATEMENT);
}
