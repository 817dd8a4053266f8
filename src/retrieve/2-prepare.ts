import type { Sealer } from '../crypto/sealer.ts';
import type { Embedder } from '../embed/embedder.ts';
import { queryTerms, termId } from '../index/terms.ts';
import type { Authorized, Prepared } from './stages.ts';

/**
 * Stage 2: the question as the index wants it. Runs beside stage 1, and where the index can search by words alone beside
 * that too, and learns nothing about the caller. Nothing is cached: a cache keyed by text would tell one caller what
 * another asked.
 * @returns at once; its vector is rejected with BulkheadError `embedding_unavailable`, or `invalid_request` for a blank
 */
export async function prepareQuery(embedder: Pick<Embedder, 'embedQuery'>, query: string): Promise<Prepared> {
  const vector = embedder.embedQuery(query);
  // whoever waits for it is told; nobody does where stage 1 has refused the caller
  vector.catch(() => {});
  return { query, vector, terms: ascending(queryTerms(query)) };
}

/**
 * Work that goes on while the question is being embedded, and ends no sooner: callers whose searches fail or find nothing
 * at once would set more embedding going than they wait for.
 * @throws what the work throws; else what the embedding was rejected with
 */
export async function whileEmbedding<T>({ vector }: Prepared, work: () => Promise<T>): Promise<T> {
  const [done, embedded] = await Promise.allSettled([work(), vector]);
  if (done.status === 'rejected') throw done.reason;
  if (embedded.status === 'rejected') throw embedded.reason;
  return done.value;
}

/**
 * The question's words also as they stand in the index for the levels that ask for encryption. Which levels those
 * are comes from what the caller may see, never from what is found.
 * @throws BulkheadError `keys_unavailable`
 */
export async function withHashedTerms(
  sealer: Sealer | undefined,
  { authority, distinctRanks }: Pick<Authorized, 'authority' | 'distinctRanks'>,
  prepared: Prepared,
): Promise<Prepared> {
  const keys = (await sealer?.termsKeys(authority.subject.tenant, distinctRanks)) ?? [];
  if (keys.length === 0) return prepared;
  const idsOf = [termId, ...keys.map((key) => key.termId)];
  return { ...prepared, terms: ascending(queryTerms(prepared.query, idsOf)) };
}

/** In the order of the words, a hash would stand beside the word that it hides, for whoever sees questions pass. */
function ascending(ids: readonly number[]): readonly number[] {
  return [...ids].sort((a, b) => a - b);
}
