import { documentTerms } from '../index/terms.ts';
import type { TenantId } from '../policy/ids.ts';
import type { ChunkToWrite } from '../store/document-writes.ts';
import { embeddingText, type Inspected } from './3-inspect.ts';
import type { Labelled } from './4-label.ts';
import type { Chunk } from './5-split.ts';
import type { IngestParts } from './submission.ts';

/** A document with its label, in chunks. */
export interface Split extends Inspected, Labelled {
  readonly chunks: readonly Chunk[];
}

/** A document ready to be written. */
export interface Embedded extends Labelled, Omit<Split, 'chunks'> {
  readonly chunks: readonly ChunkToWrite[];
}

const CHUNKS_PER_CALL = 32;

/**
 * Vectors and term weights, both of the masked text; words of a level that asks for encryption are hashed under its
 * key. A quantised model lets texts of one batch touch each other, so
 * a batch never holds more than one document: what is in one must leave no trace in another.
 * @throws BulkheadError `embedding_unavailable`, `redaction_failed`, `keys_unavailable`
 */
export async function embed(
  split: Split,
  { embedder, sealer }: Pick<IngestParts, 'embedder' | 'sealer'>,
  tenant: TenantId,
): Promise<Embedded> {
  const termsKey = await sealer?.termsKey(tenant, split.rank);
  const texts = split.chunks.map((chunk) => split.maskedAt(split.rank, embeddingText(split.title, chunk)));
  const calls: Promise<Float32Array[]>[] = [];
  for (let start = 0; start < texts.length; start += CHUNKS_PER_CALL)
    calls.push(embedder.embedPassages(texts.slice(start, start + CHUNKS_PER_CALL)));
  const vectors = (await Promise.all(calls)).flat();
  const chunks = split.chunks.map((chunk, i): ChunkToWrite => {
    const [embedding, text] = [vectors[i], texts[i]];
    if (embedding === undefined || text === undefined) throw new Error('a chunk came back without a vector');
    const terms = documentTerms(text, '', termsKey?.termId);
    return { ...chunk, embedding, terms, termKey: termsKey?.id };
  });
  return { ...split, chunks };
}
