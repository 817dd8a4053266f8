/**
 * (a) Who asks nobody's permission: the same embedding and the same two searches, fused by Qdrant itself, with the
 * text in the payload.
 */
import type { QdrantClient } from '@qdrant/js-client-rest';
import { queryTerms } from '../../src/index/terms.ts';
import { SPARSE, UNPROTECTED, unsigned } from '../lib/scale/load-qdrant.ts';
import type { Baseline, QueryEmbedder } from './baseline.ts';

/** As deep as Bulkhead searches before it fuses. */
const DEPTH = 200;

interface Payload {
  readonly content: string;
  readonly metadata: { readonly document: string };
}

export function unprotected(client: QdrantClient, embedder: QueryEmbedder): Baseline {
  return {
    answer: async ({ query, limit }) => {
      const dense = Array.from(await embedder.embedQuery(query));
      const indices = queryTerms(query).map(unsigned);
      const { points } = await client.query(UNPROTECTED, {
        prefetch: [
          { query: dense, limit: DEPTH },
          ...(indices.length === 0
            ? []
            : [{ query: { indices, values: indices.map(() => 1) }, using: SPARSE, limit: DEPTH }]),
        ],
        query: { fusion: 'rrf' },
        limit,
        with_payload: true,
      });
      return {
        passages: points.map(({ score, payload }) => {
          const { content, metadata } = payload as unknown as Payload;
          return { document_id: metadata.document, text: content, score };
        }),
      };
    },
  };
}
