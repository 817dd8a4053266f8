/** What each stage of a query hands to the next. */

import type { Hit, SearchResult } from '../index/vector-index.ts';
import type { StepUpNeed } from '../policy/decide.ts';
import type { ChunkId, ClassId, DocumentId, Instant } from '../policy/ids.ts';
import type { VisibilityFilter } from '../policy/visibility-filter.ts';
import type { Authority, CallerIdentity } from '../store/authority.ts';
import type { Hydration, StoredPassage } from '../store/passages.ts';

export interface RetrieveRequest {
  readonly requestId: string;
  readonly query: string;
  /** Passages wanted, at least 1. */
  readonly limit: number;
  readonly filters: RetrieveFilters;
}

export interface RetrieveFilters {
  /** Path of a container; what is below it counts. */
  readonly container?: string | undefined;
  readonly source?: string | undefined;
  readonly mediaType?: string | undefined;
  readonly from?: Instant | undefined;
  readonly until?: Instant | undefined;
  /** Highest level wanted, by rank. */
  readonly maxRank?: number | undefined;
}

/** Who asks, what they may see now, and which part of it the filters leave. */
export interface Authorized {
  readonly identity: CallerIdentity;
  readonly authority: Authority;
  readonly visible: VisibilityFilter;
  readonly ranks: ReadonlyMap<ClassId, number>;
  /** Those ranks, each once. */
  readonly distinctRanks: ReadonlySet<number>;
  /** `visible` after the filters that classes can answer. */
  readonly searched: VisibilityFilter;
  /** `searched` with ids between its ranges that no class has: a shorter filter for the same points. */
  readonly span: VisibilityFilter;
  /** What `searched` holds, as last counted: for planning only. */
  readonly searchedChunks: number | undefined;
  /** Something of a silent level is visible: the search compares every visible passage. */
  readonly exact: boolean;
  /** The sign-in that would show more classes; `null` = none would. */
  readonly stepUp: StepUpNeed | null;
  /** The documents the other filters leave; absent when there are no such filters. */
  readonly documents: readonly DocumentId[] | undefined;
}

/** The question as the index wants it: its words, and its embedding when that is ready. */
export interface Prepared {
  readonly query: string;
  readonly vector: Float32Array | Promise<Float32Array>;
  readonly terms: readonly number[];
}

export interface Candidate {
  readonly hit: Hit;
  /** 0–1 within this one search; means nothing across searches. */
  readonly score: number;
}

/** The index's two lists as they came, and the order they make together, best first. */
export interface Searched {
  readonly lists: SearchResult;
  readonly candidates: readonly Candidate[];
}

export interface Hydrated {
  readonly candidates: readonly (Candidate & { readonly passage: StoredPassage })[];
  readonly classes: Hydration['classes'];
  /** What the index returned and row-level security, or nobody any more, has. */
  readonly missing: readonly ChunkId[];
}
