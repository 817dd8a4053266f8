import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readFolder } from '../../src/ingest/sources/folder.ts';
import type { Submission, Unreadable } from '../../src/ingest/submission.ts';

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'bulkhead-folder-'));
});
afterEach(() => rm(root, { recursive: true, force: true }));

async function put(path: string, text: string | Uint8Array = 'Some text.'): Promise<void> {
  await mkdir(dirname(join(root, path)), { recursive: true });
  await writeFile(join(root, path), text);
}

async function read(options = {}): Promise<readonly (Submission | Unreadable)[]> {
  const items = [];
  for await (const item of (await readFolder(root, options)).documents()) items.push(item);
  return items;
}

const isSubmission = (item: Submission | Unreadable): item is Submission => 'bytes' in item;
const text = (item: Submission) => new TextDecoder().decode(item.bytes);

describe('folders', () => {
  it('become containers, parents first, with what their .acl.yaml says', async () => {
    await put('.acl.yaml', 'level: public');
    await put('hr/payroll/.acl.yaml', 'level: confidential\ncompartments: [payroll]\ninherits: false');
    await put('hr/notes.md');
    const { containers } = await readFolder(root);
    expect(containers.map(({ path }) => path)).toEqual(['/', '/hr', '/hr/payroll']);
    expect(containers[0]?.access).toMatchObject({ level: 'public' });
    expect(containers[1]?.access).toBeUndefined();
    expect(containers[2]?.access).toMatchObject({ compartments: ['payroll'], inherits: false });
  });

  it('with an .acl.yaml that cannot be read are left out, with all below them', async () => {
    await put('hr/.acl.yaml', 'levle: confidential');
    await put('hr/payroll/run.md');
    await put('open/hello.md');
    const { containers, unreadable } = await readFolder(root);
    expect(containers.map(({ path }) => path)).toEqual(['/', '/open']);
    expect(unreadable).toMatchObject([{ externalId: 'hr/.acl.yaml', unreadable: { code: 'unparsable' } }]);
    expect((await read()).map(({ externalId }) => externalId)).toEqual(['open/hello.md']);
  });

  it('that do not exist are an error', async () => {
    await expect(readFolder(join(root, 'nowhere'))).rejects.toMatchObject({ code: 'unreadable_file' });
  });
});

describe('files', () => {
  it('become documents under their path, in the container of their folder', async () => {
    await put('hr/notes.md', '# Notes');
    const [item] = await read({ source: 'share', batch: 'b1' });
    expect(item).toMatchObject({
      source: 'share',
      container: '/hr',
      externalId: 'hr/notes.md',
      name: 'notes.md',
      mediaType: 'text/markdown',
      batch: 'b1',
    });
  });

  it('that begin with a dot are passed over', async () => {
    await put('.git/config');
    await put('.env');
    await put('a.txt');
    expect((await read()).map(({ externalId }) => externalId)).toEqual(['a.txt']);
  });

  it('carry what their sidecar says', async () => {
    await put('a.md');
    await put('a.md.acl.yaml', 'level: restricted');
    const items = await read();
    expect(items).toHaveLength(1);
    expect(items[0]).toMatchObject({ externalId: 'a.md', sidecar: { level: 'restricted' } });
  });

  it('with a sidecar that cannot be read are not taken', async () => {
    await put('a.md');
    await put('a.md.acl.yaml', 'level: [');
    expect(await read()).toMatchObject([{ externalId: 'a.md', unreadable: { code: 'unparsable' } }]);
  });

  it('of an unknown type are a failure of their own', async () => {
    await put('a.pdf');
    await put('b.md');
    const items = await read();
    expect(items[0]).toMatchObject({ unreadable: { code: 'unsupported_media_type' } });
    expect(items[1]).toMatchObject({ externalId: 'b.md' });
  });

  it('that may not be read are a failure of their own', async () => {
    await put('a.md');
    await chmod(join(root, 'a.md'), 0o000);
    await put('b.md');
    const items = await read();
    if (process.getuid?.() !== 0) expect(items[0]).toMatchObject({ unreadable: { code: 'unreadable_file' } });
    expect(items).toHaveLength(2);
  });

  it('that are too long are refused', async () => {
    await put('a.md', 'x'.repeat(100));
    expect(await read({ maxBytes: 99 })).toMatchObject([{ unreadable: { code: 'payload_too_large' } }]);
  });

  it('that are links are refused, wherever they lead', async () => {
    await put('secret/plan.md');
    await symlink(join(root, 'secret/plan.md'), join(root, 'plan.md'));
    await symlink('/etc/passwd', join(root, 'passwd.txt'));
    await symlink('/etc', join(root, 'etc'));
    const items = await read();
    expect(items.filter(isSubmission).map(({ externalId }) => externalId)).toEqual(['secret/plan.md']);
    expect(items.filter((item) => !isSubmission(item))).toHaveLength(3);
    expect(items.find(({ externalId }) => externalId === 'plan.md')).toMatchObject({
      unreadable: { code: 'unreadable_file' },
    });
  });
});

describe('files of many', () => {
  it('give a document a row, with the sidecar for all of them', async () => {
    await put(
      'o.jsonl',
      '{"id":"O-1","title":"One","text":"First.","level":"internal","date":"2026-07-06"}\n',
    );
    await put('o.jsonl.acl.yaml', 'level: confidential');
    const [item] = await read();
    expect(item).toMatchObject({
      externalId: 'o.jsonl#O-1',
      mediaType: 'text/plain',
      title: 'One',
      date: Date.UTC(2026, 6, 6),
      access: { level: 'internal' },
      sidecar: { level: 'confidential' },
      line: 1,
    });
    expect(item && isSubmission(item) && text(item)).toBe('First.');
  });

  it('fail row by row, with the line', async () => {
    await put(
      'o.jsonl',
      '{"id":"A","text":"x"}\nnot json\n{"id":"B","text":"y","level":7}\n{"id":"C","text":"z"}',
    );
    const items = await read();
    expect(items.map((item) => [item.externalId, isSubmission(item), item.line])).toEqual([
      ['o.jsonl#A', true, 1],
      ['o.jsonl#line-2', false, 2],
      ['o.jsonl#B', false, 3],
      ['o.jsonl#C', true, 4],
    ]);
  });

  it('that are binary fail as a whole', async () => {
    await put('o.csv', new Uint8Array([105, 100, 0, 10]));
    expect(await read()).toMatchObject([{ externalId: 'o.csv', unreadable: { code: 'binary_content' } }]);
  });
});
