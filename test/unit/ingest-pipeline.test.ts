import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ingestMany, ingestOne } from '../../src/ingest/ingest.ts';
import type { AccessFields } from '../../src/ingest/parsers/access-fields.ts';
import { removeDocument } from '../../src/ingest/remove.ts';
import type { IngestParts, IngestResult, Submission } from '../../src/ingest/submission.ts';
import { type DocumentId, documentId } from '../../src/policy/ids.ts';
import type { Authority } from '../../src/store/authority.ts';
import { Directory } from '../../src/store/directory.ts';
import { addAccounts, collect, markdown, openTestIngest, type TestIngest } from '../helpers/ingest.ts';

let test: TestIngest;
/** Holds `ingest` on /team, and nothing else. */
let writer: Authority;
let id = '';
let serial = 0;

beforeAll(async () => {
  test = await openTestIngest();
  await addAccounts(test, 'writer', 'stranger');
  const { database, admin } = test;
  for (const path of ['/team', '/other'])
    await database.unitOfWork('admin', admin.context, async (trx) => {
      await sql`select bulkhead.create_container(bulkhead.ctx_root(), ${path}, true, 'internal', '{}', '[]')`.execute(
        trx,
      );
    });
  await Directory.as(database, admin.context).bindRight([
    { principal: 'user:workforce|writer', container: '/team', right: 'ingest' },
  ]);
  writer = await test.as('user:workforce|writer');
});
afterAll(() => test.close());
beforeEach(() => {
  serial += 1;
  id = `${serial}.md`;
});

const bytes = (text: string) => new TextEncoder().encode(text);
const asWriter = (submission: Submission) => ingestOne(test.parts, { authority: writer }, submission);
const asAdmin = (submission: Submission) => ingestOne(test.parts, { authority: test.admin }, submission);
const team = (text: string, changes: Partial<Submission> = {}) =>
  markdown(text, { container: '/team', externalId: id, ...changes });
const fields = (given: Partial<AccessFields>): AccessFields => ({ compartments: [], entries: [], ...given });
const failure = (code: string) => ({ status: 'failed', error: { code } });

async function row<T>(statement: string): Promise<T> {
  return (await test.rows<T>(statement))[0] as T;
}
const pointsOf = async (document: DocumentId | undefined) =>
  (await test.points()).filter((point) => point.documentId === document);

describe('a document', () => {
  it('is created, and is live and in the index when its result comes', async () => {
    const result = await asWriter(team('# Tides\n\nHigh water comes twice a day.', { batch: 'b-1' }));
    expect(result).toMatchObject({ externalId: id, status: 'created', version: 1, chunks: 1 });
    expect(await pointsOf(result.documentId)).toMatchObject([{ version: 1 }]);
    const stored = await row<Record<string, unknown>>(`
      select d.version, d.chunk_count, d.title, v.batch, v.parser, v.fingerprint = '${test.embedder.fingerprint}' as model,
        (select count(*) from outbox) as outbox
      from document d join document_version v on v.document_id = d.id where d.id = '${result.documentId}'`);
    expect(stored).toEqual({
      version: 1,
      chunk_count: 1,
      title: 'Tides',
      batch: 'b-1',
      parser: 'markdown@1',
      model: true,
      outbox: 0,
    });
  });

  it('is replaced when it comes again with another content, and nothing of the old version stays', async () => {
    const first = await asWriter(team('The old harbour gauge.'));
    const second = await asWriter(team('The new harbour gauge.'));
    expect(second).toMatchObject({ status: 'replaced', documentId: first.documentId, version: 2 });
    expect(await pointsOf(first.documentId)).toMatchObject([{ version: 2 }]);
    const texts = await test.rows<{ text: string }>(
      `select text from chunk where document_id = '${first.documentId}'`,
    );
    expect(texts).toEqual([{ text: 'The new harbour gauge.' }]);
  });

  it('is unchanged when it comes again as it was: nothing is embedded and nothing written', async () => {
    const submission = team('---\nlevel: confidential\n---\nThe same.', {
      access: fields({ compartments: ['legal'], entries: [{ principal: 'everyone', effect: 'deny' }] }),
    });
    const first = await asWriter(submission);
    let embedded = 0;
    const embedder = {
      ...test.embedder,
      fingerprint: test.embedder.fingerprint,
      maxTokens: test.embedder.maxTokens,
      countTokens: (texts: readonly string[]) => test.embedder.countTokens(texts),
      embedPassages: (texts: readonly string[]) => {
        embedded += texts.length;
        return test.embedder.embedPassages(texts);
      },
    };
    const parts: IngestParts = { ...test.parts, embedder };
    const before = await row('select count(*) from audit_record');
    const second = await ingestOne(parts, { authority: writer }, submission);
    expect(second).toMatchObject({ status: 'unchanged', documentId: first.documentId });
    expect(embedded).toBe(0);
    expect(await row('select count(*) from audit_record')).toEqual(before);
  });

  it('is relabelled when only its access changes: its class moves, in the index too', async () => {
    const first = await asWriter(team('A quiet page.'));
    const second = await asWriter(team('A quiet page.', { access: fields({ level: 'confidential' }) }));
    expect(second).toMatchObject({ status: 'relabelled', documentId: first.documentId });
    const { class_id } = await row<{ class_id: number }>(
      `select class_id from document where id = '${first.documentId}'`,
    );
    expect(await pointsOf(first.documentId)).toMatchObject([{ version: 1, classId: class_id }]);
    expect(await row(`select level from access_class where id = ${class_id}`)).toEqual({
      level: 'confidential',
    });
  });

  it('is replaced, not relabelled, when its new level masks other kinds', async () => {
    const text = 'Write to anna.keller@meridian.example about it.';
    const first = await asWriter(team(text));
    const second = await asWriter(team(text, { access: fields({ level: 'restricted' }) }));
    expect(second).toMatchObject({ status: 'replaced', documentId: first.documentId, version: 2 });
  });

  it('that shares its access with another shares its class', async () => {
    const access = fields({ level: 'restricted', compartments: ['board', 'heron'] });
    const twisted = fields({ level: 'restricted', compartments: ['heron', 'board'] });
    const one = await asWriter(team('One.', { externalId: `${id}-1`, access }));
    const two = await asWriter(team('Two.', { externalId: `${id}-2`, access: twisted }));
    const classes = await test.rows(
      `select distinct class_id from document where id in ('${one.documentId}', '${two.documentId}')`,
    );
    expect(classes).toHaveLength(1);
  });

  it('without access of its own sits in its container’s class', async () => {
    const { documentId: document } = await asWriter(team('Plain.'));
    expect(
      await row(`select class_id = container_id as same from document where id = '${document}'`),
    ).toEqual({
      same: true,
    });
  });

  it('keeps front matter tightening what the request says', async () => {
    const { documentId: document } = await asWriter(
      team('---\nlevel: restricted\ndate: 2026-11-16\n---\nText.', { access: fields({ level: 'internal' }) }),
    );
    const stored = await row(`select c.level, extract(epoch from d.content_date)::int as date
      from document d join access_class c on c.id = d.class_id where d.id = '${document}'`);
    expect(stored).toEqual({ level: 'restricted', date: Date.UTC(2026, 10, 16) / 1000 });
  });

  it('keeps its text as it is, while what is always masked is in neither vector nor terms', async () => {
    const card = 'Card 4111 1111 1111 1111 was charged.';
    const masked = await asWriter(team(card, { title: 'Charge', externalId: `${id}-1` }));
    const bare = await asWriter(team('Card [card] was charged.', { title: 'Charge', externalId: `${id}-2` }));
    const vectors = await test.rows<{ text: string; embedding: Uint8Array; terms: number[] }>(`
      select c.text, e.embedding, e.terms from chunk c join chunk_embedding e on e.chunk_id = c.id
      where c.document_id in ('${masked.documentId}', '${bare.documentId}') order by c.id`);
    expect(vectors[0]?.text).toBe(card);
    expect(vectors[0]?.terms).toEqual(vectors[1]?.terms);
    expect(vectors[0]?.embedding).toEqual(vectors[1]?.embedding);
  });
});

describe('a refused document', () => {
  it.each([
    ['a NUL byte', bytes('abc\0def'), 'binary_content'],
    ['a PNG called Markdown', Uint8Array.from([0x89, 0x50, 0x4e, 0x47, 13, 10, 26, 10]), 'binary_content'],
    ['invalid UTF-8', Uint8Array.from([0x61, 0xff, 0x62]), 'invalid_encoding'],
    ['nothing', new Uint8Array(), 'empty_document'],
    ['front matter that never ends', bytes('---\nlevel: public\ntext'), 'unparsable'],
    ['an unknown level', bytes('---\nlevel: cosmic\n---\nx'), 'unknown_level'],
    ['an unknown compartment', bytes('---\ncompartments: [cosmic]\n---\nx'), 'unknown_compartment'],
    [
      'an unknown principal',
      bytes('---\nentries: [{deny: "user:workforce|nobody"}]\n---\nx'),
      'unknown_principal',
    ],
    ['an allow without the right', bytes('---\nentries: [{allow: "everyone"}]\n---\nx'), 'label_too_wide'],
  ])('with %s fails with its own code and leaves nothing', async (_, content, code) => {
    expect(await asWriter(team('', { bytes: content }))).toMatchObject(failure(code));
    expect(await test.rows(`select 1 from document where external_id = '${id}'`)).toEqual([]);
  });

  it('of an unknown principal makes no principal', async () => {
    await asWriter(team('---\nentries: [{deny: "user:workforce|ghost"}]\n---\nx'));
    expect(await test.rows("select 1 from principal where key like '%ghost'")).toEqual([]);
  });

  it('of a container that is missing or not the submitter’s fails alike', async () => {
    const missing = await asWriter(team('x', { container: '/nowhere' }));
    const hidden = await asWriter(team('x', { container: '/other' }));
    expect(missing).toMatchObject(failure('unknown_container'));
    expect(hidden).toEqual(missing);
  });

  it('with a control character in its name is refused', async () => {
    expect(await asWriter(team('x', { externalId: 'a\0b' }))).toMatchObject(failure('invalid_request'));
  });

  it('keeps the version before it', async () => {
    const first = await asWriter(team('Good.'));
    expect(await asWriter(team('', { bytes: bytes('bad\0') }))).toMatchObject(failure('binary_content'));
    expect(await pointsOf(first.documentId)).toHaveLength(1);
  });
});

describe('a document that comes again', () => {
  it('may not have its level lowered by who has no right to label', async () => {
    await asAdmin(team('Text.', { access: fields({ level: 'restricted' }) }));
    expect(await asWriter(team('Text.', { access: fields({ level: 'internal' }) }))).toMatchObject(
      failure('label_too_wide'),
    );
    expect(await asWriter(team('Other text.'))).toMatchObject({ status: 'replaced' });
    const kept = await row(
      `select c.level from document d join access_class c on c.id = d.class_id where external_id = '${id}'`,
    );
    expect(kept).toEqual({ level: 'restricted' });
  });

  it('in another container is another document', async () => {
    const one = await asAdmin(team('Text.'));
    const two = await asAdmin(team('Text.', { container: '/other' }));
    expect(two).toMatchObject({ status: 'created' });
    expect(two.documentId).not.toBe(one.documentId);
  });

  it('while another ingestion of it is under way ends as one document', async () => {
    const results = await Promise.all(['A.', 'B.', 'C.'].map((text) => asWriter(team(text))));
    expect(results.map(({ status }) => status).sort()).toEqual(['created', 'replaced', 'replaced']);
    expect(new Set(results.map((result) => result.documentId)).size).toBe(1);
    expect(await pointsOf(results[0]?.documentId)).toMatchObject([{ version: 3 }]);
  });
});

describe('many documents', () => {
  it('each come to their own result, good and bad', async () => {
    const good = (n: number) => team(`Document ${n}.`, { externalId: `${id}-${n}` });
    const results = await collect(
      ingestMany(test.parts, { authority: writer }, [
        good(1),
        team('x', { externalId: `${id}-bad`, bytes: bytes('\0') }),
        good(2),
        good(1),
        team('Document 1, again.', { externalId: `${id}-1` }),
        team('x', { externalId: `${id}-lost`, container: '/nowhere' }),
      ]),
    );
    const statuses = results.map(({ externalId, status }: IngestResult) => [externalId, status]);
    expect(statuses.sort()).toEqual(
      [
        [`${id}-1`, 'created'],
        [`${id}-1`, 'unchanged'],
        [`${id}-1`, 'replaced'],
        [`${id}-2`, 'created'],
        [`${id}-bad`, 'failed'],
        [`${id}-lost`, 'failed'],
      ].sort(),
    );
  });

  it('are read no faster than results are taken', async () => {
    let read = 0;
    function* endless() {
      for (;;) {
        read += 1;
        yield team(`Document ${read}.`, { externalId: `${id}-${read}` });
      }
    }
    const results = ingestMany(test.parts, { authority: writer }, endless());
    for (let n = 0; n < 5; n += 1) await results.next();
    await results.return(undefined);
    expect(read).toBeLessThan(300);
  });
});

describe('a batch with one document several times', () => {
  const thrice = () => ['A.', 'B.', 'C.'].map((text) => team(text));

  it('ends when its reader leaves', async () => {
    for await (const _ of ingestMany(test.parts, { authority: writer }, thrice())) break;
    expect(await asWriter(team('D.'))).toMatchObject({ documentId: expect.any(String) });
  });

  it('ends with the error when the database is gone', async () => {
    const indexer = {
      ...test.parts.indexer,
      drain: async () => {},
      pending: () => Promise.reject(new Error('gone')),
    };
    const results = ingestMany({ ...test.parts, indexer }, { authority: writer }, thrice());
    await expect(collect(results)).rejects.toThrow('gone');
    await test.indexer.drain();
  });
});

describe('removing', () => {
  it('takes the document, its chunks and its points away', async () => {
    const { documentId: document } = await asWriter(team('Gone soon.'));
    if (document === undefined) throw new Error('not created');
    await removeDocument(test.parts, { authority: writer }, document);
    expect(await pointsOf(document)).toEqual([]);
    expect(await row(`select count(*)::int as n from chunk where document_id = '${document}'`)).toEqual({
      n: 0,
    });
  });

  it('of a missing and of a hidden document fails alike', async () => {
    const { documentId: hidden } = await asAdmin(team('Hidden.', { container: '/other' }));
    const missing = documentId('00000000-0000-4000-8000-000000000000');
    const errors = [];
    for (const document of [hidden ?? missing, missing])
      errors.push(await removeDocument(test.parts, { authority: writer }, document).catch((error) => error));
    expect(errors[0]).toMatchObject({ code: 'not_found' });
    expect(errors[0].detail).toBe(errors[1].detail);
    expect(await pointsOf(hidden)).toHaveLength(1);
  });
});

describe('the audit log', () => {
  it('tells of each change in the change’s own transaction', async () => {
    const before = await row<{ n: number }>('select count(*)::int as n from audit_record');
    const { documentId: document } = await asWriter(team('Audited.'));
    await asWriter(team('Audited.', { access: fields({ level: 'confidential' }) }));
    if (document !== undefined) await removeDocument(test.parts, { authority: writer }, document);
    const records = await test.rows<{ kind: string; body: string }>(
      `select kind, body from audit_record order by seq offset ${before.n}`,
    );
    expect(records.map(({ kind }) => kind)).toEqual([
      'document.written',
      'document.moved',
      'document.deleted',
    ]);
    expect(JSON.parse(records[0]?.body ?? '')).toMatchObject({
      subject: 'user:workforce|writer',
      document,
      container: '/team',
      version: 1,
    });
  });

  it('that cannot be written lets nothing be written', async () => {
    const audit = { appendWithin: () => Promise.reject(new Error('disk full')) };
    const result = await ingestOne({ ...test.parts, audit }, { authority: writer }, team('Unaudited.'));
    expect(result).toMatchObject({ status: 'failed' });
    expect(await test.rows(`select 1 from document where external_id = '${id}'`)).toEqual([]);
  });
});
