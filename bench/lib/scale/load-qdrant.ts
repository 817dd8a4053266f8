/** The same vectors in two collections: Bulkhead's own, and that of who asks nobody's permission. */
import { setTimeout as sleep } from 'node:timers/promises';
import { QdrantClient } from '@qdrant/js-client-rest';
import type { VectorIndex } from '../../../src/index/vector-index.ts';
import { chunkId, classId, documentId, tenantId } from '../../../src/policy/ids.ts';
import type { LoadedChunk } from './load-documents.ts';

/** Texts in the payload, as tutorials have it; also where LangChain looks for them. */
export const UNPROTECTED = 'bench_unprotected';
/** The collection's sparse vector; the dense one has no name, because LangChain gives it none. */
export const SPARSE = 'terms';

/** The adapter writes some of them in one request, and waits for each. */
const POINTS_AT_ONCE = 512;
const WRITERS = 4;

export function qdrantClient(url: string, apiKey: string | undefined): QdrantClient {
  return new QdrantClient({
    url,
    ...(apiKey !== undefined && { apiKey }),
    checkCompatibility: false,
    timeout: 120_000,
  });
}

export async function makeUnprotected(client: QdrantClient, dimension: number): Promise<void> {
  const { exists } = await client.collectionExists(UNPROTECTED);
  if (exists) await client.deleteCollection(UNPROTECTED);
  await client.createCollection(UNPROTECTED, {
    vectors: { size: dimension, distance: 'Cosine' },
    sparse_vectors: { [SPARSE]: { modifier: 'idf' } },
  });
}

/** Kibibytes of vectors above which a segment gets its graph: Qdrant's default. */
const GRAPH_ABOVE = 10_000;

/** No graphs while points come in: each would be built several times over. */
export async function buildGraphs(client: QdrantClient, when: 'later' | 'now'): Promise<void> {
  const { collections } = await client.getCollections();
  for (const { name } of collections)
    await client.updateCollection(name, {
      optimizers_config: { indexing_threshold: when === 'now' ? GRAPH_ABOVE : 0 },
    });
}

/** Adds the chunks to both, or, without a client, to Bulkhead's alone. */
export async function addChunks(
  client: QdrantClient | undefined,
  index: VectorIndex,
  tenant: number,
  chunks: readonly LoadedChunk[],
): Promise<void> {
  let next = 0;
  const writer = async () => {
    while (next < chunks.length) {
      const some = chunks.slice(next, next + POINTS_AT_ONCE);
      next += some.length;
      if (client !== undefined) await addUnprotected(client, some);
      await index.upsert(some.map((chunk) => pointOf(tenant, chunk)));
    }
  };
  await Promise.all(Array.from({ length: WRITERS }, writer));
}

/** Once more when the server closed an idle connection just then. */
async function addUnprotected(client: QdrantClient, chunks: readonly LoadedChunk[]): Promise<void> {
  const points = chunks.map(unprotectedPoint);
  const add = () => client.upsert(UNPROTECTED, { wait: true, points });
  await add().catch(add);
}

function pointOf(tenant: number, chunk: LoadedChunk) {
  return {
    chunkId: chunkId(chunk.id),
    documentId: documentId(chunk.document),
    version: 1,
    classId: classId(chunk.classId),
    tenant: tenantId(tenant),
    embedding: chunk.vector,
    terms: chunk.terms,
  };
}

function unprotectedPoint({ id, document, classId: cls, title, text, terms, vector }: LoadedChunk) {
  return {
    id,
    vector: {
      '': Array.from(vector),
      [SPARSE]: { indices: Array.from(terms.ids, unsigned), values: Array.from(terms.weights) },
    },
    payload: { content: text, metadata: { title, document, class: cls } },
  };
}

/** Term ids are signed; Qdrant's are not. */
export function unsigned(term: number): number {
  return term >>> 0;
}

/** Until every collection's graph is built. @returns points in each, by its name */
export async function untilIndexed(client: QdrantClient): Promise<ReadonlyMap<string, number>> {
  const points = new Map<string, number>();
  const { collections } = await client.getCollections();
  for (const { name } of collections) {
    for (let said = Date.now(); ; ) {
      const info = await client.getCollection(name);
      points.set(name, info.points_count ?? 0);
      if (info.status === 'green' && info.optimizer_status === 'ok') break;
      if (Date.now() - said > 10_000) {
        said = Date.now();
        console.error(
          `Waiting for the graph of ${name}: ${info.indexed_vectors_count} of ${info.points_count} vectors`,
        );
      }
      await sleep(500);
    }
  }
  return points;
}
