import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { openTestApp, type TestApp } from '../helpers/app.ts';
import { run } from '../helpers/command.ts';
import { asSuperuser } from '../helpers/policy-tables.ts';

// each command is a process, and the machine may be busy
vi.setConfig({ testTimeout: 180_000, hookTimeout: 180_000 });

const BOT = 'service:workforce|bot';
let test: TestApp;
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bulkhead-key-'));
  test = await openTestApp();
  await test.ask('root', 'POST', '/v1/principals', { principal: BOT, display_name: 'Bot' });
  await test.add('/open', '# Pay days\n\nSalaries are paid on the 25th.');
});
afterAll(async () => {
  await test?.close();
  await rm(folder, { recursive: true, force: true });
});

const bulkhead = (token: string, ...args: string[]) =>
  run(args, {
    BULKHEAD_DATA: folder,
    BULKHEAD_DEMO: 'false',
    BULKHEAD_SERVER: test.url,
    BULKHEAD_TOKEN: token,
  });
const asRoot = async (...args: string[]) => bulkhead(await test.token('root'), ...args);

describe('bulkhead key', () => {
  it('makes a key that a command can use, alone on standard output', async () => {
    const made = await asRoot(
      'key',
      'create',
      BOT,
      '--name',
      'nightly',
      '--containers',
      '/open',
      '--days',
      '3',
    );
    expect(made).toMatchObject({ code: 0 });
    const key = made.stdout.trim();
    expect(key).toMatch(/^bhk_[a-z2-7]{16}_[a-z2-7]{60}$/);
    const [, id = ''] = key.split('_');
    expect(made.stderr).toContain(`This is key ${id}. It expires on `);
    expect(made.stderr).not.toContain(key);
    const asked = await bulkhead(key, 'retrieve', 'When are salaries paid?', '--json');
    expect(asked.code).toBe(0);
    expect(JSON.parse(asked.stdout)).toMatchObject({ passages: [{ title: 'Pay days' }] });
    const refused = await bulkhead(key, 'key', 'list');
    expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining('administer') });
  });

  it('lists keys, and warns of those that end soon', async () => {
    const { stdout, stderr } = await asRoot('key', 'list');
    expect(stdout).toMatch(/ID +SERVICE +RIGHTS +WHERE +STATE +LAST USED +NAME/);
    expect(stdout).toMatch(
      /service:workforce\|bot +read +\/open up to restricted +until \d{4}-\d\d-\d\d .*nightly/,
    );
    expect(stderr).toMatch(
      /^([a-z2-7]{16}) \(service:workforce\|bot\) expires in 2 days: bulkhead key rotate \1$/m,
    );
    expect(stdout + stderr).not.toMatch(/bhk_/);
  });

  it('lists keys that work though whoever made them has left, and says so', async () => {
    const madeBy = (account: string) =>
      asSuperuser(
        test.store.database,
        `update api_key set created_by = (select id from principal where key = 'user:workforce|${account}')`,
      );
    expect((await asRoot('key', 'list')).stderr).not.toContain('no longer active');
    await madeBy('paul');
    expect((await asRoot('key', 'list')).stderr).toMatch(
      /^([a-z2-7]{16}) \(service:workforce\|bot\) was made by user:workforce\|paul, who is no longer active: bulkhead key revoke \1$/m,
    );
    await madeBy('root');
  });

  it('rotates and revokes one', async () => {
    const [{ id } = { id: '' }] = await asSuperuser<{ id: string }>(
      test.store.database,
      'select id from api_key where replaces is null limit 1',
    );
    const rotated = await asRoot('key', 'rotate', id, '--overlap', '3600');
    expect(rotated).toMatchObject({ code: 0, stdout: expect.stringMatching(/^bhk_/) });
    expect(rotated.stderr).toContain(`${id} still works for 3600 seconds.`);
    const [, next = ''] = rotated.stdout.trim().split('_');
    expect(await asRoot('key', 'revoke', next)).toMatchObject({ code: 0, stdout: `${next} has ended.\n` });
    expect((await bulkhead(rotated.stdout.trim(), 'retrieve', 'pay')).code).toBe(1);
    const { stdout } = await asRoot('key', 'list', '--json', '--service', BOT);
    expect(JSON.parse(stdout).keys).toHaveLength(2);
  });

  it('has help with an example for each command, and says what it does not take', async () => {
    for (const name of ['create', 'list', 'rotate', 'revoke'])
      expect((await run(['key', name, '--help'], {})).stdout).toMatch(/Example:\n {2}bulkhead key /);
    expect(await asRoot('key', 'create', BOT, '--days', 'ten')).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('whole number'),
    });
    expect(await asRoot('key', 'create', BOT, '--rights', 'fly')).toMatchObject({ code: 1 });
  });
});
