import type { ImportPlan } from './plan.ts';

/** What an import changes, counted, and the first of it in lines. */
export interface ImportReport {
  readonly accounts: {
    readonly added: number;
    readonly changed: number;
    readonly enabled: number;
    readonly disabled: number;
  };
  readonly groups: { readonly added: number; readonly changed: number; readonly removed: number };
  readonly memberships: { readonly added: number; readonly removed: number };
  /** `+`, `~` and `-` with a principal, `(re-enabled)` behind it; a membership as `member → group`. */
  readonly lines: readonly string[];
  /** Whether there would be more lines. */
  readonly more: boolean;
}

const MOST_LINES = 200;

export function reportOf({ accounts, groups, memberships }: ImportPlan): ImportReport {
  const key = (sign: string) => (each: { readonly key: string }) => `${sign} ${each.key}`;
  const pair = (sign: string) => (each: { readonly group: string; readonly member: string }) =>
    `${sign} ${each.member} → ${each.group}`;
  // who is let in again, and then what goes, comes first: it is what a person has to look at
  const lines = [
    ...accounts.enabled.map(({ key }) => `~ ${key} (re-enabled)`),
    ...accounts.disabled.map(key('-')),
    ...groups.removed.map((name) => `- ${name}`),
    ...memberships.removed.map(pair('-')),
    ...[...accounts.changed, ...groups.changed].map(key('~')),
    ...[...accounts.added, ...groups.added].map(key('+')),
    ...memberships.added.map(pair('+')),
  ];
  return {
    accounts: {
      added: accounts.added.length,
      changed: accounts.changed.length,
      enabled: accounts.enabled.length,
      disabled: accounts.disabled.length,
    },
    groups: { added: groups.added.length, changed: groups.changed.length, removed: groups.removed.length },
    memberships: { added: memberships.added.length, removed: memberships.removed.length },
    lines: lines.slice(0, MOST_LINES),
    more: lines.length > MOST_LINES,
  };
}
