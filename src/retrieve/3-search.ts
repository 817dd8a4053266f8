import { weightedSum } from '../index/fusion.ts';
import type { SearchResult, VectorIndex } from '../index/vector-index.ts';
import type { Authorized, Candidate, Prepared, Searched } from './stages.ts';

/** Candidates per list. Fusion needs depth, not only the top. */
const DEPTH = 200;
/** Meaning and words count alike; bench/results says what the alternatives score. */
const WEIGHTS = [0.5, 0.5];
const NOTHING_FOUND: Searched = { lists: { dense: [], sparse: [] }, candidates: [] };

/**
 * Stage 3: one call to the index, which sees visible classes only and returns ids and scores. Nothing visible
 * means that no search is made.
 * @throws BulkheadError `index_unavailable`, `model_changed`; what the embedding was rejected with
 */
export async function search(
  index: VectorIndex,
  authorized: Authorized,
  prepared: Prepared,
): Promise<Searched> {
  const { searched, span, searchedChunks, documents, exact, authority } = authorized;
  if (searched.kind === 'nothing' || documents?.length === 0) return NOTHING_FOUND;
  const lists = await index.search({
    tenant: authority.subject.tenant,
    visible: searched,
    span: span.kind === 'nothing' ? undefined : span,
    documents,
    dense: prepared.vector,
    terms: prepared.terms,
    limit: DEPTH,
    fewest: DEPTH / 2,
    visibleChunks: searchedChunks,
    exact,
  });
  return { lists, candidates: fuse(lists) };
}

/** Both lists of a search in one order, best first. */
export function fuse({ dense, sparse }: SearchResult): readonly Candidate[] {
  return weightedSum([dense, sparse], WEIGHTS);
}
