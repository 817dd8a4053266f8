import { execFile } from 'node:child_process';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

const PROJECT = join(import.meta.dirname, '../..');
const CONFIG = '.dependency-cruiser.cjs';
const { forbidden } = createRequire(import.meta.url)(join(PROJECT, CONFIG)) as {
  forbidden: readonly { readonly name: string }[];
};

interface Violation {
  readonly rule: string;
  readonly from: string;
}

/** What dependency-cruiser says of a tree, by the rules that `npm run check` uses. */
async function violationsIn(root: string): Promise<readonly Violation[]> {
  const command = join(PROJECT, 'node_modules/.bin/depcruise');
  const output = await new Promise<string>((resolve, reject) => {
    const options = {
      cwd: PROJECT,
      env: { ...process.env, BULKHEAD_RULES_ROOT: root },
      maxBuffer: 64 * 1024 * 1024,
    };
    // it ends with the number of violations, which is no failure here
    execFile(command, [root, '--config', CONFIG, '--output-type', 'json'], options, (error, stdout) => {
      if (stdout === '') reject(error);
      else resolve(stdout);
    });
  });
  const { summary } = JSON.parse(output) as {
    summary: { violations: readonly { from: string; rule: { name: string } }[]; totalCruised: number };
  };
  expect(summary.totalCruised).toBeGreaterThan(forbidden.length);
  return summary.violations.map(({ from, rule }) => ({ rule: rule.name, from }));
}

const fileOf = (path: string) => path.replace(/^.*\//, '').replace(/\.ts$/, '');

describe('The import rules', () => {
  it('are each broken by a file of their name in test/import-rules, and caught', {
    timeout: 120_000,
  }, async () => {
    const violations = await violationsIn('test/import-rules/src');
    const caught = violations.filter(({ rule, from }) => fileOf(from) === rule).map(({ rule }) => rule);
    expect([...new Set(caught)].sort()).toEqual(forbidden.map(({ name }) => name).sort());
    expect(violations).toContainEqual({
      rule: 'policy-stands-alone',
      from: 'test/import-rules/src/policy/a-type-counts-too.ts',
    });
  });

  it('are broken nowhere in the source', { timeout: 120_000 }, async () => {
    expect(await violationsIn('src')).toEqual([]);
  });
});
