import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

const PROJECT = join(import.meta.dirname, '../..');
const read = (path: string) => readFileSync(join(PROJECT, path), 'utf8');

const inGit = existsSync(join(PROJECT, '.git'));
/** Longer files are models and tokenizers, whose hashes are checked elsewhere. */
const MAX_BYTES = 2_000_000;

/** Files in git, and those that would be with the next commit, by path, where they hold text. */
function textFiles(): ReadonlyMap<string, string> {
  const list = ['ls-files', '-z', '--cached', '--others', '--exclude-standard'];
  const paths = execFileSync('git', list, { cwd: PROJECT, encoding: 'utf8' }).split('\0');
  return new Map(
    [...new Set(paths)]
      .filter((path) => path !== '' && existsSync(join(PROJECT, path)))
      .filter((path) => statSync(join(PROJECT, path)).size <= MAX_BYTES)
      .map((path) => [path, read(path)] as const)
      .filter(([, text]) => !text.includes('\0')),
  );
}

// put together, so that this file does not hold what it forbids
const either = (...words: readonly string[]) => words.join('|');
const FORBIDDEN: readonly (readonly [what: string, pattern: RegExp])[] = [
  [
    'a path of the machine it was written on',
    new RegExp(`(^|[\\s"'\`=(:>])/(${either('work', 'root')})/`, 'm'),
  ],
  [
    'a package registry',
    new RegExp(`\\b(${either('registry', 'artifactory', 'verdaccio', 'nexus')})[.-][a-z0-9-]+\\.`, 'i'),
  ],
  ['a package index', new RegExp(`//(${either('npm', 'pypi', 'mirror')})\\.[a-z0-9-]+\\.`, 'i')],
  ['a private key', new RegExp(`-{5}BEGIN [A-Z ]*${'PRIVATE'} KEY-{5}\\s+[A-Za-z0-9+/]{40}`)],
];

describe.skipIf(!inGit)('Nothing in git names', () => {
  const files = inGit ? textFiles() : new Map<string, string>();

  it.each(FORBIDDEN)('%s', (_, pattern) => {
    expect(files.size).toBeGreaterThan(300);
    const naming = [...files].flatMap(([path, text]) => {
      const found = pattern.exec(text);
      return found === null ? [] : [`${path}: ${found[0].trim()}`];
    });
    expect(naming).toEqual([]);
  });
});

describe('The dependencies', () => {
  it('are locked without the address that they came from, so that any registry will do', () => {
    const { packages } = JSON.parse(read('package-lock.json')) as {
      packages: Record<string, { resolved?: string; integrity?: string; link?: boolean }>;
    };
    const installed = Object.entries(packages).filter(([path]) => path !== '');
    expect(installed.length).toBeGreaterThan(100);
    expect(installed.filter(([, { resolved }]) => resolved !== undefined)).toEqual([]);
    expect(installed.filter(([, { integrity }]) => integrity === undefined)).toEqual([]);
  });

  it('each have one line that says why, and under which licence', () => {
    const { dependencies, devDependencies } = JSON.parse(read('package.json')) as Record<
      'dependencies' | 'devDependencies',
      Record<string, string>
    >;
    const lines = [...read('docs/dependencies.md').matchAll(/^\| `([^`]+)` \| [^|]{5,} \| ([^|]+) \|$/gm)];
    expect(lines.map(([, name]) => name).sort()).toEqual(
      [...Object.keys(dependencies), ...Object.keys(devDependencies)].sort(),
    );
    for (const [, name, licence] of lines) {
      const installed = JSON.parse(read(`node_modules/${name}/package.json`)) as { license: string };
      expect(licence, name).toBe(installed.license.replace('OR', 'or'));
    }
  });
});
