import { mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadDirectory } from '../../src/dev/load-directory.ts';

const FILE = join(import.meta.dirname, '../helpers/identity-directory.yaml');

async function changed(from: string, to: string): Promise<string> {
  const file = join(await mkdtemp(join(tmpdir(), 'bulkhead-directory-')), 'directory.yaml');
  const text = await readFile(FILE, 'utf8');
  if (!text.includes(from)) throw new Error('The test changes nothing.');
  await writeFile(file, text.replace(from, to));
  return file;
}

describe('a directory file', () => {
  it('is read with members in one form and times in milliseconds', async () => {
    const directory = await loadDirectory(FILE);
    expect(directory.tenant).toBe('meridian');
    expect(directory.groups[0]?.members).toEqual([
      { principal: 'user:workforce|anna.keller', from: undefined, until: undefined },
      {
        principal: 'user:workforce|tom.brandt',
        from: Date.UTC(2026, 0, 1),
        until: Date.UTC(2027, 0, 1),
      },
    ]);
    expect(directory.clearances[0]).toEqual({ principal: 'everyone', level: 'public', compartments: [] });
    expect(directory.services[1]?.ceiling).toEqual({
      level: 'internal',
      compartments: [],
      containers: ['handbook'],
    });
  });

  it.each([
    ['a misspelt key', 'title: Head of HR', 'titel: Head of HR', 'users.0'],
    ['an unknown issuer', 'issuer: workforce, name: Anna', 'issuer: elsewhere, name: Anna', 'users.0.issuer'],
    ['a time without a zone', '2026-01-01T00:00:00Z', '2026-01-01', 'groups.0.members.1'],
    [
      'a member that is not defined',
      '"group:workforce|hr"] }',
      '"group:workforce|rh"] }',
      'groups.1.members.1',
    ],
    [
      'a clearance for nobody',
      'principal: "group:workforce|hr"',
      'principal: "group:x|hr"',
      'clearances.1.principal',
    ],
    [
      'a right for something that is no principal',
      '"user:workforce|anna.keller", c',
      '"anna", c',
      'roles.0.principal',
    ],
    ['an account twice', 'account: paul.becker', 'account: anna.keller', 'users.2'],
    ['a service named like a user', 'account: order-sync', 'account: anna.keller', 'services.0'],
  ])('is refused with %s, and the place is named', async (_, from, to, path) => {
    await expect(loadDirectory(await changed(from, to))).rejects.toMatchObject({
      code: 'config_invalid',
      issues: expect.arrayContaining([expect.objectContaining({ path: expect.stringContaining(path) })]),
    });
  });

  it('is refused when it is not YAML', async () => {
    await expect(loadDirectory(await changed('tenant: meridian', 'tenant: [meridian'))).rejects.toMatchObject(
      {
        code: 'config_invalid',
      },
    );
  });

  it('is said to be unreadable when it is not there', async () => {
    await expect(loadDirectory('/nowhere/directory.yaml')).rejects.toMatchObject({ code: 'unreadable_file' });
  });
});
