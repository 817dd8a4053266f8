import type { Span } from './entities.ts';

/** Index of the last span that starts at or before the offset, −1 for none; spans are in ascending order. */
export function lastStartingAt(spans: readonly Span[], offset: number): number {
  let low = 0;
  let high = spans.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((spans[middle]?.start ?? Infinity) <= offset) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}
