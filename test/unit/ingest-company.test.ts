import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadDirectory } from '../../src/dev/load-directory.ts';
import { ingestFolder } from '../../src/ingest/ingest-folder.ts';
import { provisionPeople, provisionRights } from '../../src/ingest/provision.ts';
import type { IngestResult } from '../../src/ingest/submission.ts';
import { instant } from '../../src/policy/ids.ts';
import type { Authority } from '../../src/store/authority.ts';
import { collect, openTestIngest, type TestIngest } from '../helpers/ingest.ts';

const COMPANY = join(import.meta.dirname, '../../fixtures/company');

let test: TestIngest;
let folder: string;
let first: readonly IngestResult[];
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bulkhead-small-'));
  test = await openTestIngest();
  const { database, admin } = test;
  const company = await loadDirectory(join(COMPANY, 'directory.yaml'));
  await provisionPeople(database, admin.context, company, instant(Date.now()));
  first = await load(join(COMPANY, 'documents'), admin);
  await provisionRights(database, admin.context, company);
}, 180_000);
afterAll(async () => {
  await test.close();
  await rm(folder, { recursive: true, force: true });
});

function load(root: string, authority: Authority, onDiffering?: (paths: readonly string[]) => void) {
  return collect(ingestFolder(test.parts, { authority }, root, { source: 'files', onDiffering }));
}

describe('the whole company', () => {
  it('is ingested without a failure, every chunk in the index', async () => {
    expect(first.length).toBe(184);
    expect(first.filter(({ status }) => status !== 'created')).toEqual([]);
    const chunks = first.reduce((sum, result) => sum + (result.chunks ?? 0), 0);
    expect(await test.points()).toHaveLength(chunks);
    expect(test.indexFailures).toEqual([]);
  });

  it('has its containers as their .acl.yaml says', async () => {
    const rows = await test.rows(`
      select c.level, c.compartments, c.inherits, p.path as parent, (
        select json_agg(concat(e.effect, ' ', n.key) order by e.effect) from entry e join principal n on n.id = e.principal_id
        where e.class_id = c.id) as entries
      from access_class c join access_class p on p.id = c.parent_id where c.path = '/legal/heron'`);
    expect(rows).toEqual([
      {
        level: 'restricted',
        compartments: ['heron'],
        inherits: false,
        parent: '/legal',
        entries: ['allow group:workforce|heron-deal-team', 'deny group:workforce|sales'],
      },
    ]);
  });

  it('comes again unchanged, and its containers as they are', async () => {
    const differing: string[] = [];
    const again = await load(join(COMPANY, 'documents'), test.admin, (paths) => differing.push(...paths));
    expect(again.filter(({ status }) => status !== 'unchanged')).toEqual([]);
    expect(differing).toEqual([]);
  });
});

describe('a folder with containers', () => {
  async function put(path: string, text: string): Promise<void> {
    await mkdir(join(folder, path, '..'), { recursive: true });
    await writeFile(join(folder, path), text);
  }
  const containersLike = (path: string) =>
    test.rows(`select path from access_class where path like '${path}%'`);

  it('that its submitter may not make gets none, hidden and missing alike', async () => {
    await put('handbook/new.md', 'x');
    await put('nowhere/new.md', 'x');
    const petra = await test.as('user:workforce|petra.fuchs');
    const results = await load(folder, petra);
    const codes = results.map(({ externalId, error }) => [externalId, error?.code, error?.detail]);
    expect(new Set(codes.map(([, code, detail]) => `${code} ${detail}`)).size).toBe(1);
    expect(codes.map(([name]) => name)).toEqual(
      expect.arrayContaining(['/handbook', '/nowhere', 'handbook/new.md', 'nowhere/new.md']),
    );
    expect(await containersLike('/nowhere')).toEqual([]);
    await rm(join(folder, 'handbook'), { recursive: true });
    await rm(join(folder, 'nowhere'), { recursive: true });
  });

  it('of an unknown principal or level makes neither container nor document', async () => {
    await put('bad1/.acl.yaml', 'entries: [{ allow: "group:workforce|nobody" }]');
    await put('bad1/sub/a.md', 'x');
    await put('bad2/.acl.yaml', 'level: cosmic');
    const results = await load(folder, test.admin);
    expect(results.map(({ externalId, error }) => [externalId, error?.code])).toEqual([
      ['/bad1', 'unknown_principal'],
      ['/bad1/sub', 'unknown_container'],
      ['/bad2', 'unknown_level'],
      ['bad1/sub/a.md', 'unknown_container'],
    ]);
    expect(await containersLike('/bad')).toEqual([]);
    await rm(join(folder, 'bad1'), { recursive: true });
    await rm(join(folder, 'bad2'), { recursive: true });
  });

  it('does not let its submitter allow themselves', async () => {
    await put('mine/.acl.yaml', 'entries: [{ allow: "user:workforce|root" }]');
    expect(await load(folder, test.admin)).toMatchObject([
      { externalId: '/mine', error: { code: 'separation_of_duties' } },
    ]);
    await rm(join(folder, 'mine'), { recursive: true });
  });

  it('leaves those that are there as they are, and says which differ', async () => {
    await put('handbook/.acl.yaml', 'level: restricted');
    const differing: string[] = [];
    await load(folder, test.admin, (paths) => differing.push(...paths));
    expect(differing).toEqual(['/handbook']);
    const rows = await test.rows<{ level: string }>(
      "select level from access_class where path = '/handbook'",
    );
    expect(rows[0]?.level).not.toBe('restricted');
  });
});
