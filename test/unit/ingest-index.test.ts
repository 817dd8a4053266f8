import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BulkheadError } from '../../src/errors.ts';
import { type Difference, doctor } from '../../src/ingest/doctor.ts';
import { Indexer } from '../../src/ingest/indexer.ts';
import { ingestOne } from '../../src/ingest/ingest.ts';
import { reembed } from '../../src/ingest/reembed.ts';
import type { IngestParts, Submission } from '../../src/ingest/submission.ts';
import { chunkId, classId, type DocumentId, documentId } from '../../src/policy/ids.ts';
import { markdown, openTestIngest, type TestIngest } from '../helpers/ingest.ts';

let test: TestIngest;
let serial = 0;
beforeAll(async () => {
  test = await openTestIngest();
});
afterAll(() => test.close());

const submit = (submission: Submission, parts: IngestParts = test.parts) =>
  ingestOne(parts, { authority: test.admin }, submission);

async function add(text: string, level?: string): Promise<DocumentId> {
  serial += 1;
  const result = await submit(
    markdown(text, {
      externalId: `${serial}.md`,
      access: { compartments: [], entries: [], ...(level !== undefined && { level }) },
    }),
  );
  if (result.documentId === undefined) throw new Error(JSON.stringify(result.error));
  return result.documentId;
}

const pointsOf = async (document: DocumentId) =>
  (await test.points()).filter((point) => point.documentId === document);

async function diagnose(repair = false): Promise<readonly Difference[]> {
  const found: Difference[] = [];
  const { fingerprint } = test.embedder;
  for await (const difference of doctor({ ...test, fingerprint, repair })) found.push(difference);
  return found;
}

describe('an index that fails', () => {
  const broken = (error: Error = new BulkheadError('index_unavailable', 'Down.')) => {
    const failures: string[] = [];
    const index = {
      ...test.index,
      upsert: () => Promise.reject(error),
      moveDocument: () => Promise.reject(new Error('down')),
      removeDocument: () => Promise.reject(new Error('down')),
    };
    const indexer = new Indexer({
      database: test.database,
      index,
      fingerprint: test.embedder.fingerprint,
      onFailure: (_, error) => failures.push(error.code),
    });
    return { failures, indexer };
  };

  it('leaves a document stored, its result saying so, until it answers again', async () => {
    const { failures, indexer } = broken();
    const result = await submit(markdown('Later.', { externalId: 'later.md' }), { ...test.parts, indexer });
    expect(result).toMatchObject({ status: 'failed', error: { code: 'index_unavailable' } });
    expect(failures).toEqual(['index_unavailable']);
    const document = documentId(result.documentId ?? '');
    expect(await test.rows(`select version from document where id = '${document}'`)).toEqual([
      { version: 0 },
    ]);
    await test.indexer.takeOver();
    expect(await pointsOf(document)).toHaveLength(1);
  });

  const rowOf = async (document: string | undefined) =>
    (
      await test.rows<{ attempts: number; last_error: string; wait: number | null; dead: boolean }>(
        `select attempts, last_error, not_before = 'infinity' as dead,
          case when not_before <> 'infinity' then extract(epoch from not_before - now())::float end as wait
         from outbox where document_id = '${document}'`,
      )
    )[0];
  const failTenTimes = async (indexer: Indexer, document: string | undefined) => {
    for (let attempt = 2; attempt <= 10; attempt += 1) {
      await indexer.drain();
      const row = await rowOf(document);
      expect(row?.attempts).toBe(attempt - 1);
      const longest = 2 ** (attempt - 2);
      expect(row?.wait).toBeGreaterThan(longest / 2 - 1);
      expect(row?.wait).toBeLessThanOrEqual(longest);
      await test.rows('update outbox set not_before = now()');
      await indexer.drain();
    }
  };

  it('over one document is asked again later and later, without the error’s values, and after ten times no more', async () => {
    const { indexer } = broken(new Error('down at 10.0.0.7'));
    const result = await submit(markdown('Never.', { externalId: 'never.md' }), { ...test.parts, indexer });
    expect(await rowOf(result.documentId)).toMatchObject({
      attempts: 1,
      last_error: 'internal',
      dead: false,
    });
    await failTenTimes(indexer, result.documentId);
    expect(await rowOf(result.documentId)).toMatchObject({ attempts: 10, dead: true });
    await indexer.drain();
    expect((await rowOf(result.documentId))?.attempts).toBe(10);
    const again = await submit(markdown('Now.', { externalId: 'never.md' }));
    expect(again).toMatchObject({ status: 'replaced', version: 2 });
    expect(await pointsOf(documentId(again.documentId ?? ''))).toMatchObject([{ version: 2 }]);
  });

  it('because it is away is asked for ever: a long outage loses nothing', async () => {
    const { indexer } = broken();
    const result = await submit(markdown('Long.', { externalId: 'long.md' }), { ...test.parts, indexer });
    await failTenTimes(indexer, result.documentId);
    expect(await rowOf(result.documentId)).toMatchObject({ attempts: 10, dead: false });
    expect(await test.rows('select document::text, attempts, last_error from dead_letter')).toEqual([
      { document: result.documentId, attempts: 10, last_error: 'index_unavailable' },
    ]);
    await test.rows('update outbox set not_before = now()');
    await test.indexer.drain();
    expect(await pointsOf(documentId(result.documentId ?? ''))).toHaveLength(1);
  });

  it('because it is away puts the rest of a round off after two documents', async () => {
    const documents = [await add('A.'), await add('B.'), await add('C.'), await add('D.')];
    await test.rows(`insert into outbox (tenant_id, document_id, operation) values
      ${documents.map((id) => `(${test.tenant}, '${id}', 'publish')`).join(', ')}`);
    let calls = 0;
    const indexer = new Indexer({
      database: test.database,
      index: {
        ...test.index,
        upsert: () => {
          calls += 1;
          return Promise.reject(new BulkheadError('index_unavailable', 'Down.'));
        },
      } as unknown as TestIngest['index'],
      fingerprint: test.embedder.fingerprint,
      onFailure: () => {},
    });
    await indexer.drain();
    expect(calls).toBe(3);
    expect(await test.rows('select distinct attempts, last_error, lease from outbox')).toEqual([
      { attempts: 1, last_error: 'index_unavailable', lease: null },
    ]);
    await test.indexer.takeOver();
  });

  it('for one document stops no other', async () => {
    const bad = await add('Bad.');
    const good = await add('Good.');
    const failures: string[] = [];
    const indexer = new Indexer({
      database: test.database,
      index: {
        upsert: (points) => test.index.upsert(points),
        removeDocument: (tenant, document) => test.index.removeDocument(tenant, document),
        moveDocument: (tenant, document, cls) =>
          document === bad
            ? Promise.reject(new Error('bad'))
            : test.index.moveDocument(tenant, document, cls),
      },
      fingerprint: test.embedder.fingerprint,
      onFailure: (document) => failures.push(document),
    });
    await test.rows(`insert into outbox (tenant_id, document_id, operation) values
      (${test.tenant}, '${bad}', 'move'), (${test.tenant}, '${good}', 'move')`);
    await indexer.drain();
    expect(failures).toEqual([bad]);
    expect(await test.rows('select document_id from outbox')).toEqual([{ document_id: bad }]);
    await test.indexer.takeOver();
  });
});

describe('the doctor', () => {
  it('finds nothing where index and Postgres agree', async () => {
    await add('Healthy.');
    expect(await diagnose()).toEqual([]);
  });

  it('finds and mends each kind of difference', async () => {
    const missing = await add('Missing.');
    const moved = await add('Moved.');
    const stale = await add('Stale.');
    const older = await add('Older.');
    const [movedPoint] = await pointsOf(moved);
    const [stalePoint] = await pointsOf(stale);
    const orphan = documentId('00000000-0000-4000-8000-000000000001');
    const point = (of: DocumentId, chunk: number, version: number) => ({
      chunkId: chunkId(chunk),
      documentId: of,
      version,
      classId: movedPoint?.classId ?? classId(0),
      tenant: test.tenant,
      embedding: new Float32Array(test.embedder.dimension).fill(0.05),
      terms: { ids: [1], weights: [1] },
    });
    await test.index.removeDocument(test.tenant, missing);
    await test.index.moveDocument(test.tenant, moved, classId(999_999));
    await test.index.upsert([
      point(stale, stalePoint?.chunkId ?? 0, 7),
      point(stale, 800_000, 1),
      point(older, 850_000, 3),
      point(orphan, 900_000, 1),
    ]);
    const kinds = (await diagnose()).map(({ kind, document }) => [kind, document]);
    expect(kinds).toEqual([
      ['missing', missing],
      ['wrong-class', moved],
      ['stale-version', stale],
      ['orphan', stale],
      ['stale-version', older],
      ['orphan', orphan],
    ]);
    expect(await diagnose(true)).toHaveLength(6);
    expect(await diagnose()).toEqual([]);
    expect(await pointsOf(stale)).toHaveLength(1);
  });

  it('leaves documents alone that the outbox still names', async () => {
    const document = await add('Lagging.');
    await test.index.removeDocument(test.tenant, document);
    await test.rows(`insert into outbox (tenant_id, document_id, operation)
      values (${test.tenant}, '${document}', 'publish')`);
    expect(await diagnose(true)).toEqual([]);
    await test.indexer.drain();
    expect(await pointsOf(document)).toHaveLength(1);
  });
});

describe('re-embedding', () => {
  it('fills a second collection, masked as the first, and switches to it; broken off, it goes on', async () => {
    const text = 'Write to anna.keller@meridian.example about it.';
    const masked = await add(text, 'restricted');
    for (let n = 0; n < 40; n += 1) await add(`Page ${n}.`);
    const seen: string[] = [];
    let budget = 1;
    const embedder = {
      fingerprint: 'f'.repeat(64),
      dimension: test.embedder.dimension,
      embedPassages: async (texts: readonly string[]) => {
        budget -= 1 / 64;
        if (budget < 0) throw new BulkheadError('embedding_unavailable', 'Broken off.');
        seen.push(...texts);
        return test.embedder.embedPassages(texts);
      },
    };
    const progress: number[] = [];
    const options = {
      ...test,
      scheme: test.parts.scheme,
      embedder,
      redaction: test.parts.redaction,
      tenants: [test.admin.context],
      onProgress: ({ left }: { left: number }) => progress.push(left),
    };
    budget = 0.55;
    await expect(reembed(options)).rejects.toMatchObject({ code: 'embedding_unavailable' });
    expect(await test.rows('select fingerprint from index_collection where live')).toEqual([
      { fingerprint: test.embedder.fingerprint },
    ]);
    budget = Number.POSITIVE_INFINITY;
    await expect(reembed({ ...options, tenants: [] })).rejects.toMatchObject({ code: 'conflict' });
    expect(await test.rows('select fingerprint from index_collection where live')).toEqual([
      { fingerprint: test.embedder.fingerprint },
    ]);
    await reembed(options);
    expect(progress.at(-1)).toBe(0);
    const live = await test.rows('select fingerprint from index_collection where live');
    expect(live).toEqual([{ fingerprint: embedder.fingerprint }]);
    const target = await test.collections.open(embedder);
    expect(await target.listPoints(test.tenant, undefined, 10_000)).toEqual(await test.points());
    expect(seen.some((one) => one.includes('anna.keller'))).toBe(false);
    const vectors = await test.rows<{ embedding: Uint8Array; terms: number[] }>(`
      select e.embedding, e.terms from chunk_embedding e join chunk c on c.id = e.chunk_id
      where c.document_id = '${masked}'`);
    expect(vectors[0]?.terms).toEqual(vectors[1]?.terms);
    await test.collections.switchTo(test.embedder.fingerprint);
  });
});
