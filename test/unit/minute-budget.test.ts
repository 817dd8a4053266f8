import { expect, it } from 'vitest';
import { MinuteBudget, TenantBudgets } from '../../src/assembly/minute-budget.ts';

it('lets so many a minute through, and the next record stands for those withheld', () => {
  let now = 0;
  const budget = new MinuteBudget(2, () => now);
  expect([budget.take(), budget.take(), budget.take(), budget.take()]).toEqual([1, 1, 0, 0]);
  now += 60_000;
  expect([budget.take(), budget.take()]).toEqual([3, 1]);
});

it('of one tenant is spent by that tenant alone, and counts nothing of another', () => {
  const budgets = new TenantBudgets(1, () => 0);
  expect([budgets.take('a'), budgets.take('a'), budgets.take('b'), budgets.take('b')]).toEqual([1, 0, 1, 0]);
});
