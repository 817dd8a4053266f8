import { BulkheadError } from '../../errors.ts';
import type { SourceContent } from '../../store/directory-sources.ts';
import type { ImportPlan } from './plan.ts';

/** Of the accounts, groups or memberships that there are; an export that broke off loses more. */
const LARGEST_SHARE = 0.2;

/**
 * @param allowed how many of each kind may go all the same
 * @throws BulkheadError `conflict` when more would go than does in any ordinary week
 */
export function refuseCatastrophe(
  { accounts, groups, memberships }: ImportPlan,
  now: SourceContent,
  allowed = 0,
): void {
  const kinds = [
    ['accounts', accounts.disabled.length, now.accounts.filter(({ active }) => active).length],
    ['groups', groups.removed.length, now.groups.length],
    ['memberships', memberships.removed.length, now.memberships.length],
  ] as const;
  const worst = kinds.find(([, going, all]) => going > allowed && going > all * LARGEST_SHARE);
  if (worst === undefined) return;
  const [kind, going, all] = worst;
  throw new BulkheadError(
    'conflict',
    `This would end ${going} of ${all} ${kind}. If that is right, say so with allow_removals (--allow-removals ${going}).`,
  );
}
