/**
 * The port of every vector index. An adapter passes test/contract/vector-index.ts: what it finds, and how it
 * scores it, depends on the points of the visible classes and on nothing else in the index.
 */
import type { ChunkId, ClassId, DocumentId, TenantId } from '../policy/ids.ts';
import type { VisibilityFilter } from '../policy/visibility-filter.ts';

/** Parallel arrays: distinct term ids and the weight of each. */
export interface SparseVector {
  readonly ids: ArrayLike<number>;
  readonly weights: ArrayLike<number>;
}

/** One chunk in the index. It carries no text and no permission but its class. */
export interface IndexPoint {
  readonly chunkId: ChunkId;
  readonly documentId: DocumentId;
  readonly version: number;
  readonly classId: ClassId;
  readonly tenant: TenantId;
  /** Unit length, so that the inner product is the cosine. */
  readonly embedding: Float32Array;
  /** BM25, document side (`documentTerms`); weights in (0, 16]. */
  readonly terms: SparseVector;
}

/** At least one class: with `nothing` visible no search is made. */
export type VisibleClasses = Extract<VisibilityFilter, { kind: 'classes' }>;

export interface SearchRequest {
  readonly tenant: TenantId;
  readonly visible: VisibleClasses;
  /**
   * `visible` with ids between its ranges that no class of the tenant has, and so in fewer ranges: an index may
   * filter by it instead. Plans and term weights rest on `visible`: this one tells where hidden classes lie.
   */
  readonly span?: VisibleClasses | undefined;
  /** Searches these documents only; never admits what `visible` does not. */
  readonly documents?: readonly DocumentId[] | undefined;
  /** The query's embedding: unit length, as long as the collection's dimension. */
  readonly dense: Float32Array;
  /** Distinct term ids of the query (`queryTerms`); may be empty. */
  readonly terms: readonly number[];
  /** Longest length of each list, at least 1. */
  readonly limit: number;
  /** A sparse list that holds so many may end before equal scores that the limit would part; absent = `limit`. */
  readonly fewest?: number | undefined;
  /** How many chunks the visible classes hold, as last counted: for planning only, no result depends on it. */
  readonly visibleChunks?: number | undefined;
  /** A level among the visible classes is `silent`: never through a graph that hidden points shaped. */
  readonly exact?: boolean | undefined;
}

/** Where to search, and for which words. */
export type SearchTarget = Omit<SearchRequest, 'dense'>;

/** A search by words needs no embedding, so a search may be asked for while the question is still being embedded. */
export interface PendingSearchRequest extends SearchTarget {
  readonly dense: Float32Array | Promise<Float32Array>;
}

/** Nothing but these: what else is known of a chunk is asked of the database, and of `locate` where that differs. */
export interface Hit {
  readonly chunkId: ChunkId;
  readonly score: number;
}

/** Both lists by score, highest first, equal scores by chunk id. */
export interface SearchResult {
  /** The nearest chunks by cosine. */
  readonly dense: readonly Hit[];
  /**
   * Chunks with at least one of the terms, by BM25 with N and document frequencies of the visible classes; an
   * adapter may round IDF and the weights of terms, or, of more than a thousand chunks, estimate frequencies.
   */
  readonly sparse: readonly Hit[];
}

export type IndexedPoint = Pick<IndexPoint, 'chunkId' | 'documentId' | 'version' | 'classId'>;

/** One collection: the points of one embedding model. */
export interface VectorIndex {
  /**
   * @throws BulkheadError `model_changed` if the collection is not live, `index_unavailable` if it fails; what the
   *   embedding was rejected with
   */
  search(request: PendingSearchRequest): Promise<SearchResult>;
  /** Adds or replaces points by chunk id. */
  upsert(points: readonly IndexPoint[]): Promise<void>;
  /** Gives all points of a document another class, in every collection. */
  moveDocument(tenant: TenantId, document: DocumentId, toClass: ClassId): Promise<void>;
  /**
   * Removes a document's points, or only those of versions before one, from every collection. A version that is
   * newer than the caller knows of stays: whoever was overtaken undoes nothing.
   */
  removeDocument(tenant: TenantId, document: DocumentId, before?: number): Promise<void>;
  /** Removes single points from this collection; chunks that it does not hold, or of another tenant, are passed over. */
  removePoints(tenant: TenantId, chunks: readonly ChunkId[]): Promise<void>;
  /** How many points the classes hold. @throws as `search` does */
  count(tenant: TenantId, visible: VisibilityFilter): Promise<number>;
  /**
   * What the live collection holds of these chunks now, whoever may read them, in the order of their ids: for
   * comparing, never for an answer. Chunks that it does not hold, or of another tenant, are passed over.
   * @throws as `search` does
   */
  locate(tenant: TenantId, chunks: readonly ChunkId[]): Promise<readonly IndexedPoint[]>;
  /** A tenant's points in the order of their chunk ids, from the first after `after`. */
  listPoints(tenant: TenantId, after: ChunkId | undefined, limit: number): Promise<readonly IndexedPoint[]>;
}

export interface EmbeddingSpace {
  /** Of weights, tokenizer, pooling and prefix; vectors of two fingerprints are never compared. */
  readonly fingerprint: string;
  readonly dimension: number;
}

/** The collections of an index, of which one is live, that is, may be searched. */
export interface VectorCollections {
  /**
   * The collection of a model, made if it is missing. The first one is live at once.
   * @throws BulkheadError `model_changed` if it exists with another dimension
   */
  open(space: EmbeddingSpace): Promise<VectorIndex>;
  /** The fingerprint of the live collection; `undefined` before the first is opened. */
  live(): Promise<string | undefined>;
  /** Makes this collection the live one; searches see the old one or the new one. */
  switchTo(fingerprint: string): Promise<void>;
  /** Removes a collection and its points. @throws BulkheadError `conflict` if it is live */
  drop(fingerprint: string): Promise<void>;
  /**
   * A second, empty generation of a model's collection beside the first, which stays as it is and keeps
   * answering. What the first is given from now on, the second is given too. An older rebuild of the same model
   * is abandoned.
   * @throws BulkheadError `model_changed` if the model has no collection
   */
  rebuild(space: EmbeddingSpace): Promise<Rebuild>;
}

/** A generation under construction: filled through `index`, then swapped in or given up. */
export interface Rebuild {
  /** Of the new generation alone; it cannot be searched before `swap`. */
  readonly index: VectorIndex;
  /** Puts the new generation in the place of the old, in one step, and removes the old. */
  swap(): Promise<void>;
  /** Removes the new generation. */
  abandon(): Promise<void>;
}
