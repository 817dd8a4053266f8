import type { Embedder } from '../embed/embedder.ts';
import { queryTerms } from '../index/terms.ts';
import type { Prepared } from './stages.ts';

/**
 * Stage 2: the question as the index wants it. Runs beside stage 1 and learns nothing about the caller.
 * Nothing is cached: a cache keyed by text would tell one caller what another asked.
 * @throws BulkheadError `embedding_unavailable`
 */
export async function prepareQuery(embedder: Pick<Embedder, 'embedQuery'>, query: string): Promise<Prepared> {
  const vector = await embedder.embedQuery(query);
  return { query, vector, terms: queryTerms(query) };
}
