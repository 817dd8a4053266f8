/**
 * (a) Who asks nobody's permission: the same embedding and the same two searches, fused by Qdrant itself, with the
 * text in the payload.
 */
import { QdrantHttp } from '../../src/index/qdrant-http.ts';
import { queryTerms } from '../../src/index/terms.ts';
import { SPARSE, UNPROTECTED, unsigned } from '../lib/scale/load-qdrant.ts';
import type { Baseline, QueryEmbedder } from './baseline.ts';

/** As deep as Bulkhead searches before it fuses. */
const DEPTH = 200;

interface Found {
  readonly points: readonly { readonly score: number; readonly payload: Payload }[];
}

interface Payload {
  readonly content: string;
  readonly metadata: { readonly document: string };
}

const LONGEST_MS = 60_000;

/** Through Bulkhead's own HTTP client, which is the faster one: the official client now and then waits 40 ms. */
export function unprotected(
  address: { readonly url: string; readonly key: string | undefined },
  embedder: QueryEmbedder,
): Baseline {
  const http = new QdrantHttp(address);
  return {
    answer: async ({ query, limit }) => {
      const dense = Array.from(await embedder.embedQuery(query));
      const indices = queryTerms(query).map(unsigned);
      const found = await http.call(
        'POST',
        `/collections/${UNPROTECTED}/points/query`,
        {
          prefetch: [
            { query: dense, limit: DEPTH },
            ...(indices.length === 0
              ? []
              : [{ query: { indices, values: indices.map(() => 1) }, using: SPARSE, limit: DEPTH }]),
          ],
          query: { fusion: 'rrf' },
          limit,
          with_payload: true,
        },
        LONGEST_MS,
      );
      return {
        passages: (found as Found).points.map(({ score, payload: { content, metadata } }) => {
          return { document_id: metadata.document, text: content, score };
        }),
      };
    },
  };
}
