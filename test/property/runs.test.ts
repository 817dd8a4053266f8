import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { runsOf } from '../../src/index/runs.ts';
import type { VisibleClasses } from '../../src/index/vector-index.ts';
import { classId } from '../../src/policy/ids.ts';
import { visibilityFilter } from '../../src/policy/visibility-filter.ts';

function visible(ids: readonly number[]): VisibleClasses {
  const filter = visibilityFilter(ids.map(classId));
  if (filter.kind === 'nothing') throw new Error('nothing is visible');
  return filter;
}

const stretch = (from: number, length: number) => Array.from({ length }, (_, i) => from + i);
const someIds = fc.uniqueArray(fc.integer({ min: 0, max: 5_000 }), { minLength: 1, maxLength: 400 });

describe('The runs of a visible set', () => {
  it('are never more than its ranges, and at least one', () => {
    fc.assert(
      fc.property(someIds, (ids) => {
        const set = visible(ids);
        expect(runsOf(set)).toBeGreaterThanOrEqual(1);
        expect(runsOf(set)).toBeLessThanOrEqual(set.ranges.length);
      }),
    );
  });

  it('are one only where nine tenths of the ids from its first to its last are visible', () => {
    fc.assert(
      fc.property(someIds, (ids) => {
        const set = visible(ids);
        const hull = (set.ranges.at(-1)?.to ?? 0) - set.ranges[0].from + 1;
        if (runsOf(set) === 1) expect(set.size).toBeGreaterThanOrEqual(0.9 * hull);
      }),
    );
  });

  it('depend on its own ids alone, wherever they lie', () => {
    fc.assert(
      fc.property(someIds, fc.integer({ min: 0, max: 1_000_000 }), (ids, by) => {
        expect(runsOf(visible(ids.map((id) => id + by)))).toBe(runsOf(visible(ids)));
      }),
    );
  });

  it.each([
    [
      'a folder of ten that fill their blocks but for a few ids',
      Array.from({ length: 10 }, (_, i) => stretch(640 * i, 630)).flat(),
      1,
    ],
    [
      'ten folders with others between them',
      Array.from({ length: 10 }, (_, i) => stretch(6_400 * i, 640)).flat(),
      10,
    ],
    ['every other class', Array.from({ length: 300 }, (_, i) => 2 * i), 300],
    [
      'folders themselves, and far away what is in them',
      [...stretch(100, 10), ...stretch(70_000, 10_000)],
      2,
    ],
  ])('of %s', (_, ids, runs) => {
    expect(runsOf(visible(ids))).toBe(runs);
  });
});
