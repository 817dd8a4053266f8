/** A data set's documents and chunks by COPY, as ingest and the indexer would have left them. */
import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { documentTerms } from '../../../src/index/terms.ts';
import type { SparseVector } from '../../../src/index/vector-index.ts';
import { embeddingText } from '../../../src/ingest/3-inspect.ts';
import { toBytes } from '../../../src/store/document-writes.ts';
import { progress } from '../progress.ts';
import { copyIn } from './copy-in.ts';
import { chunkText, chunkVector, type Pieces, titleOf } from './corpus.ts';
import { type LoadedPolicy, one } from './load-classes.ts';
import { ADMINISTRATOR } from './load-tenant.ts';
import { classOf, type DataSpec, documentCount, firstChunk } from './spec.ts';

/** What the indexes need of a chunk. */
export interface LoadedChunk {
  readonly id: number;
  readonly document: string;
  readonly classId: number;
  readonly title: string;
  readonly text: string;
  readonly terms: SparseVector;
  readonly vector: Float32Array;
}

interface LoadedDocument {
  readonly id: string;
  readonly classId: number;
  readonly containerId: number;
  readonly title: string;
  readonly chunks: readonly LoadedChunk[];
}

const DOCUMENTS_AT_ONCE = 1_000;

/**
 * Loads all, slice by slice, and hands each slice on.
 * @param client as superuser
 * @param onChunks may still be at work when the next slice is made
 */
export async function loadDocuments(
  client: pg.Client,
  spec: DataSpec,
  policy: LoadedPolicy,
  pieces: Pieces,
  fingerprint: string,
  onChunks: (chunks: readonly LoadedChunk[]) => Promise<void>,
): Promise<void> {
  const submitter = await one(client, `select id from bulkhead.principal where key = '${ADMINISTRATOR}'`);
  const said = progress('Loading chunks', spec.chunks);
  await client.query('set synchronous_commit = off');
  for (let from = 0; from < documentCount(spec); from += DOCUMENTS_AT_ONCE) {
    const to = Math.min(documentCount(spec), from + DOCUMENTS_AT_ONCE);
    const documents = Array.from({ length: to - from }, (_, i) => documentAt(spec, pieces, policy, from + i));
    const handedOn = onChunks(documents.flatMap(({ chunks }) => chunks));
    await copyDocuments(client, policy.tenant, documents, { submitter, fingerprint });
    await handedOn;
    said(firstChunk(spec, to));
  }
  await client.query(`select setval(pg_get_serial_sequence('bulkhead.chunk', 'id'), ${spec.chunks})`);
  await client.query('reset synchronous_commit');
  await client.query('vacuum analyze');
  await client.query('checkpoint');
}

function documentAt(spec: DataSpec, pieces: Pieces, policy: LoadedPolicy, document: number): LoadedDocument {
  const id = randomUUID();
  const position = classOf(spec, document);
  const classId = policy.classIds[position] ?? 0;
  const first = firstChunk(spec, document);
  const title = titleOf(pieces, first);
  const chunks = Array.from({ length: firstChunk(spec, document + 1) - first }, (_, i): LoadedChunk => {
    const text = chunkText(pieces, first + i, spec.words);
    const vector = new Float32Array(pieces.dimension);
    chunkVector(pieces, first + i, vector);
    // there is nothing in these texts that a level masks before it is indexed
    const terms = documentTerms(embeddingText(title, { headingPath: [], text }));
    return { id: first + i + 1, document: id, classId, title, text, terms, vector };
  });
  return { id, classId, containerId: policy.containerIds[position] ?? 0, title, chunks };
}

/** Where triggers only look up what is known to be there, they are left out; those of `document` keep counts. */
async function copyDocuments(
  client: pg.Client,
  tenant: number,
  documents: readonly LoadedDocument[],
  { submitter, fingerprint }: { readonly submitter: number; readonly fingerprint: string },
): Promise<void> {
  const hash = new Uint8Array(32);
  const chunks = documents.flatMap((document) =>
    document.chunks.map((chunk, ordinal) => ({ chunk, ordinal })),
  );
  await client.query('begin');
  await copyIn(
    client,
    `bulkhead.document (id, tenant_id, container_id, class_id, source, external_id, version, chunk_count, title,
      media_type, content_hash)`,
    documents.map(({ id, classId, containerId, title, chunks: own }) => [
      id,
      tenant,
      containerId,
      classId,
      'bench',
      `bench-${id}`,
      1,
      own.length,
      title,
      'text/plain',
      hash,
    ]),
  );
  await client.query('set local session_replication_role = replica');
  await copyIn(
    client,
    `bulkhead.document_version (document_id, version, tenant_id, title, media_type, content_hash, chunk_count,
      submitted_by, parser, fingerprint)`,
    documents.map(({ id, title, chunks: own }) => [
      id,
      1,
      tenant,
      title,
      'text/plain',
      hash,
      own.length,
      submitter,
      'bench',
      fingerprint,
    ]),
  );
  await copyIn(
    client,
    'bulkhead.chunk (id, tenant_id, document_id, version, ordinal, text, start_offset, end_offset, tokens)',
    chunks.map(({ chunk, ordinal }) => [
      chunk.id,
      tenant,
      chunk.document,
      1,
      ordinal,
      chunk.text,
      0,
      chunk.text.length,
      200,
    ]),
  );
  await copyIn(
    client,
    'bulkhead.chunk_embedding (chunk_id, fingerprint, tenant_id, embedding, terms, weights)',
    chunks.map(({ chunk: { id, vector, terms } }) => [
      id,
      fingerprint,
      tenant,
      toBytes(vector),
      Array.from(terms.ids),
      Array.from(terms.weights),
    ]),
  );
  await client.query('commit');
}
