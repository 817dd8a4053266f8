import { setImmediate as breathe } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openFileKeyService } from '../../src/crypto/file-key-service.ts';
import { doctor } from '../../src/ingest/doctor.ts';
import { reembed } from '../../src/ingest/reembed.ts';
import { Resealer } from '../../src/ingest/reseal.ts';
import { type Rotation, rotateKeys } from '../../src/ingest/rotate-keys.ts';
import { DataKeys } from '../../src/store/data-keys.ts';
import { SealingWork } from '../../src/store/sealing-work.ts';
import { openTestEncryption, sealerAs, type TestEncryption } from '../helpers/encryption.ts';
import { TEST_SCHEME } from '../helpers/tenant.ts';

const ENCRYPTED = ['confidential', 'restricted'];
const TOWNS = ['Brest', 'Kiel', 'Genoa', 'Odessa', 'Bergen', 'Split', 'Varna', 'Ghent'];

let place: TestEncryption;
beforeAll(async () => {
  place = await openTestEncryption(ENCRYPTED);
  for (const town of TOWNS)
    await place.add(`${town}.md`, `# ${town}\n\nThe tide gauge of ${town} was renewed.`, 'restricted');
  await place.add('open.md', 'The tide table is public.', 'public');
}, 300_000);
afterAll(() => place.close());

const rotate = (rotation: Partial<Rotation>) =>
  rotateKeys({ database: place.test.database, keys: place.keys }, place.test.tenant, {
    dataKeys: false,
    termKeys: false,
    ...rotation,
  });
const status = () => DataKeys.as(place.test.database, 'indexer').status(place.test.tenant);
const gauges = async (limit = 20) => {
  const { content } = await place.ask('tide gauge renewed', limit);
  return content.passages.map((passage) => passage.text).filter((text) => text.includes('tide gauge'));
};
const keyOf = async (document: string) => {
  const [row] = await place.test.rows<{ level: string | null; text: string }>(
    `select k.level, c.text from chunk c join document d on d.id = c.document_id left join data_key k on k.id = c.data_key_id
     where d.id = '${document}' limit 1`,
  );
  return row;
};
const wordIsFound = async (word: string) => {
  const { content } = await place.ask(word, 1);
  return content.passages[0]?.external_id;
};

describe('Rotating data keys', { timeout: 300_000 }, () => {
  it('seals every passage under a new key while questions are answered, and removes the old one', async () => {
    const before = (await status()).keys;
    await rotate({ dataKeys: true });
    expect(await status()).toMatchObject({ waiting: TOWNS.length });
    let isDone = false;
    const answers: number[] = [];
    const asking = (async () => {
      while (!isDone) {
        answers.push((await gauges()).length);
        await breathe();
      }
    })();
    await place.resealer.drain();
    isDone = true;
    await asking;
    expect(answers.length).toBeGreaterThan(0);
    expect(answers.filter((found) => found !== TOWNS.length)).toEqual([]);
    const after = await status();
    expect(after.waiting).toBe(0);
    const text = after.keys.filter(({ purpose }) => purpose === 'text');
    expect(text).toMatchObject([{ level: 'restricted', state: 'current', rows: TOWNS.length }]);
    expect(text[0]?.createdAt).not.toBe(before.find(({ purpose }) => purpose === 'text')?.createdAt);
    expect(place.unopened).toEqual([]);
  });

  it('goes on where a killed process left it', async () => {
    await rotate({ dataKeys: true });
    const { database } = place.test;
    const resealer = place.newResealer();
    const unitOfWork = database.unitOfWork.bind(database);
    let left = 30;
    database.unitOfWork = (role, context, work) => {
      left -= 1;
      return left < 0 ? Promise.reject(new Error('killed')) : unitOfWork(role, context, work);
    };
    await expect(resealer.drain()).rejects.toThrow('killed');
    database.unitOfWork = unitOfWork;
    const { waiting, keys } = await status();
    expect(waiting).toBeGreaterThan(0);
    expect(waiting).toBeLessThan(TOWNS.length);
    expect(keys.filter(({ purpose }) => purpose === 'text')).toHaveLength(2);
    expect(await gauges()).toHaveLength(TOWNS.length);
    await place.newResealer().drain();
    expect((await status()).waiting).toBe(0);
    expect(await gauges()).toHaveLength(TOWNS.length);
  });

  it('takes term keys along when asked, and words are found as before', async () => {
    const before = await place.test.rows<{ terms: number[] }>(
      'select terms from chunk_embedding where term_key_id is not null order by chunk_id',
    );
    await rotate({ termKeys: true });
    await place.resealer.drain();
    const after = await place.test.rows<{ terms: number[] }>(
      'select terms from chunk_embedding where term_key_id is not null order by chunk_id',
    );
    expect(after).toHaveLength(before.length);
    expect(after).not.toEqual(before);
    expect((await status()).keys.filter(({ purpose }) => purpose === 'terms')).toHaveLength(1);
    expect(await wordIsFound('Odessa')).toBe('Odessa.md');
    const differences = [];
    const { fingerprint } = place.test.embedder;
    for await (const difference of doctor({ ...place.test, fingerprint, repair: false }))
      differences.push(difference);
    expect(differences).toEqual([]);
  });

  it('leaves a passage that does not open under its old key, and says so once', async () => {
    const [row] = await place.test.rows<{ id: number; sealed: string }>(
      `select c.id, encode(c.sealed, 'hex') as sealed from chunk c join document d on d.id = c.document_id
       where d.external_id = 'Kiel.md'`,
    );
    await place.test.rows(
      `update chunk set sealed = set_byte(sealed, 15, 255 - get_byte(sealed, 15)) where id = ${row?.id}`,
    );
    await rotate({ dataKeys: true });
    const resealer = place.newResealer();
    await resealer.drain();
    await resealer.drain();
    expect(place.unopened).toHaveLength(1);
    expect((await status()).waiting).toBe(1);
    expect((await status()).keys.filter(({ state }) => state === 'old')).toMatchObject([{ rows: 1 }]);
    await place.test.rows(`update chunk set sealed = '\\x${row?.sealed}' where id = ${row?.id}`);
    await place.newResealer().drain();
    expect((await status()).waiting).toBe(0);
    place.unopened.length = 0;
  });

  it('wraps the data keys by the newest key of the file, after which the old one may go', async () => {
    await place.keyFile.write(['second', 'first']);
    const keys = openFileKeyService(place.keyFile.path, (bytes) =>
      crypto.getRandomValues(new Uint8Array(bytes)),
    );
    const { database, tenant } = place.test;
    const count = (await status()).keys.length;
    expect(await rotateKeys({ database, keys }, tenant, { dataKeys: false, termKeys: false })).toEqual({
      rewrapped: count,
      retired: 0,
    });
    await place.keyFile.write(['second']);
    const only = openFileKeyService(place.keyFile.path, (bytes) =>
      crypto.getRandomValues(new Uint8Array(bytes)),
    );
    const retrieveParts = { ...place.retrieveParts, sealer: sealerAs(database, only, 'retrieve', ENCRYPTED) };
    const { retrieve } = await import('../../src/retrieve/retrieve.ts');
    const { content } = await retrieve(retrieveParts, place.reader, {
      requestId: 'r',
      query: 'tide gauge of Bergen',
      limit: 1,
      filters: {},
    });
    expect(content.passages[0]?.text).toContain('Bergen');
    await place.keyFile.write(['first', 'second']);
    const back = openFileKeyService(place.keyFile.path, (bytes) =>
      crypto.getRandomValues(new Uint8Array(bytes)),
    );
    await rotateKeys({ database, keys: back }, tenant, { dataKeys: false, termKeys: false });
  });
});

describe('Relabelling', { timeout: 300_000 }, () => {
  it('a container into an encrypting level and out of it seals and opens what is below', async () => {
    const document = await place.add('yard.md', 'The shipyard has a slipway called Marguerite.', 'internal');
    expect(await keyOf(document)).toMatchObject({ level: null });
    const root = `update access_class set level = 'confidential', rank = 2 where path = '/'`;
    await place.test.rows(root);
    expect((await status()).waiting).toBeGreaterThan(0);
    expect(await wordIsFound('Marguerite')).toBe('yard.md');
    await place.resealer.drain();
    expect(await keyOf(document)).toMatchObject({ level: 'confidential', text: '' });
    expect(await wordIsFound('Marguerite')).toBe('yard.md');
    expect((await status()).waiting).toBe(0);
    await place.test.rows(`update access_class set level = 'public', rank = 0 where path = '/'`);
    await place.resealer.drain();
    expect(await keyOf(document)).toMatchObject({
      level: null,
      text: 'The shipyard has a slipway called Marguerite.',
    });
    expect(await wordIsFound('Marguerite')).toBe('yard.md');
  });

  it('one document does the same, whichever way it is moved', async () => {
    const document = await place.add('dock.md', 'The dry dock is pumped by Ferdinand.', 'internal');
    await place.add('dock.md', 'The dry dock is pumped by Ferdinand.', 'restricted');
    expect((await status()).waiting).toBe(1);
    await place.resealer.drain();
    expect(await keyOf(document)).toMatchObject({ level: 'restricted', text: '' });
    expect(await wordIsFound('Ferdinand')).toBe('dock.md');
  });

  it('while a document is on its way is noticed when it is published', async () => {
    const { indexer } = place.test.parts;
    const held = { drain: async () => {}, pending: async () => new Map() };
    Object.assign(place.test.parts, { indexer: held });
    const document = await place.add('late.md', 'The late pilot is Winifred.', 'internal').finally(() => {
      Object.assign(place.test.parts, { indexer });
    });
    // a relabelling whose transaction ends after the write, and whose own work was done before
    await place.test.rows(
      `set local session_replication_role = replica; update access_class set level = 'restricted', rank = 3 where id = (
        select class_id from document where id = '${document}')`,
    );
    await place.resealer.drain();
    expect(await keyOf(document)).toMatchObject({ level: null });
    await place.test.indexer.drain();
    await place.resealer.drain();
    expect(await keyOf(document)).toMatchObject({ level: 'restricted' });
    // others of that class were relabelled with it
    await place.test.rows('select queue_everything_for_sealing()');
    await place.resealer.drain();
    expect((await status()).waiting).toBe(0);
  });
});

describe('A configuration', { timeout: 300_000 }, () => {
  const becomes = async (encrypted: readonly string[]) => {
    const { database, indexer } = place.test;
    const changed = await new SealingWork(database).configure(encrypted);
    await new Resealer({
      database,
      scheme: TEST_SCHEME,
      sealer: sealerAs(database, place.keys, 'indexer', encrypted),
      redaction: place.retrieveParts.redaction,
      indexer,
      onUnopened: (passage) => place.unopened.push(passage),
    }).drain();
    const [row] = await place.test.rows<{ sealed: number; clear: number }>(
      `select count(c.sealed) as sealed, count(nullif(c.text, '')) as clear from chunk c
       join document d on d.id = c.document_id where d.external_id in (${TOWNS.map((town) => `'${town}.md'`)})`,
    );
    return { changed, ...row };
  };

  it('that asks for encryption no more opens what is stored, and one that asks for it seals it', async () => {
    const all = TOWNS.length;
    expect(await becomes([])).toEqual({ changed: true, sealed: 0, clear: all });
    expect(await wordIsFound('Genoa')).toBe('Genoa.md');
    expect(await becomes(ENCRYPTED)).toEqual({ changed: true, sealed: all, clear: 0 });
    expect(await wordIsFound('Genoa')).toBe('Genoa.md');
    expect(await becomes(ENCRYPTED)).toEqual({ changed: false, sealed: all, clear: 0 });
  });
});

describe('Another embedding model', { timeout: 300_000 }, () => {
  it('embeds what is encrypted from its text, and hashes its terms', async () => {
    const { test } = place;
    const embedder = { ...test.embedder, fingerprint: 'another', dimension: test.embedder.dimension };
    Object.assign(embedder, { embedPassages: test.embedder.embedPassages.bind(test.embedder) });
    await reembed({
      database: test.database,
      scheme: TEST_SCHEME,
      collections: test.collections,
      embedder,
      redaction: place.retrieveParts.redaction,
      sealer: sealerAs(test.database, place.keys, 'indexer', ENCRYPTED),
      tenants: [test.admin.context],
      onProgress: () => {},
    });
    const rows = await test.rows<{ same: boolean }>(
      `select a.terms = b.terms and a.term_key_id is not distinct from b.term_key_id and length(b.embedding) > 0 as same
       from chunk_embedding a join chunk_embedding b on b.chunk_id = a.chunk_id and b.fingerprint = 'another'
       where a.fingerprint <> 'another'`,
    );
    expect(rows.length).toBeGreaterThan(TOWNS.length);
    expect(rows.filter(({ same }) => !same)).toEqual([]);
  });
});
