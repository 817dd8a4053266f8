/**
 * How one search goes through the index. The plan knows what the caller may see and what was measured of the
 * installed index; it never knows how large the rest is.
 */

/** What is known of a caller's visible part before it is searched. */
export interface VisibleShape {
  /** Runs of consecutive class ids. */
  readonly ranges: number;
  readonly classes: number;
  readonly chunks: number;
}

/** The class condition as the index takes it: a few ranges, or one list of ids. */
export type FilterForm = 'ranges' | 'any';

export type SearchMode =
  /** Every visible point is compared. */
  | { readonly kind: 'exact' }
  /** The graph, with points that the filter refuses left out of the way; `beam` candidates are kept. */
  | { readonly kind: 'graph'; readonly beam: number }
  /** The graph, with neighbours of refused points looked at too (ACORN, Patel et al., SIGMOD 2024). */
  | { readonly kind: 'acorn'; readonly beam: number };

export interface SearchPlan {
  readonly form: FilterForm;
  readonly mode: SearchMode;
}
