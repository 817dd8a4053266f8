import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type ClassCondition, classCondition } from '../../src/index/class-condition.ts';
import { classId } from '../../src/policy/ids.ts';
import { includesClass, visibilityFilter } from '../../src/policy/visibility-filter.ts';

const RUNS = { numRuns: Number(process.env.BULKHEAD_TEST_RUNS ?? 200) };

function conditionOf(ids: Iterable<number>) {
  const filter = visibilityFilter(Array.from(ids, classId));
  if (filter.kind === 'nothing') throw new Error('a test needs classes');
  return { filter, condition: classCondition(filter) };
}

/** As bulkhead.class_condition reads it. */
function admits({ from, to, ids, mask }: ClassCondition, id: number): boolean {
  const bit = id - (from[0] ?? 0);
  return (
    from.some((low, n) => low <= id && id <= (to[n] ?? -1)) &&
    (ids === null || ids.includes(id)) &&
    (mask === null || (((mask[bit >> 3] ?? 0) >> (bit & 7)) & 1) === 1)
  );
}

const every = (count: number, step: number) => Array.from({ length: count }, (_, n) => 10 + n * step);

describe('the condition on classes', () => {
  it('admits the visible classes and no other, in whatever form', () =>
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.integer({ min: 1, max: 6_000 }), { minLength: 1, maxLength: 2_600 }),
        (seed) => {
          const { filter, condition } = conditionOf(seed);
          for (let id = 0; id <= 6_010; id += 7)
            expect(admits(condition, id)).toBe(includesClass(filter, classId(id)));
          const last = Math.max(...seed);
          for (const id of [last, last + 1])
            expect(admits(condition, id)).toBe(includesClass(filter, classId(id)));
        },
      ),
      RUNS,
    ));

  it.each([
    ['ranges while they are few', every(8, 2), 'ranges'],
    ['ranges however many classes they hold', every(9_000, 1), 'ranges'],
    ['ids when classes are few but scattered', every(500, 3), 'ids'],
    ['a mask when many are scattered', every(3_000, 2), 'mask'],
    ['ids when a mask would be too wide', [...every(3_000, 2), 2_000_000_000], 'ids'],
  ])('takes the form of %s', (_name, ids, form) => {
    const { condition } = conditionOf(ids);
    expect(condition.mask ? 'mask' : condition.ids ? 'ids' : 'ranges').toBe(form);
  });
});
