import { expect, it } from 'vitest';
import { MinuteBudget } from '../../src/assembly/minute-budget.ts';

it('lets so many a minute through, and the next record stands for those withheld', () => {
  let now = 0;
  const budget = new MinuteBudget(2, () => now);
  expect([budget.take(), budget.take(), budget.take(), budget.take()]).toEqual([1, 1, 0, 0]);
  now += 60_000;
  expect([budget.take(), budget.take()]).toEqual([3, 1]);
});
