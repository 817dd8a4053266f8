import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { EmbeddingSpace } from '../../src/index/vector-index.ts';
import { doctor } from '../../src/ingest/doctor.ts';
import { ingestMany, ingestOne } from '../../src/ingest/ingest.ts';
import { rebuild } from '../../src/ingest/rebuild.ts';
import { removeDocument } from '../../src/ingest/remove.ts';
import { chunkId, classId, documentId } from '../../src/policy/ids.ts';
import { alone } from '../../src/store/index-work.ts';
import { collect, markdown, openTestIngest, type TestIngest } from '../helpers/ingest.ts';

let test: TestIngest;
const documents: string[] = [];
beforeAll(async () => {
  test = await openTestIngest();
  const pages = Array.from({ length: 20 }, (_, n) => markdown(`Page ${n}.`, { externalId: `${n}.md` }));
  const results = await collect(ingestMany(test.parts, { authority: test.admin }, pages));
  documents.push(...results.map((result) => result.documentId ?? ''));
});
afterAll(() => test.close());

const optionsOf = () => ({
  ...test,
  space: test.embedder,
  tenants: [test.tenant],
  onProgress: (_done: number, _total: number) => {},
});

function gate(): [Promise<void>, () => void] {
  let open = () => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return [opened, open];
}

async function differences(): Promise<number> {
  let found = 0;
  const { fingerprint } = test.embedder;
  for await (const _ of doctor({ ...test, fingerprint, repair: false })) found += 1;
  return found;
}

const collections = () =>
  test.rows<{ fingerprint: string; live: boolean }>(
    'select fingerprint, live from index_collection order by 1',
  );

describe('rebuilding the index', () => {
  beforeEach(async () => {
    expect(await collections()).toEqual([{ fingerprint: test.embedder.fingerprint, live: true }]);
  });

  it('makes it what the database says, whatever it held before', async () => {
    const before = await test.points();
    await test.index.removeDocument(test.tenant, documentId(documents[3] ?? ''));
    await test.index.moveDocument(test.tenant, documentId(documents[4] ?? ''), classId(4711));
    const progress: string[] = [];
    const passages = await rebuild({
      ...optionsOf(),
      onProgress: (done, total) => progress.push(`${done}/${total}`),
    });
    expect(passages).toEqual(new Map([[test.tenant, before.length]]));
    expect(progress).toEqual([`${before.length}/${before.length}`]);
    expect(await test.points()).toEqual(before);
  });

  it('takes along what is written, replaced, moved and removed while it goes on', async () => {
    const meanwhile = async () => {
      await ingestOne(test.parts, { authority: test.admin }, markdown('New.', { externalId: 'new.md' }));
      await ingestOne(
        test.parts,
        { authority: test.admin },
        markdown('Page 5, new.', { externalId: '5.md' }),
      );
      await ingestOne(
        test.parts,
        { authority: test.admin },
        markdown('Page 6.', {
          externalId: '6.md',
          access: { compartments: [], entries: [], level: 'restricted' },
        }),
      );
      await removeDocument(test.parts, { authority: test.admin }, documentId(documents[7] ?? ''));
    };
    // after the copy of the first page, which holds all that there was
    let happened: Promise<void> | undefined;
    const slow = {
      open: (space: EmbeddingSpace) => test.collections.open(space),
      rebuild: async (space: EmbeddingSpace) => {
        const generation = await test.collections.rebuild(space);
        const upsert = generation.index.upsert.bind(generation.index);
        generation.index.upsert = async (points) => {
          happened ??= meanwhile();
          await happened;
          await upsert(points);
        };
        return generation;
      },
    };
    await rebuild({ ...optionsOf(), collections: slow });
    expect(await differences()).toBe(0);
    const names = new Set((await test.points()).map((point) => point.documentId));
    expect(names.size).toBe(20);
    expect(names.has(documentId(documents[7] ?? ''))).toBe(false);
  });

  it('leaves the live one as it was when it fails, and nothing beside it', async () => {
    const before = await test.points();
    const failing = {
      open: (space: EmbeddingSpace) => test.collections.open(space),
      rebuild: async (space: EmbeddingSpace) => {
        const generation = await test.collections.rebuild(space);
        return { ...generation, swap: () => Promise.reject(new Error('full')) };
      },
    };
    await expect(rebuild({ ...optionsOf(), collections: failing })).rejects.toThrow('full');
    expect(await test.points()).toEqual(before);
  });

  it('starts over where an earlier one was killed', async () => {
    const generation = await test.collections.rebuild(test.embedder);
    await generation.index.upsert([
      {
        chunkId: chunkId(987_654),
        documentId: documentId(documents[0] ?? ''),
        version: 1,
        classId: classId(64),
        tenant: test.tenant,
        embedding: new Float32Array(test.embedder.dimension).fill(0.05),
        terms: { ids: [1], weights: [1] },
      },
    ]);
    expect(await collections()).toHaveLength(2);
    await rebuild(optionsOf());
    expect(await differences()).toBe(0);
  });

  it('is refused while another process is at it, and goes on where that one was killed', async () => {
    const [taken, release] = gate();
    const other = alone(test.database, 'rebuild', () => taken);
    await expect(rebuild(optionsOf())).rejects.toMatchObject({
      code: 'conflict',
      status: 409,
      detail: expect.stringMatching(
        /^The index is being rebuilt already\..* try again in (30|29) seconds\.$/,
      ),
    });
    release();
    await other;
    await test.rows(
      "insert into index_work (holder, kind, held_until) values (gen_random_uuid(), 'reembed', now() - interval '1 second')",
    );
    await rebuild(optionsOf());
    expect(await test.rows('select 1 from index_work')).toEqual([]);
  });

  it('renews what keeps others out for as long as it takes', async () => {
    await alone(
      test.database,
      'reembed',
      async () => {
        await new Promise((resolve) => setTimeout(resolve, 1_000));
        await expect(rebuild(optionsOf())).rejects.toMatchObject({
          detail: expect.stringMatching(/embedded again/),
        });
      },
      { leaseSeconds: 0.5 },
    );
  });

  it('does not swap when another process took its place meanwhile', async () => {
    const before = await test.points();
    const overtaken = {
      open: (space: EmbeddingSpace) => test.collections.open(space),
      rebuild: async (space: EmbeddingSpace) => {
        await test.rows('update index_work set holder = gen_random_uuid()');
        return test.collections.rebuild(space);
      },
    };
    await expect(rebuild({ ...optionsOf(), collections: overtaken })).rejects.toMatchObject({
      code: 'conflict',
    });
    expect(await test.points()).toEqual(before);
    await test.rows('delete from index_work');
  });

  it('is refused while a passage has no embedding of the model', async () => {
    await test.rows(
      'create table kept as select * from chunk_embedding; delete from chunk_embedding where chunk_id = (select min(chunk_id) from chunk_embedding)',
    );
    await expect(rebuild(optionsOf())).rejects.toMatchObject({ code: 'conflict' });
    await test.rows('insert into chunk_embedding select * from kept on conflict do nothing; drop table kept');
  });
});
