/** The directory's import and status, over HTTP and from the command line. */
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { openScimApp, type ScimApp } from '../helpers/scim.ts';

const BIN = fileURLToPath(new URL('../../bin/bulkhead.mjs', import.meta.url));
const CSV = 'kind,id,display_name,groups\ngroup,eng,Engineering,\nuser,ada,Ada Byron,eng\n';

let app: ScimApp;
let folder = '';
beforeAll(async () => {
  app = await openScimApp();
  folder = await mkdtemp(join(tmpdir(), 'bulkhead-directory-'));
}, 60_000);
afterAll(async () => {
  await app.close();
  await rm(folder, { recursive: true });
});

const take = (account: string, more: object = {}) =>
  app.ask(account, 'POST', '/v1/directory:import', {
    source: 'hr',
    issuer: 'partners',
    format: 'csv',
    content: CSV,
    ...more,
  });

it('an import is for who administers the root, and so is the status', async () => {
  expect((await take('anna')).json.code).toBe('right_missing');
  expect((await app.ask('anna', 'GET', '/v1/directory')).json.code).toBe('right_missing');
  // nothing is said of the file, or of who keeps the source, to anybody else
  expect((await take('anna', { content: 'nonsense', source: 'entra' })).json.code).toBe('right_missing');
});

it('an import that is dry says what would change', async () => {
  const { status, json } = await take('root', { dry_run: true });
  expect(status).toBe(200);
  expect(json).toMatchObject({
    accounts: { added: 1, changed: 0, enabled: 0, disabled: 0 },
    lines: ['+ user:partners|ada', '+ group:hr|eng', '+ user:partners|ada → group:hr|eng'],
    more: false,
  });
});

it('a file that is none is refused with what is wrong in it', async () => {
  const { status, json } = await take('root', { content: 'kind,id,display_name\nuser,,Nobody\n' });
  expect([status, json.code]).toEqual([400, 'invalid_request']);
  expect(json.errors).toEqual([{ path: 'row 2', message: 'needs an id and a display_name' }]);
});

it('a source that a client provisions takes no file', async () => {
  expect((await take('root', { source: 'entra' })).json.code).toBe('conflict');
});

it('the commands import a file and tell how old each source is', async () => {
  const file = join(folder, 'people.csv');
  await writeFile(file, CSV);
  const imported = await bulkhead('directory', 'import', file, '--source', 'hr', '--issuer', 'partners');
  expect(imported).toContain('accounts: 1 added, 0 changed, 0 re-enabled, 0 disabled');
  expect(await bulkhead('directory', 'status')).toMatch(
    /^hr: current at \d{4}-.*; 1 accounts, 0 of them disabled, 1 groups$/m,
  );
}, 60_000);

async function bulkhead(...args: readonly string[]): Promise<string> {
  const env = { ...process.env, BULKHEAD_TOKEN: await app.token('root'), BULKHEAD_DATA: folder };
  return new Promise((resolve, reject) => {
    execFile('node', [BIN, ...args, '--server', app.url], { env }, (error, stdout, stderr) =>
      error === null ? resolve(stdout) : reject(new Error(stderr)),
    );
  });
}
