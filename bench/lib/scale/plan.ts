/** What a search looked like when it reached Qdrant: the planner's choice, seen from outside. */
import { isSearch, type Recorded } from './qdrant-proxy.ts';

interface Search {
  readonly query?: unknown;
  readonly filter?: unknown;
  readonly params?: {
    readonly exact?: boolean;
    readonly hnsw_ef?: number;
    readonly acorn?: { readonly enable?: boolean };
  };
}

/** For example `exact, any of 4000` or `graph 256, 3 ranges`; the dense search alone, the sparse one has no choice. */
export function planOf(calls: readonly Recorded[]): string {
  const searches = calls.filter(isSearch).flatMap(({ body }) => {
    const read = JSON.parse(body) as { searches?: readonly Search[] } & Search;
    return read.searches ?? [read];
  });
  const dense = searches.filter(isDense);
  const [first] = dense;
  if (first === undefined) return 'none';
  const again = dense.length > 1 ? `, then ${modeOf(dense.at(-1) ?? first)}` : '';
  return `${modeOf(first)}, ${formOf(first.filter)}${again}`;
}

function isDense({ query }: Search): boolean {
  if (Array.isArray(query)) return true;
  const nearest = (query as { nearest?: unknown } | undefined)?.nearest;
  return Array.isArray(nearest);
}

function modeOf({ params }: Search): string {
  if (params?.exact === true) return 'exact';
  const beam = params?.hnsw_ef ?? 'default';
  return params?.acorn?.enable === true ? `ACORN ${beam}` : `graph ${beam}`;
}

function formOf(filter: unknown): string {
  let ranges = 0;
  let ids = 0;
  const look = (value: unknown): void => {
    if (Array.isArray(value)) for (const one of value) look(one);
    else if (typeof value === 'object' && value !== null) {
      const { range, match } = value as { range?: unknown; match?: { any?: readonly unknown[] } };
      if (range !== undefined) ranges += 1;
      if (match?.any !== undefined) ids += match.any.length;
      for (const inner of Object.values(value)) look(inner);
    }
  };
  look(filter);
  if (ids > 0) return `any of ${ids}`;
  return `${ranges} range${ranges === 1 ? '' : 's'}`;
}
