import type { VisibleClasses } from './vector-index.ts';

/**
 * Visible classes as `bulkhead.search_chunks` takes them: a class is admitted that lies in one of the ranges
 * and, where given, is among the ids or has its bit in the mask.
 */
export interface ClassCondition {
  readonly from: readonly number[];
  readonly to: readonly number[];
  readonly ids: readonly number[] | null;
  /** Bit i, lowest first in each byte, stands for the class `from[0] + i`. */
  readonly mask: Uint8Array | null;
}

// Measured (docs/decisions/0004): ranges are nearly free while few; ids let an index fetch the rows; a bit is
// the cheapest look-up when most of the rows are read anyway.
const MOST_RANGES = 8;
const MOST_IDS = 500;
const WIDEST_MASK_BYTES = 1_000_000;

/** The fastest of three exact forms. The choice depends on the visible classes alone. */
export function classCondition({ ranges, size }: VisibleClasses): ClassCondition {
  if (ranges.length <= MOST_RANGES)
    return {
      from: ranges.map((range) => range.from),
      to: ranges.map((range) => range.to),
      ids: null,
      mask: null,
    };
  const from = ranges[0].from;
  const to = ranges.at(-1)?.to ?? from;
  const bytes = Math.floor((to - from) / 8) + 1;
  if (size <= MOST_IDS || bytes > WIDEST_MASK_BYTES)
    return { from: [from], to: [to], ids: [...idsIn(ranges)], mask: null };
  const mask = new Uint8Array(bytes);
  for (const id of idsIn(ranges)) {
    const bit = id - from;
    mask[bit >> 3] = (mask[bit >> 3] ?? 0) | (1 << (bit & 7));
  }
  return { from: [from], to: [to], ids: null, mask };
}

function* idsIn(ranges: VisibleClasses['ranges']): Iterable<number> {
  for (const { from, to } of ranges) for (let id = from; id <= to; id += 1) yield id;
}
