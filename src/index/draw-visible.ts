/** Visible sets as callers have them, drawn from the classes that an index holds. */
import type { ClassId } from '../policy/ids.ts';
import { visibilityFilter } from '../policy/visibility-filter.ts';
import type { VisibleClasses } from './vector-index.ts';

/** Runs of classes that follow each other, or classes from anywhere. */
export type Layout = number | 'scattered';

/** How many chunks each class holds. */
export type ClassSizes = ReadonlyMap<ClassId, number>;

export interface DrawnSet {
  readonly layout: Layout;
  /** Of the chunks, 0–1. */
  readonly share: number;
  readonly visible: VisibleClasses;
  readonly chunks: number;
}

/**
 * A set that holds about this share of the chunks; `undefined` where there are too few classes to draw it.
 * @param random uniform in [0, 1)
 */
export function drawVisible(
  sizes: ClassSizes,
  layout: Layout,
  share: number,
  random: () => number,
): DrawnSet | undefined {
  const classes = [...sizes].filter(([, chunks]) => chunks > 0).sort(([a], [b]) => a - b);
  const total = sum(classes);
  const drawn =
    layout === 'scattered'
      ? takeUntil(shuffled(classes, random), 0, total * share)
      : drawRuns(classes, layout, total * share, random);
  const visible = visibilityFilter(drawn.map(([id]) => id));
  if (visible.kind === 'nothing' || (layout !== 'scattered' && drawn.length < layout)) return undefined;
  return { layout, share, visible, chunks: sum(drawn) };
}

type Sized = readonly [id: ClassId, chunks: number];

/** One run in each of as many stretches of equally many chunks, each run beginning anywhere that leaves it room. */
function drawRuns(
  classes: readonly Sized[],
  runs: number,
  wanted: number,
  random: () => number,
): readonly Sized[] {
  const stretch = sum(classes) / runs;
  const room = stretch - wanted / runs;
  const drawn = new Map<ClassId, number>();
  for (let run = 0; run < runs; run += 1) {
    let before = run * stretch + random() * room;
    const start = classes.findIndex(([, chunks]) => {
      before -= chunks;
      return before < 0;
    });
    // runs may touch: a class counts once
    for (const [id, chunks] of takeUntil(classes, Math.max(0, start), wanted / runs)) drawn.set(id, chunks);
  }
  return [...drawn];
}

/** Classes from `start` on until they hold as many chunks; at least one. */
function takeUntil(classes: readonly Sized[], start: number, wanted: number): readonly Sized[] {
  let left = wanted;
  let end = start;
  while (end < classes.length && (end === start || left > 0)) {
    left -= classes[end]?.[1] ?? 0;
    end += 1;
  }
  return classes.slice(start, end);
}

/** Fisher and Yates, as Durstenfeld has it (1964). */
function shuffled<T>(items: readonly T[], random: () => number): readonly T[] {
  const mixed = [...items];
  for (let i = mixed.length - 1; i > 0; i -= 1) {
    const j = Math.floor(random() * (i + 1));
    const [a, b] = [mixed[i], mixed[j]];
    if (a !== undefined && b !== undefined) [mixed[i], mixed[j]] = [b, a];
  }
  return mixed;
}

function sum(classes: readonly Sized[]): number {
  return classes.reduce((total, [, chunks]) => total + chunks, 0);
}
