/**
 * (c) What people build: LangChain.js finds more than is wanted, an authorization service is asked of each candidate,
 * and when too few are left, more are fetched. Dense search only, as `QdrantVectorStore` does it: one search less
 * than the others do.
 */
import type { EmbeddingsInterface } from '@langchain/core/embeddings';
import { QdrantVectorStore } from '@langchain/qdrant';
import type { QdrantClient } from '@qdrant/js-client-rest';
import { UNPROTECTED } from '../lib/scale/load-qdrant.ts';
import type { Baseline, QueryEmbedder } from './baseline.ts';

/** Candidates fetched at first for each one wanted, and how many times more each time after. */
const FACTOR = 4;
/** More are not fetched: by then the answer took seconds, and it goes out short. */
const MOST_CANDIDATES = 10_240;

/** Which of these classes the caller may view. */
export type CheckMany = (caller: string, classes: readonly number[]) => Promise<ReadonlySet<number>>;

interface Metadata {
  readonly document: string;
  readonly class: number;
}

export function postFilter(client: QdrantClient, embedder: QueryEmbedder, check: CheckMany): Baseline {
  const embeddings: EmbeddingsInterface = {
    embedQuery: async (text) => Array.from(await embedder.embedQuery(text)),
    embedDocuments: () => Promise.reject(new Error('nothing is embedded here')),
  };
  const store = new QdrantVectorStore(embeddings, { client, collectionName: UNPROTECTED });
  return {
    answer: async ({ query, caller, limit }) => {
      const vector = await embeddings.embedQuery(query);
      const allowed = new Set<number>();
      const checked = new Set<number>();
      for (let wanted = limit * FACTOR; ; wanted *= FACTOR) {
        const found = await store.similaritySearchVectorWithScore(vector, wanted);
        const candidates = found.map(([document, score]) => ({
          metadata: document.metadata as Metadata,
          text: document.pageContent,
          score,
        }));
        const fresh = [...new Set(candidates.map(({ metadata }) => metadata.class))].filter(
          (cls) => !checked.has(cls),
        );
        for (const cls of await check(caller, fresh)) allowed.add(cls);
        for (const cls of fresh) checked.add(cls);
        const passed = candidates.filter(({ metadata }) => allowed.has(metadata.class));
        if (passed.length >= limit || found.length < wanted || wanted >= MOST_CANDIDATES)
          return {
            passages: passed
              .slice(0, limit)
              .map(({ metadata, text, score }) => ({ document_id: metadata.document, text, score })),
          };
      }
    },
  };
}
