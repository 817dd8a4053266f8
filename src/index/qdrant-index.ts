/**
 * The index in Qdrant. Searches go to the alias of the live collection, whose vectors are named after their
 * model, so that a search of another model fails there. Nothing but tenant, class, document and version is kept
 * with a vector.
 */
import type { Schemas } from '@qdrant/js-client-rest';
import { BulkheadError } from '../errors.ts';
import type { ChunkId, ClassId, DocumentId, TenantId } from '../policy/ids.ts';
import type { VisibilityFilter } from '../policy/visibility-filter.ts';
import type { Calibratable } from './calibrate.ts';
import { isShort, type PlanConstants, planFor, type SearchPlan } from './planner.ts';
import { garbledAnswer, type QdrantCalls, unlessRemoved } from './qdrant-calls.ts';
import {
  chunksFilter,
  documentFilter,
  requireClasses,
  tenantFilter,
  visibleFilter,
} from './qdrant-filters.ts';
import type { Method } from './qdrant-http.ts';
import { type Quantization, readCollection } from './qdrant-layout.ts';
import { denseName, type QdrantNames } from './qdrant-names.ts';
import { LISTED_PAYLOAD, pointsOf, toIndexedPoint, toPoint } from './qdrant-points.ts';
import { bestHits, denseQuery, type Query, type Send, sparseQuery } from './qdrant-search.ts';
import { collectionNames, liveGeneration } from './qdrant-state.ts';
import type { TermWeights } from './qdrant-term-weights.ts';
import type {
  EmbeddingSpace,
  Hit,
  IndexedPoint,
  IndexPoint,
  PendingSearchRequest,
  SearchRequest,
  SearchResult,
  SearchTarget,
  VectorIndex,
} from './vector-index.ts';

const POINTS_PER_WRITE = 256;
const POINTS_PER_PAGE = 5_000;
const NOTHING_FOUND: SearchResult = { dense: [], sparse: [] };

/** What the indexes of one installation share. */
export interface QdrantSetting {
  readonly calls: QdrantCalls;
  readonly names: QdrantNames;
  readonly weights: TermWeights;
  readonly calibration: () => PlanConstants | undefined;
  readonly quantization: Quantization;
}

export class QdrantIndex implements VectorIndex, Calibratable {
  readonly #setting: QdrantSetting;
  readonly #space: EmbeddingSpace;
  readonly #only: string | undefined;
  /** Searches that are under way. */
  #underWay = 0;
  readonly #send: Send = (bodies) => {
    const { calls, names } = this.#setting;
    return calls.readEach(`/collections/${names.live}/points/query/batch`, bodies);
  };

  /** @param only one generation, which is not yet the current one; absent = the model's current one */
  constructor(setting: QdrantSetting, space: EmbeddingSpace, only?: string) {
    this.#setting = setting;
    this.#space = space;
    this.#only = only;
  }

  async search(request: PendingSearchRequest): Promise<SearchResult> {
    const { tenant, visible, terms } = request;
    // it may be rejected before it is waited for, or where it never is
    if (request.dense instanceof Promise) request.dense.catch(() => {});
    await this.#check(request);
    if (request.documents?.length === 0) return NOTHING_FOUND;
    const weights = terms.length === 0 ? undefined : await this.#setting.weights.of(tenant, visible, terms);
    const known = { ...request, visibleChunks: request.visibleChunks ?? weights?.chunks };
    const plan = planFor(known, this.#setting.calibration());
    const words = weights === undefined ? [] : [sparseQuery(known, plan, weights.factors)];
    const [dense = [], sparse = []] = await this.#bestOf(
      [this.#denseQuery(known, plan), ...words],
      request.limit,
    );
    return { dense: isShort(plan, dense.length, known) ? await this.#searchExactly(known) : dense, sparse };
  }

  async searchAs(request: SearchRequest, plan: SearchPlan): Promise<readonly Hit[]> {
    await this.#check(request);
    const [hits = []] = await this.#bestOf([this.#denseQuery(request, plan)], request.limit);
    return hits;
  }

  async count(tenant: TenantId, visible: VisibilityFilter): Promise<number> {
    if (visible.kind === 'nothing') return 0;
    const { calls, names } = this.#setting;
    const filter = visibleFilter(tenant, visible);
    const [answer] = await Promise.all([
      calls.read('POST', `/collections/${names.live}/points/count`, { filter, exact: true }),
      this.#requireLive(),
    ]);
    const count = (answer as Partial<Schemas['CountResult']> | null)?.count;
    if (typeof count !== 'number') throw garbledAnswer();
    return count;
  }

  async upsert(points: readonly IndexPoint[]): Promise<void> {
    for (const { embedding } of points) this.#requireDimension(embedding);
    const distinct = [...new Map(points.map((point) => [point.chunkId, point])).values()];
    const generations = await this.#generations();
    for (let start = 0; start < distinct.length; start += POINTS_PER_WRITE) {
      const batch = distinct.slice(start, start + POINTS_PER_WRITE);
      const body = { points: batch.map((point) => toPoint(point, this.#space.fingerprint)) };
      if (!(await this.#writeTo(generations, 'PUT', 'points', body))) throw dropped(this.#space);
    }
  }

  async moveDocument(tenant: TenantId, document: DocumentId, toClass: ClassId): Promise<void> {
    const filter = documentFilter(tenant, document);
    await this.#writeEverywhere('points/payload', { payload: { class: toClass }, filter });
  }

  async removeDocument(tenant: TenantId, document: DocumentId, before?: number): Promise<void> {
    await this.#writeEverywhere('points/delete', { filter: documentFilter(tenant, document, before) });
  }

  async removePoints(tenant: TenantId, chunks: readonly ChunkId[]): Promise<void> {
    if (chunks.length === 0) return;
    const body = { filter: chunksFilter(tenant, chunks) };
    await this.#writeTo(await this.#generations(), 'POST', 'points/delete', body);
  }

  async listPoints(
    tenant: TenantId,
    after: ChunkId | undefined,
    limit: number,
  ): Promise<readonly IndexedPoint[]> {
    const { calls, names } = this.#setting;
    const collection = this.#only ?? names.current(this.#space.fingerprint);
    const answer = await calls.read('POST', `/collections/${collection}/points/scroll`, {
      filter: tenantFilter(tenant),
      limit,
      ...(after === undefined ? {} : { offset: after + 1 }),
      with_payload: LISTED_PAYLOAD,
    });
    return pointsOf(answer).map(toIndexedPoint);
  }

  async locate(tenant: TenantId, chunks: readonly ChunkId[]): Promise<readonly IndexedPoint[]> {
    await this.#requireLive();
    if (chunks.length === 0) return [];
    const answer = await this.#read('points/scroll', {
      filter: chunksFilter(tenant, chunks),
      limit: chunks.length,
      with_payload: LISTED_PAYLOAD,
    });
    return pointsOf(answer).map(toIndexedPoint);
  }

  /** Drawn at random by the server. */
  async sampleVectors(tenant: TenantId, count: number): Promise<readonly Float32Array[]> {
    await this.#requireLive();
    const name = denseName(this.#space.fingerprint);
    const answer = await this.#read('points/query', {
      query: { sample: 'random' },
      filter: tenantFilter(tenant),
      limit: count,
      with_payload: false,
      with_vector: [name],
    });
    return pointsOf(answer).map(({ vector }) => {
      const embedding = (vector as Readonly<Record<string, readonly number[]>> | null | undefined)?.[name];
      if (embedding === undefined) throw garbledAnswer();
      return Float32Array.from(embedding);
    });
  }

  /** Point by point: Qdrant's own count of each class takes minutes where there are a hundred thousand of them. */
  async classSizes(tenant: TenantId): Promise<ReadonlyMap<ClassId, number>> {
    const sizes = new Map<ClassId, number>();
    for (let after: ChunkId | undefined; ; ) {
      const page = await this.listPoints(tenant, after, POINTS_PER_PAGE);
      for (const point of page) sizes.set(point.classId, (sizes.get(point.classId) ?? 0) + 1);
      const last = page.at(-1);
      if (last === undefined || page.length < POINTS_PER_PAGE) return sizes;
      after = last.chunkId;
    }
  }

  /** @throws BulkheadError `internal` for a request that no caller should make, else as `search` does */
  async #check({ visible, limit }: SearchTarget): Promise<void> {
    requireClasses(visible);
    if (!Number.isSafeInteger(limit) || limit < 1)
      throw new BulkheadError('internal', 'A search needs a limit of at least 1.');
    if (this.#only !== undefined) await this.#requireLive();
  }

  /** Searches need no such call: their vectors carry the name of the model. */
  async #requireLive(): Promise<void> {
    const { calls, names } = this.#setting;
    const isLive =
      this.#only === undefined
        ? (await readCollection(calls, names.live)).fingerprint === this.#space.fingerprint
        : (await liveGeneration(calls, names)) === this.#only;
    if (!isLive)
      throw new BulkheadError('model_changed', 'The live index belongs to another embedding model.');
  }

  async #denseQuery(request: PendingSearchRequest, plan: SearchPlan): Promise<Query> {
    const dense = await request.dense;
    this.#requireDimension(dense);
    return denseQuery(request, dense, plan, this.#space.fingerprint, this.#setting.quantization);
  }

  async #searchExactly(request: PendingSearchRequest): Promise<readonly Hit[]> {
    const plan = planFor({ ...request, exact: true }, this.#setting.calibration());
    const [hits = []] = await this.#bestOf([this.#denseQuery(request, plan)], request.limit);
    return hits;
  }

  /** A search that is alone has a core to spare for its second query; among others, a second call only costs more. */
  async #bestOf(
    queries: readonly (Query | Promise<Query>)[],
    limit: number,
  ): Promise<readonly (readonly Hit[])[]> {
    const sending = this.#underWay === 0 ? 'apart' : 'together';
    this.#underWay += 1;
    try {
      return await bestHits(this.#send, queries, limit, sending);
    } finally {
      this.#underWay -= 1;
    }
  }

  #read(path: string, body: unknown): Promise<unknown> {
    const { calls, names } = this.#setting;
    return calls.read('POST', `/collections/${names.live}/${path}`, body);
  }

  async #writeEverywhere(path: string, body: unknown): Promise<void> {
    const { calls, names } = this.#setting;
    const generations = names.generations(await collectionNames(calls));
    await this.#writeTo(generations, 'POST', path, body);
  }

  /** Where this model's points belong: with a rebuild under way, in both generations. */
  async #generations(): Promise<readonly string[]> {
    if (this.#only !== undefined) return [this.#only];
    const { calls, names } = this.#setting;
    const found = names.generations(await collectionNames(calls), this.#space.fingerprint);
    if (found.length === 0) throw dropped(this.#space);
    return found;
  }

  /** @returns whether any of them is still there */
  async #writeTo(
    generations: readonly string[],
    method: Method,
    path: string,
    body: unknown,
  ): Promise<boolean> {
    const { calls, weights } = this.#setting;
    try {
      const written = await Promise.all(
        generations.map((name) =>
          unlessRemoved(calls.write(method, `/collections/${name}/${path}?wait=true&ordering=medium`, body)),
        ),
      );
      return written.includes(true);
    } finally {
      weights.noteWrite();
    }
  }

  #requireDimension(embedding: Float32Array): void {
    const { dimension, fingerprint } = this.#space;
    if (embedding.length !== dimension)
      throw new BulkheadError(
        'model_changed',
        `A vector of ${embedding.length} numbers does not belong to ${fingerprint}, which has ${dimension}.`,
      );
  }
}

function dropped({ fingerprint }: EmbeddingSpace): BulkheadError {
  return new BulkheadError('model_changed', `The index of ${fingerprint} was dropped.`);
}
