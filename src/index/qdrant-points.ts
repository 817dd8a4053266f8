/** Points as Qdrant keeps them and hits as it returns them. */
import type { Schemas } from '@qdrant/js-client-rest';
import { chunkId, classId, documentId } from '../policy/ids.ts';
import { garbledAnswer } from './qdrant-calls.ts';
import { denseName, TERMS } from './qdrant-names.ts';
import type { Hit, IndexedPoint, IndexPoint } from './vector-index.ts';

/** What is told of a point where it is listed. */
export const LISTED_PAYLOAD: readonly string[] = ['document', 'class', 'version'];

/**
 * Qdrant adds up term by term in single precision, in an order that depends on what else it holds, and hidden
 * points could be read from the last bit. With weights in steps of 1/128 and factors in steps that `termFactors`
 * picks, every sum is exact and so the same in any order. Rankings do not suffer (Crane, Trotman and O'Keefe,
 * "Maintaining discriminatory power in quantized indexes", CIKM 2013, use 8 bits; these are 9).
 */
export const WEIGHT_STEP = 2 ** -7;

export function toPoint(point: IndexPoint, fingerprint: string): Schemas['PointStruct'] {
  const { chunkId: id, documentId: document, version, classId: ofClass, tenant, embedding, terms } = point;
  const dense = { [denseName(fingerprint)]: Array.from(embedding) };
  return {
    id,
    vector: terms.ids.length === 0 ? dense : { ...dense, [TERMS]: toSparse(terms) },
    payload: { tenant: String(tenant), class: ofClass, document, version },
  };
}

/** Term ids are signed here and unsigned there. */
export function unsigned(term: number): number {
  return term >>> 0;
}

function toSparse({ ids, weights }: IndexPoint['terms']): Schemas['SparseVector'] {
  return {
    indices: Array.from(ids, unsigned),
    values: Array.from(weights, (weight) => Math.max(1, Math.round(weight / WEIGHT_STEP)) * WEIGHT_STEP),
  };
}

/** @throws BulkheadError `index_unavailable` for a hit that is not whole */
export function toHit(found: unknown): Hit {
  const { id, score } = found as { readonly id?: unknown; readonly score?: unknown };
  if (!isInteger(id) || typeof score !== 'number' || !Number.isFinite(score)) throw garbledAnswer();
  return { chunkId: chunkId(id), score };
}

/** @throws BulkheadError `index_unavailable` for a point that is not whole */
export function toIndexedPoint(found: unknown): IndexedPoint {
  const { id, payload } = found as Partial<Schemas['Record']>;
  const { document, class: ofClass, version } = (payload ?? {}) as Readonly<Record<string, unknown>>;
  if (!isInteger(id) || typeof document !== 'string' || !isInteger(ofClass) || !isInteger(version))
    throw garbledAnswer();
  return { chunkId: chunkId(id), documentId: documentId(document), version, classId: classId(ofClass) };
}

function isInteger(value: unknown): value is number {
  return Number.isSafeInteger(value);
}

/** @throws BulkheadError `index_unavailable` for an answer without a list of points */
export function pointsOf(answer: unknown): readonly { readonly vector?: unknown }[] {
  const points = (answer as { readonly points?: unknown } | null)?.points;
  if (!Array.isArray(points)) throw garbledAnswer();
  return points;
}
