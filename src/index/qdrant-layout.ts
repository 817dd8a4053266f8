/** How a collection is made, and how one that exists is recognized. */
import type { Schemas } from '@qdrant/js-client-rest';
import { BulkheadError } from '../errors.ts';
import { garbledAnswer, type QdrantCalls } from './qdrant-calls.ts';
import { denseName, TERMS } from './qdrant-names.ts';
import type { EmbeddingSpace } from './vector-index.ts';

export type Quantization = 'none' | 'int8';

/**
 * Class is principal and tenant is tenant: the optimizer then lays points out by tenant and class, and a range of
 * classes is read from neighbouring memory. Documents get no graph links of their own: a search narrowed to some
 * is always exact.
 */
const PAYLOAD_INDEXES: Readonly<Record<string, Schemas['PayloadSchemaParams']>> = {
  tenant: { type: 'keyword', is_tenant: true },
  class: { type: 'integer', lookup: true, range: true, is_principal: true },
  document: { type: 'uuid', enable_hnsw: false },
};

export interface CollectionInfo {
  readonly fingerprint: string | undefined;
  readonly dimension: number | undefined;
  readonly indexed: readonly string[];
}

/** @throws BulkheadError `model_changed` if there is none */
export async function readCollection(calls: QdrantCalls, name: string): Promise<CollectionInfo> {
  const answer = (await calls.read('GET', `/collections/${name}`)) as Partial<Schemas['CollectionInfo']>;
  if (answer?.config === undefined) throw garbledAnswer();
  const { metadata } = answer.config;
  const fingerprint = metadata?.fingerprint;
  const named = typeof fingerprint === 'string' ? fingerprint : undefined;
  return {
    fingerprint: named,
    dimension: named === undefined ? undefined : dimensionOf(answer.config.params.vectors, denseName(named)),
    indexed: Object.keys(answer.payload_schema ?? {}),
  };
}

function dimensionOf(vectors: Schemas['VectorsConfig'] | undefined, name: string): number | undefined {
  const named = (vectors as Readonly<Record<string, Schemas['VectorParams']>> | undefined)?.[name];
  return named?.size;
}

/** Makes what is missing of a collection; a process may have ended in the middle of it. */
export async function ensureCollection(
  calls: QdrantCalls,
  name: string,
  space: EmbeddingSpace,
  quantization: Quantization,
): Promise<void> {
  try {
    await calls.write('PUT', `/collections/${name}`, layout(space, quantization));
  } catch (error) {
    if (!(error instanceof BulkheadError && error.code === 'conflict')) throw error;
  }
  const { indexed, ...found } = await readCollection(calls, name);
  requireSpace(found, space);
  for (const [field, schema] of Object.entries(PAYLOAD_INDEXES))
    if (!indexed.includes(field))
      await calls.write('PUT', `/collections/${name}/index?wait=true`, {
        field_name: field,
        field_schema: schema,
      });
}

/** @throws BulkheadError `model_changed` */
export function requireSpace(
  found: Pick<CollectionInfo, 'fingerprint' | 'dimension'>,
  { fingerprint, dimension }: EmbeddingSpace,
): void {
  if (found.fingerprint !== fingerprint)
    throw new BulkheadError(
      'model_changed',
      `The collection that should be of ${fingerprint} in Qdrant is of ${found.fingerprint ?? 'something else'}.`,
    );
  if (found.dimension !== dimension)
    throw new BulkheadError(
      'model_changed',
      `The index of ${fingerprint} has ${found.dimension ?? 'unknown'} dimensions, not ${dimension}.`,
    );
}

/**
 * Vectors have unit length, so the inner product is the cosine. Terms have no `idf` modifier: it would count the
 * points that a caller may not see.
 */
function layout({ fingerprint, dimension }: EmbeddingSpace, quantization: Quantization) {
  return {
    vectors: { [denseName(fingerprint)]: { size: dimension, distance: 'Dot' } },
    sparse_vectors: { [TERMS]: { index: { on_disk: false } } },
    on_disk_payload: false,
    ...(quantization === 'int8'
      ? { quantization_config: { scalar: { type: 'int8', quantile: 0.99, always_ram: true } } }
      : {}),
    metadata: { fingerprint, dimension },
  } satisfies Schemas['CreateCollection'];
}
