import type { VisibleClasses } from './vector-index.ts';

/** Of a run's ids, from its first to its last, so many are visible. */
const DENSE = 0.9;

const counted = new WeakMap<VisibleClasses, number>();

/**
 * In how many runs the visible classes lie: stretches of ids nine tenths of which are visible. Ids come in blocks, a
 * container's at a time, and whoever may read a folder of ten sees a dozen ranges with a few ids between them that were
 * never given out. To a search through the graph that is one neighbourhood, and not a dozen. What lies between is not
 * looked at: whether it is nobody's or somebody's, the number is the same.
 */
export function runsOf(visible: VisibleClasses): number {
  const known = counted.get(visible);
  if (known !== undefined) return known;
  const runs = countRuns(visible);
  counted.set(visible, runs);
  return runs;
}

function countRuns({ ranges: [first, ...rest] }: VisibleClasses): number {
  let runs = 1;
  let { from } = first;
  let held = first.to - from + 1;
  for (const range of rest) {
    const more = range.to - range.from + 1;
    if (held + more >= DENSE * (range.to - from + 1)) held += more;
    else {
      runs += 1;
      from = range.from;
      held = more;
    }
  }
  return runs;
}
