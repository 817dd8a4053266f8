import { firstAbove } from '../policy/sorted-ids.ts';
import type { VisibilityFilter } from '../policy/visibility-filter.ts';

/** More ranges than an index takes gladly; such a set goes as a list of ids, which spanning would lengthen. */
const MOST_RANGES = 128;

const spanned = new WeakMap<
  VisibilityFilter,
  { readonly given: Int32Array; readonly to: VisibilityFilter }
>();

/**
 * The visible classes as an index is asked for them: ranges with nothing between them but ids that the tenant has
 * not given out are one range. Ids come in blocks, a container's at a time, and most of a block is never used, so
 * that whoever may read everything would be a thousand ranges; so they are one (docs/decisions/0011).
 * @param given ascending ids of all the tenant's classes; what is interned later is in nobody's filter yet
 */
export function spanUnused(visible: VisibilityFilter, given: Int32Array): VisibilityFilter {
  const known = spanned.get(visible);
  if (known?.given === given) return known.to;
  const to = span(visible, given);
  spanned.set(visible, { given, to });
  return to;
}

function span(visible: VisibilityFilter, given: Int32Array): VisibilityFilter {
  if (visible.kind === 'nothing' || visible.ranges.length === 1) return visible;
  const [first, ...rest] = visible.ranges;
  let last = { ...first };
  const joined = [last];
  for (const range of rest) {
    if ((given[firstAbove(given, last.to)] ?? range.from) >= range.from) last.to = range.to;
    else {
      last = { ...range };
      joined.push(last);
    }
  }
  const [head, ...tail] = joined;
  if (head === undefined || joined.length > MOST_RANGES) return visible;
  const size = joined.reduce((sum, { from, to }) => sum + to - from + 1, 0);
  return { kind: 'classes', ranges: [head, ...tail], size };
}
