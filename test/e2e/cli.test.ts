import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import {
  type Environment,
  type Finished,
  freePort,
  type Running,
  run,
  serve,
  start,
  stop,
} from '../helpers/command.ts';

// each command is a process, and the machine may be busy
vi.setConfig({ testTimeout: 180_000, hookTimeout: 180_000 });

let folder: string;
let env: Environment;
let server: Running | undefined;
let url: string;

const bulkhead = (...args: string[]): Promise<Finished> => run(args, env);

interface Passage {
  readonly document_id: string;
  readonly external_id: string;
  readonly text: string;
}

/** The documents behind the passages that somebody gets. */
async function ask(question: string, account: string, ...options: string[]): Promise<readonly Passage[]> {
  const { code, stdout, stderr } = await bulkhead(
    'retrieve',
    question,
    '--as',
    account,
    '--json',
    ...options,
  );
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  return (JSON.parse(stdout) as { passages: Passage[] }).passages;
}

const externalIds = (passages: readonly Passage[]) => passages.map(({ external_id }) => external_id);

async function writeFolder(
  name: string,
  files: Readonly<Record<string, string | Uint8Array>>,
): Promise<string> {
  const root = join(folder, name);
  for (const [path, content] of Object.entries(files)) {
    await mkdir(join(root, path, '..'), { recursive: true });
    await writeFile(join(root, path), content);
  }
  return root;
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bulkhead-cli-'));
  const port = await freePort();
  env = { BULKHEAD_DATA: join(folder, 'data'), PORT: String(port) };
  url = `http://127.0.0.1:${port}`;
  server = await serve(env);
});

afterAll(async () => {
  if (server !== undefined) await stop(server);
  await rm(folder, { recursive: true, force: true });
});

describe('a command on a terminal or in a script', () => {
  it('has help with an example, one page for each', async () => {
    const names =
      'init serve migrate ingest token retrieve explain grant revoke label move audit doctor reembed';
    for (const name of ['retrieve', 'audit'])
      expect(await bulkhead(name, '--help')).toMatchObject({
        code: 0,
        stdout: expect.stringMatching(/Example:\n {2}\S/),
      });
    const { stdout, code } = await bulkhead('--help');
    expect(code).toBe(0);
    for (const name of names.split(' ')) expect(stdout).toContain(`\n  ${name} `);
  });

  it('says its version', async () => {
    expect(await bulkhead('--version')).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^\d+\.\d+\.\d+\n$/),
    });
  });

  it.concurrent.each([
    ['that there is not', ['frobnicate'], /unknown command 'frobnicate'/],
    ['without its argument', ['retrieve'], /missing required argument 'question'/],
    ['with an option it has not', ['token', '--lifelong'], /unknown option '--lifelong'/],
    ['with a number that is none', ['retrieve', 'x', '--limit', 'many'], /Give a whole number/],
  ])('%s exits with 2 and one line', async (_, args, line) => {
    const { code, stdout, stderr } = await bulkhead(...args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(line);
    expect(stderr.trimEnd().split('\n')).toHaveLength(1);
  });
});

describe('while a server has the data folder', () => {
  it('the server said where it is ready, and nothing else', async () => {
    const port = env.PORT;
    expect(server?.stdout()).toMatch(
      new RegExp(`^Bulkhead is ready at http://localhost:${port}/\nSign in there`),
    );
  });

  it('token prints nothing but a token, which the server takes', async () => {
    const { code, stdout, stderr } = await bulkhead('token', 'anna.keller');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(/^[\w-]+\.[\w-]+\.[\w-]+\n$/);
    const headers = { authorization: `Bearer ${stdout.trim()}` };
    expect((await fetch(`${url}/v1/documents`, { headers })).status).toBe(200);
  });

  it('token --list prints the accounts in columns', async () => {
    const { code, stdout } = await bulkhead('token', '--list');
    expect(code).toBe(0);
    const lines = stdout.trimEnd().split('\n');
    expect(lines[0]).toMatch(/^ACCOUNT +ISSUER +NAME +TITLE OR KIND$/);
    expect(lines.find((line) => line.startsWith('anna.keller '))).toMatch(
      / workforce +Anna Keller +Head of HR$/,
    );
    expect(lines.find((line) => line.startsWith('research-agent '))).toMatch(/ agent$/);
  });

  it('two people who ask the same read different passages', async () => {
    const question = 'What are the salary bands for 2027?';
    const [anna, petra] = await Promise.all([ask(question, 'anna.keller'), ask(question, 'petra.fuchs')]);
    expect(externalIds(anna)).toContain('hr/salary-bands-2027.md');
    expect(externalIds(petra)).not.toContain('hr/salary-bands-2027.md');
    expect(petra.length).toBeGreaterThan(0);
  });

  it('retrieve shows a person the label, the source, and the receipt', async () => {
    const { code, stdout } = await bulkhead(
      'retrieve',
      'salary bands 2027',
      '--as',
      'anna.keller',
      '--limit',
      '1',
    );
    expect(code).toBe(0);
    expect(stdout).toMatch(/^1\. .+ {2}\[confidential/);
    expect(stdout).toMatch(/\n {3}\/hr · demo: hr\/\S+ · score \d\.\d\d\n/);
    expect(stdout).toMatch(/\nreceipt \S+/);
  });

  it('explain tells why about a document that one may read, and of another only that there is nothing', async () => {
    const [found] = await ask('salary bands 2027', 'anna.keller', '--limit', '1');
    const id = found?.document_id ?? '';
    const own = await bulkhead('explain', id, '--as', 'anna.keller');
    expect(own).toMatchObject({ code: 0, stdout: expect.stringMatching(/^You may read it.*\n {2}- /) });
    const hidden = await bulkhead('explain', id, '--as', 'petra.fuchs');
    const missing = await bulkhead('explain', '00000000-0000-4000-8000-000000000000', '--as', 'petra.fuchs');
    expect(hidden).toEqual(missing);
    expect(hidden).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^bulkhead: .* \(not_found\)\n$/),
    });
  });

  it('ingest takes what is good, names what is bad and why, and has nothing to do the second time', async () => {
    const path = await writeFolder('kraken', {
      '.acl.yaml': 'level: internal\nentries:\n  - allow: group:workforce|hr\n',
      'good.md': '# Kraken\n\nThe kraken eats the northern buoys at noon.\n',
      'bad.md': Buffer.from([0xc3, 0x28, 0x0a]),
      'picture.png': 'not read here',
      'deep/rows.jsonl': '{"id":"a","text":"Squid of the third bath."}\nnonsense\n',
      'deep/row.csv': 'id,text\n1,Whale of the fourth bath.\n',
    });
    const args = ['ingest', path, '--container', '/sea/monsters', '--as', 'stefan.wolf'];

    const rehearsed = await bulkhead(...args, '--dry-run');
    expect(rehearsed).toMatchObject({
      code: 1,
      stdout: expect.stringMatching(/would send 4, cannot read 2\n$/),
    });
    expect(rehearsed.stdout).toContain('would create the container /sea/monsters/deep\n');

    const first = await bulkhead(...args);
    expect(first).toMatchObject({ code: 1, stdout: 'created 3, replaced 0, unchanged 0, failed 3\n' });
    expect(first.stderr).toMatch(/^failed {2}bad\.md: .* \(invalid_encoding\)$/m);
    expect(first.stderr).toMatch(/^failed {2}picture\.png: .* \(unsupported_media_type\)$/m);
    expect(first.stderr).toMatch(/^failed {2}deep\/rows\.jsonl#line-2: .* \(unparsable\)$/m);
    expect(first.stderr).toContain('created the container /sea/monsters\n');

    const second = await bulkhead(...args);
    expect(second).toMatchObject({ code: 1, stdout: 'created 0, replaced 0, unchanged 3, failed 3\n' });
    expect(externalIds(await ask('kraken buoys', 'anna.keller', '--container', '/sea'))).toContain('good.md');
  });

  it('ingest says when a folder says otherwise than its container, which it leaves alone', async () => {
    const path = await writeFolder('changed', {
      '.acl.yaml': 'level: confidential\nentries:\n  - allow: group:workforce|hr\n',
      'good.md': '# Kraken\n\nThe kraken eats the northern buoys at noon.\n',
    });
    const { code, stdout, stderr } = await bulkhead(
      'ingest',
      path,
      '--container',
      '/sea/monsters',
      '--as',
      'stefan.wolf',
    );
    expect({ code, stdout }).toEqual({ code: 0, stdout: 'created 0, replaced 0, unchanged 1, failed 0\n' });
    expect(stderr).toContain('The container /sea/monsters is there and does not say what its .acl.yaml says');
  });

  it('ingest takes single files, with the label of their folder and their own sidecar', async () => {
    const path = await writeFolder('single', {
      '.acl.yaml': 'level: internal\nentries:\n  - allow: everyone\n',
      'one.txt': 'The narwhal guards bath nine.',
      'one.txt.acl.yaml': 'entries:\n  - deny: user:workforce|petra.fuchs\n',
      'other.txt': 'This is not sent.',
    });
    const args = [
      'ingest',
      join(path, 'one.txt'),
      join(path, 'gone.txt'),
      '--container',
      '/narwhal',
      '--as',
      'stefan.wolf',
    ];
    const { code, stdout, stderr } = await bulkhead(...args);
    expect({ code, stdout }).toEqual({ code: 1, stdout: 'created 1, replaced 0, unchanged 0, failed 1\n' });
    expect(stderr).toMatch(/gone\.txt: .* \(unreadable_file\)/);
    expect(externalIds(await ask('narwhal', 'anna.keller', '--container', '/narwhal'))).toEqual(['one.txt']);
    expect(await ask('narwhal', 'petra.fuchs', '--container', '/narwhal')).toEqual([]);
  });

  it('a grant opens a container to somebody, and its revocation closes it again', async () => {
    const entry = ['/sea/monsters', 'user:workforce|petra.fuchs', '--as', 'stefan.wolf'];
    const sees = async () => (await ask('kraken buoys', 'petra.fuchs', '--container', '/sea')).length > 0;
    expect(await sees()).toBe(false);
    expect(await bulkhead('grant', ...entry)).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/is now allowed/),
    });
    expect(await sees()).toBe(true);
    expect(await bulkhead('revoke', ...entry)).toMatchObject({ code: 0 });
    expect(await sees()).toBe(false);
  });

  it('a session is revoked with a reason, before or after whose options it is asked, and listed', async () => {
    const by = ['--as', 'stefan.wolf'];
    const one = ['session', 'workforce|of-nobody', '--reason', 'left open'];
    expect(await bulkhead('revoke', ...one, ...by)).toMatchObject({
      code: 0,
      stdout: 'The session workforce|of-nobody is refused from now on.\n',
    });
    expect(await bulkhead('revoke', ...by, ...one)).toMatchObject({ code: 0 });
    expect((await bulkhead('revoke', 'list', ...by)).stdout).toMatch(
      /^KIND +ID .*\nsession +workforce\|of-nobody +for good .* left open$/m,
    );
    expect((await bulkhead('revoke', 'session', 'workforce|x', ...by)).code).toBe(2);
    expect((await bulkhead('revoke', ...one, '--as', 'petra.fuchs')).stderr).toMatch(/\(right_missing\)/);
  });

  it('label replaces a label whole, and refuses to guess the level', async () => {
    const guessed = await bulkhead(
      'label',
      '/sea/monsters',
      '--compartments',
      'legal',
      '--as',
      'stefan.wolf',
    );
    expect(guessed).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/--no-level\. \(invalid_request\)\n$/),
    });
    const given = ['--level', 'confidential', '--compartments', 'payroll, legal', '--as', 'stefan.wolf'];
    expect(await bulkhead('label', '/sea/monsters', ...given)).toMatchObject({
      code: 0,
      stdout: '/sea/monsters now says confidential · payroll, legal itself.\n',
    });
    expect(await ask('kraken buoys', 'anna.keller', '--container', '/sea')).toEqual([]);
  });

  it('move hangs a container elsewhere, with everything below it', async () => {
    expect(await bulkhead('move', '/sea/monsters', '/', '--as', 'stefan.wolf')).toMatchObject({
      code: 0,
      stdout:
        '/sea/monsters is now /monsters, with everything below it; labels and entries come from there.\n',
    });
    const back = await bulkhead('move', '/monsters', '/sea', '--json', '--as', 'stefan.wolf');
    expect(JSON.parse(back.stdout)).toMatchObject({ path: '/sea/monsters' });
    expect(await bulkhead('move', '/board', '/sea', '--as', 'anna.keller')).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/\(not_found\)\n$/),
    });
  });

  it('audit list shows who did what, newest first', async () => {
    const { code, stdout } = await bulkhead('audit', 'list', '--kind', 'label.changed', '--as', 'sofia.lind');
    expect(code).toBe(0);
    expect(stdout.split('\n')[1]).toMatch(/^2\S+Z {2}\S+ \d+ +label\.changed +user:workforce\|stefan\.wolf /);
  });

  it('goes through the server, and says so when asked', async () => {
    const { stderr } = await bulkhead('doctor', '--as', 'stefan.wolf', '--verbose');
    expect(stderr).toBe(`Using the server at ${url}.\n`);
  });

  it.concurrent.each([
    ['nobody to act as', ['retrieve', 'x'], {}, 'missing_token'],
    ['an account that is not there', ['retrieve', 'x', '--as', 'nobody'], {}, 'subject_unknown'],
    ['a token that is none', ['retrieve', 'x'], { BULKHEAD_TOKEN: 'abc' }, 'invalid_token'],
    [
      'a level that is not configured',
      ['retrieve', 'x', '--as', 'finn.maier', '--level', 'cosmic'],
      {},
      'unknown_level',
    ],
    [
      'a value out of bounds',
      ['retrieve', 'x', '--as', 'finn.maier', '--limit', '99'],
      {},
      'invalid_request',
    ],
    ['a right that is missing', ['doctor', '--as', 'anna.keller'], {}, 'right_missing'],
    ['a container that is hidden', ['grant', '/board', 'everyone', '--as', 'anna.keller'], {}, 'not_found'],
    [
      'a principal that is unknown',
      ['grant', '/hr', 'group:workforce|hrr', '--as', 'anna.keller'],
      {},
      'unknown_principal',
    ],
    [
      'a server that is not there',
      ['retrieve', 'x', '--as', 'anna.keller', '--server', 'http://127.0.0.1:9'],
      {},
      'server_unreachable',
    ],
    [
      'development accounts in production',
      ['token', 'anna.keller'],
      { NODE_ENV: 'production' },
      'development_only',
    ],
    ['a setting that is wrong', ['token', '--list'], { PORT: 'eighty' }, 'config_invalid'],
    [
      'a tenant of no issuer',
      ['init', '--tenant', 'x', '--issuer', 'y', '--admin', 'z'],
      {},
      'config_invalid',
    ],
    ['reembed under a running server', ['reembed', '--as', 'stefan.wolf'], {}, 'data_folder_locked'],
    ['a second server on the folder', ['serve'], {}, 'data_folder_locked'],
    [
      'a port that is taken',
      ['serve'],
      { BULKHEAD_DATA: 'elsewhere', BULKHEAD_DEMO: 'false' },
      'config_invalid',
    ],
  ])('%s is one line, exit code 1', async (_, args, more: Environment, code) => {
    const elsewhere =
      more.BULKHEAD_DATA === undefined ? {} : { BULKHEAD_DATA: join(folder, more.BULKHEAD_DATA) };
    const finished = await run(args, { ...env, ...more, ...elsewhere });
    expect(finished).toMatchObject({ code: 1, stdout: '' });
    expect(finished.stderr).toMatch(/^bulkhead: [^\n]+ \([a-z_]+\)\n$/);
    expect(finished.stderr).toContain(`(${code})`);
  });
});

describe('when no server runs', () => {
  let answered: readonly Passage[];

  beforeAll(async () => {
    answered = await ask('What are the salary bands for 2027?', 'anna.keller');
    const stopped = server && (await stop(server));
    server = undefined;
    expect(stopped).toMatchObject({ code: 0, stderr: 'Stopping.\n' });
  });

  it('the same command gives the same answer in its own process, and says so when asked', async () => {
    const args = ['What are the salary bands for 2027?', '--as', 'anna.keller', '--json', '--verbose'];
    const { code, stdout, stderr } = await bulkhead('retrieve', ...args);
    expect(code).toBe(0);
    expect((JSON.parse(stdout) as { passages: Passage[] }).passages).toEqual(answered);
    expect(stderr).toMatch(/^No server has the data folder .*; working on it in this process\.\n$/);
  });

  it('an interrupted ingest finishes what was sent and says what is done; others wait their turn', async () => {
    const files = Object.fromEntries(
      Array.from({ length: 300 }, (_, i) => [
        `${i}.txt`,
        `Log entry ${i}: the tide was ${i * 7} millimetres up.`,
      ]),
    );
    const path = await writeFolder('tides', { '.acl.yaml': 'level: public\n', ...files });
    const args = ['ingest', path, '--container', '/tides', '--as', 'stefan.wolf', '--json'];
    const ingest = start(args, env);
    await ingest.said(/"created"/);

    const other = await bulkhead('retrieve', 'tide', '--as', 'anna.keller');
    expect(other).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/does not answer requests.*\(data_folder_locked\)\n$/),
    });
    ingest.child.kill('SIGINT');

    const { code, stdout, stderr } = await ingest.finished;
    const reported = stdout.trimEnd().split('\n').length;
    expect(code).toBe(1);
    expect(stderr).toContain(
      `created ${reported}, replaced 0, unchanged 0, failed 0; interrupted, the rest was not sent`,
    );
    expect(reported).toBeLessThan(300);
    const again = await bulkhead(...args.slice(0, -1));
    expect(again).toMatchObject({
      code: 0,
      stdout: `created ${300 - reported}, replaced 0, unchanged ${reported}, failed 0\n`,
    });
  });

  it('migrate brings the embedded database up to date', async () => {
    expect(await bulkhead('migrate')).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/ is up to date\.\n$/),
    });
  });

  it('audit verify finds the log whole, and says where when it is not', async () => {
    const verify = () => bulkhead('audit', 'verify', '--as', 'sofia.lind');
    expect(await verify()).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^\d+ records in 1 chain: all as they were written\.\n$/),
    });
    const file = join(env.BULKHEAD_DATA ?? '', 'audit-checkpoints.ndjson');
    const lines = (await readFile(file, 'utf8')).trimEnd().split('\n');
    const { seq } = JSON.parse(lines[0] ?? '') as { seq: number };
    await writeFile(
      file,
      `${lines.map((line, i) => (i === 0 ? line.replace(/"seq":\d+/, `"seq":${seq + 1}`) : line)).join('\n')}\n`,
    );
    const broken = await verify();
    expect(broken).toMatchObject({ code: 1, stderr: expect.stringMatching(/\(audit_broken\)\n$/) });
    expect(broken.stdout).toContain(`record ${seq + 1}: bad-signature`);
  });
});
