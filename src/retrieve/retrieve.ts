/**
 * The way of one query:
 *
 *   1 authorize  ┐ in        2 prepare    words at once, the vector when it is ready
 *                ┘ parallel
 *   3 search     visible classes only; ids and scores back; where it can, by words before the vector is ready
 *   4 hydrate    rows under row-level security
 *     judge      decide() on what was just read
 *   6 release    unseal, redact, receipt, and only then the answer
 */
import type { AuditLog } from '../audit/audit-log.ts';
import type { Embedder } from '../embed/embedder.ts';
import type { RedactionPolicy } from '../guard/redaction-policy.ts';
import type { VectorIndex } from '../index/vector-index.ts';
import type { CallerIdentity } from '../store/authority.ts';
import { untilSettled } from '../store/until-settled.ts';
import { type AuthorizeParts, authorizeQuery } from './1-authorize.ts';
import { prepareQuery, whileEmbedding, withHashedTerms } from './2-prepare.ts';
import { search } from './3-search.ts';
import { type Released, releaseWithReceipt } from './6-release.ts';
import { type Answer, composeAnswer, guardedDocuments, receiptOf } from './answer.ts';
import type { DriftWatch } from './drift.ts';
import type { IndexLag } from './freshness.ts';
import { judgeBest } from './judge.ts';
import type { RetrieveRequest } from './stages.ts';
import { type UnsealParts, unseal } from './unseal.ts';

export interface RetrieveParts extends AuthorizeParts, UnsealParts {
  readonly embedder: Pick<Embedder, 'embedQuery' | 'fingerprint'>;
  readonly index: VectorIndex;
  readonly redaction: RedactionPolicy;
  readonly audit: AuditLog;
  /** Keys the digest of the question in receipts. */
  readonly questionKey: Uint8Array;
  readonly drift: DriftWatch;
  readonly indexLag: () => IndexLag;
}

/**
 * Answers a question with the passages its caller may read, best first.
 * @throws BulkheadError one of the caller's (`subject_*`, `groups_unknown`), one of a part that is down, or
 *   `authority_moved`; whatever is thrown, nothing was released
 */
export function retrieve(
  parts: RetrieveParts,
  identity: CallerIdentity,
  request: RetrieveRequest,
): Promise<Released<Answer>> {
  return untilSettled(() => tryOnce(parts, identity, request));
}

async function tryOnce(
  parts: RetrieveParts,
  identity: CallerIdentity,
  request: RetrieveRequest,
): Promise<Released<Answer> | undefined> {
  const [authorized, prepared] = await Promise.all([
    authorizeQuery(parts, identity, request.filters),
    prepareQuery(parts.embedder, request.query),
  ]);
  const { hashed, searched } = await whileEmbedding(prepared, async () => {
    const hashed = await withHashedTerms(parts.sealer, authorized, prepared);
    return { hashed, searched: await search(parts.index, authorized, hashed) };
  });
  const judged = await judgeBest(parts.database, parts.scheme, authorized, searched, request.limit);
  parts.drift.watch(authorized, judged, () => search(parts.index, authorized, hashed));
  const { tenant } = authorized.authority.subject;
  const judgement = { ...judged, passages: await unseal(parts, tenant, judged.passages) };
  const answer = await composeAnswer(parts, authorized, request, judgement);
  const receipt = receiptOf(parts, authorized, request, judgement, answer);
  return releaseWithReceipt(parts.audit, authorized.authority, receipt, guardedDocuments(judgement), answer);
}
