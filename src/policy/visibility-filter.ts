import type { ClassId } from './ids.ts';

/** Inclusive on both ends. */
interface ClassRange {
  readonly from: number;
  readonly to: number;
}

/**
 * The classes a search may touch. Always a positive list: there is no form for "everything", and `nothing`
 * means that no search is made. Ranges are ascending and hold visible ids only, never gaps: an id that is
 * free today may be somebody's secret tomorrow.
 */
export type VisibilityFilter =
  | { readonly kind: 'nothing' }
  | {
      readonly kind: 'classes';
      readonly ranges: readonly [ClassRange, ...ClassRange[]];
      /** How many classes the ranges hold. */
      readonly size: number;
    };

export const NOTHING: VisibilityFilter = Object.freeze({ kind: 'nothing' });

/** Builds the filter from class ids in any order, duplicates allowed. */
export function visibilityFilter(ids: Iterable<ClassId>): VisibilityFilter {
  const ranges: { from: number; to: number }[] = [];
  let last: { from: number; to: number } | undefined;
  let size = 0;
  for (const id of Int32Array.from(ids).sort()) {
    // ids ascend, so one that is not beyond the last range is in it already
    if (last !== undefined && id <= last.to) continue;
    size += 1;
    if (last !== undefined && id === last.to + 1) last.to = id;
    else {
      last = { from: id, to: id };
      ranges.push(last);
    }
  }
  return isSome(ranges) ? { kind: 'classes', ranges, size } : NOTHING;
}

function isSome(ranges: readonly ClassRange[]): ranges is readonly [ClassRange, ...ClassRange[]] {
  return ranges.length > 0;
}

export function includesClass(filter: VisibilityFilter, id: ClassId): boolean {
  if (filter.kind === 'nothing') return false;
  let low = 0;
  let high = filter.ranges.length - 1;
  while (low <= high) {
    const middle = (low + high) >> 1;
    const range = filter.ranges[middle];
    if (range === undefined) return false;
    if (id < range.from) high = middle - 1;
    else if (id > range.to) low = middle + 1;
    else return true;
  }
  return false;
}

/** Keeps only the classes that pass; the result is never wider than the filter. */
export function narrow(filter: VisibilityFilter, keep: (id: ClassId) => boolean): VisibilityFilter {
  return visibilityFilter(classesIn(filter).filter((id) => keep(id)));
}

/** The classes one by one, ascending. */
export function classesIn(filter: VisibilityFilter): readonly ClassId[] {
  if (filter.kind === 'nothing') return [];
  return filter.ranges.flatMap(({ from, to }) =>
    Array.from({ length: to - from + 1 }, (_, i) => (from + i) as ClassId),
  );
}
