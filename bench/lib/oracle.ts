/**
 * Exact dense and BM25 search over the visible part, in plain TypeScript: what the index must find, computed
 * without its tables, its classes and its SQL. Shared with the program are the tokenizer and the model.
 */
import { sql } from 'kysely';
import type { Core } from '../../src/assembly/core.ts';
import { redact } from '../../src/guard/output-redactor.ts';
import { BM25, terms } from '../../src/index/terms.ts';
import type { Hit, SearchResult } from '../../src/index/vector-index.ts';
import { embeddingText } from '../../src/ingest/3-inspect.ts';
import { type ChunkId, chunkId, type DocumentId, documentId } from '../../src/policy/ids.ts';
import { fromBytes } from '../../src/store/document-writes.ts';
import { asSuperuser } from './superuser.ts';

interface OracleChunk {
  readonly hit: Omit<Hit, 'score'>;
  readonly document: DocumentId;
  /** The document's id in its collection. */
  readonly externalId: string;
  readonly ordinal: number;
  readonly vector: Float32Array;
  /** In terms. */
  readonly length: number;
}

interface Row {
  readonly chunk: number;
  readonly document: string;
  readonly external_id: string;
  readonly title: string;
  readonly ordinal: number;
  readonly text: string;
  readonly heading_path: readonly string[];
  readonly rank: number;
  readonly embedding: Uint8Array;
}

export interface Bm25Parameters {
  readonly k1: number;
  readonly b: number;
  readonly averageLength: number;
}

export class Oracle {
  readonly #chunks: readonly OracleChunk[];
  /** By term: position of the chunk, and how often the term is in it. */
  readonly #postings: ReadonlyMap<string, readonly (readonly [position: number, frequency: number])[]>;

  private constructor(chunks: readonly OracleChunk[], texts: readonly string[]) {
    const postings = new Map<string, [number, number][]>();
    this.#chunks = chunks.map((chunk, position) => {
      const words = [...terms(texts[position] ?? '')];
      for (const [term, frequency] of counted(words)) {
        const list = postings.get(term) ?? [];
        list.push([position, frequency]);
        postings.set(term, list);
      }
      return { ...chunk, length: words.length };
    });
    this.#postings = postings;
  }

  /** Reads a tenant's texts and stored vectors as the superuser. */
  static async of(core: Core, tenant: string): Promise<Oracle> {
    const rows = await asSuperuser(core.database, (query) =>
      query(chunksOf(tenant, core.embedder.fingerprint)),
    );
    const texts = rows.map(
      ({ title, text, heading_path, rank }) =>
        redact(embeddingText(title, { headingPath: heading_path, text }), core.redaction.indexedWithout(rank))
          .text,
    );
    const chunks = rows.map((row) => ({
      hit: { chunkId: chunkId(row.chunk) },
      document: documentId(row.document),
      externalId: row.external_id,
      ordinal: row.ordinal,
      vector: fromBytes(row.embedding),
      length: 0,
    }));
    return new Oracle(chunks, texts);
  }

  get size(): number {
    return this.#chunks.length;
  }

  /** Mean chunk length in terms. */
  get averageLength(): number {
    return this.#chunks.reduce((sum, { length }) => sum + length, 0) / this.#chunks.length;
  }

  /** The collection's own id of each chunk's document. */
  externalIds(): ReadonlyMap<ChunkId, string> {
    return new Map(this.#chunks.map(({ hit, externalId }) => [hit.chunkId, externalId]));
  }

  /** The server's id of each chunk's document. */
  documents(): ReadonlyMap<ChunkId, DocumentId> {
    return new Map(this.#chunks.map(({ hit, document }) => [hit.chunkId, document]));
  }

  /** Position in its document, by chunk. */
  ordinals(): ReadonlyMap<ChunkId, number> {
    return new Map(this.#chunks.map(({ hit, ordinal }) => [hit.chunkId, ordinal]));
  }

  /** @param mayRead by the document's id in its collection */
  search(
    question: { readonly text: string; readonly vector: Float32Array },
    mayRead: (externalId: string) => boolean,
    depth: number,
  ): SearchResult {
    return {
      dense: this.dense(question.vector, mayRead, depth),
      sparse: this.sparse(question.text, mayRead, depth),
    };
  }

  dense(query: Float32Array, mayRead: (externalId: string) => boolean, depth: number): readonly Hit[] {
    const hits = this.#chunks.flatMap(({ hit, externalId, vector }) =>
      mayRead(externalId) ? [{ ...hit, score: dot(vector, query) }] : [],
    );
    return best(hits, depth);
  }

  sparse(
    text: string,
    mayRead: (externalId: string) => boolean,
    depth: number,
    { k1, b, averageLength }: Bm25Parameters = BM25,
  ): readonly Hit[] {
    const visible = this.#chunks.map(({ externalId }) => mayRead(externalId));
    const total = visible.filter(Boolean).length;
    const scores = new Map<number, number>();
    for (const term of new Set(terms(text))) {
      const postings = (this.#postings.get(term) ?? []).filter(([position]) => visible[position]);
      const idf = Math.log(1 + (total - postings.length + 0.5) / (postings.length + 0.5));
      for (const [position, frequency] of postings) {
        const length = this.#chunks[position]?.length ?? 0;
        const weight = (frequency * (k1 + 1)) / (frequency + k1 * (1 - b + (b * length) / averageLength));
        scores.set(position, (scores.get(position) ?? 0) + idf * weight);
      }
    }
    const hits = [...scores].flatMap(([position, score]) => {
      const chunk = this.#chunks[position];
      return chunk === undefined ? [] : [{ ...chunk.hit, score }];
    });
    return best(hits, depth);
  }
}

function chunksOf(tenant: string, fingerprint: string) {
  return sql<Row>`
    select c.id as chunk, c.document_id as document, d.external_id, d.title, c.ordinal, c.text, c.heading_path,
      (select coalesce(max(k.rank), 0) from bulkhead.class_ancestor a join bulkhead.access_class k on k.id = a.ancestor_id
        where a.class_id = d.class_id) as rank, e.embedding
    from bulkhead.tenant t join bulkhead.document d on d.tenant_id = t.id
    join bulkhead.chunk c on c.document_id = d.id and c.version = d.version
    join bulkhead.chunk_embedding e on e.chunk_id = c.id and e.fingerprint = ${fingerprint}
    where t.name = ${tenant} order by c.id`;
}

function counted(words: readonly string[]): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const word of words) counts.set(word, (counts.get(word) ?? 0) + 1);
  return counts;
}

function dot(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i += 1) sum += (a[i] ?? 0) * (b[i] ?? 0);
  return sum;
}

function best(hits: readonly Hit[], depth: number): readonly Hit[] {
  return [...hits].sort((a, b) => b.score - a.score || a.chunkId - b.chunkId).slice(0, depth);
}
