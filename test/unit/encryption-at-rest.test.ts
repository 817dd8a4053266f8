import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readDocument } from '../../src/retrieve/documents.ts';
import { openTestEncryption, type TestEncryption } from '../helpers/encryption.ts';

let sealed: TestEncryption;
let plain: TestEncryption;
beforeAll(async () => {
  sealed = await openTestEncryption(['confidential', 'restricted']);
  plain = await openTestEncryption([]);
}, 300_000);
afterAll(async () => {
  await plain.close();
  await sealed.close();
});

const HERON = '# Project Heron\n\n## The offer\n\nMeridian buys Halcyon Acoustics for ninety million.';
const PAYROLL = '# Payroll\n\nThe auditor samples salaries in the spring. Write to paula@meridian.example.';
const CANTEEN = '# Canteen\n\nSoup is served at noon, and the auditor eats there.';

async function fill(to: TestEncryption): Promise<void> {
  await to.add('heron.md', HERON, 'restricted');
  await to.add('payroll.md', PAYROLL, 'confidential');
  await to.add('canteen.md', CANTEEN, 'public');
}

const passagesOf = async (from: TestEncryption, query: string) => {
  const { content } = await from.ask(query);
  return content.passages.map(
    ({ document_id: _, updated_at: __, rank: ___, score: ____, ...shown }) => shown,
  );
};

const byTitle = <T extends { readonly title: string }>(passages: readonly T[]) =>
  [...passages].sort((a, b) => (a.title < b.title ? -1 : 1));

describe('a level that asks for encryption', { timeout: 300_000 }, () => {
  beforeAll(async () => {
    await fill(sealed);
    await fill(plain);
  }, 300_000);

  it('has no word of text or headings in any row', async () => {
    const rows = await sealed.test.rows<{ text: string; heading_path: string[]; sealed: Uint8Array | null }>(
      `select c.text, c.heading_path, c.sealed from chunk c join document d on d.id = c.document_id
       where d.external_id <> 'canteen.md'`,
    );
    expect(rows.length).toBeGreaterThan(1);
    for (const row of rows) {
      expect(row).toMatchObject({ text: '', heading_path: [] });
      expect(Buffer.from(row.sealed ?? []).toString('latin1')).not.toMatch(/Halcyon|salaries|offer/);
    }
    const [dump] = await sealed.test.rows<{ all: string }>(
      `select (select string_agg(c::text, ' ') from chunk c) || (select string_agg(e::text, ' ') from chunk_embedding e)
        || (select string_agg(o::text, ' ') from outbox o) as all`,
    );
    expect(dump?.all ?? '').not.toMatch(/Halcyon|salaries|The offer/);
  });

  it('answers as if it did not', async () => {
    for (const query of ['Who is buying Halcyon Acoustics?', 'the auditor samples salaries', 'soup'])
      expect(byTitle(await passagesOf(sealed, query))).toEqual(byTitle(await passagesOf(plain, query)));
    expect(JSON.stringify(await passagesOf(sealed, 'salaries'))).not.toContain('paula@');
  });

  it('is read whole as if it did not', async () => {
    const read = async ({ retrieveParts, reader, test }: TestEncryption) => {
      const [row] = await test.rows<{ id: string }>(`select id from document where external_id = 'heron.md'`);
      const { content } = await readDocument(retrieveParts, reader, {
        requestId: 'r',
        document: row?.id ?? '',
      });
      return content.passages;
    };
    expect(await read(sealed)).toEqual(await read(plain));
    expect(JSON.stringify(await read(sealed))).toContain('Halcyon');
  });

  it('shows none of its words in the index: they are hashed under a key, each level under its own', async () => {
    const termsOf = async ({ test }: TestEncryption, name: string) => {
      const rows = await test.rows<{ terms: number[] }>(
        `select e.terms from chunk_embedding e join chunk c on c.id = e.chunk_id
         join document d on d.id = c.document_id where d.external_id = '${name}'`,
      );
      return new Set(rows.flatMap(({ terms }) => terms));
    };
    const inClear = await termsOf(plain, 'payroll.md');
    const hashed = await termsOf(sealed, 'payroll.md');
    expect(hashed.size).toBe(inClear.size);
    for (const term of hashed) expect(inClear).not.toContain(term);
    expect(await termsOf(sealed, 'canteen.md')).toEqual(await termsOf(plain, 'canteen.md'));
    const postings = await sealed.test.rows<{ term: number }>('select distinct term from index_posting');
    const known = new Set(postings.map(({ term }) => term));
    for (const term of await termsOf(plain, 'heron.md'))
      if (!(await termsOf(plain, 'canteen.md')).has(term)) expect(known).not.toContain(term);
  });

  it('finds by words that mean nothing to the model, through the hashed terms alone', async () => {
    await sealed.add('code.md', 'Purchase order XK-77-QZ was signed.', 'restricted');
    const { content } = await sealed.ask('XK-77-QZ', 1);
    expect(content.passages[0]?.external_id).toBe('code.md');
  });
});

describe('a ciphertext', { timeout: 300_000 }, () => {
  let ids: Record<string, string>;
  beforeAll(async () => {
    ids = {
      one: await sealed.add('one.md', 'The lighthouse keeper sleeps at seven.', 'restricted'),
      two: await sealed.add('two.md', 'The lighthouse keeper wakes at eleven.', 'restricted'),
    };
  }, 300_000);

  const save = async () =>
    sealed.test.rows(
      `drop table if exists public.saved; create table public.saved as select id, data_key_id, sealed from chunk where sealed is not null`,
    );
  const restore = async () =>
    sealed.test.rows(
      'update chunk c set data_key_id = s.data_key_id, sealed = s.sealed from public.saved s where s.id = c.id',
    );

  async function withTampering(statement: string, check: () => Promise<void>): Promise<void> {
    await save();
    sealed.unopened.length = 0;
    try {
      await sealed.test.rows(statement);
      await check();
    } finally {
      await restore();
    }
  }

  const found = async () => {
    const { content } = await sealed.ask('lighthouse keeper');
    return content.passages.map((passage) => passage.external_id);
  };

  it('is released only from the row that it was written for', async () => {
    expect(await found()).toEqual(expect.arrayContaining(['one.md', 'two.md']));
    const swap = `update chunk c set sealed = o.sealed from chunk o
      where (c.document_id, o.document_id) in (('${ids.one}', '${ids.two}'), ('${ids.two}', '${ids.one}'))`;
    await withTampering(swap, async () => {
      const answer = await sealed.ask('lighthouse keeper');
      expect(JSON.stringify(answer)).not.toMatch(/lighthouse keeper/);
      expect(sealed.unopened.map(({ document }) => document).sort()).toEqual([ids.one, ids.two].sort());
    });
    expect(await found()).toEqual(expect.arrayContaining(['one.md', 'two.md']));
  });

  it.each([
    ['with one bit changed', `set_byte(sealed, 20, get_byte(sealed, 20) # 1)`],
    ['with its tag cut', `substring(sealed from 1 for length(sealed) - 1)`],
    ['cut to nothing', `'\\x01'::bytea`],
    ['of another format', `set_byte(sealed, 0, 2)`],
  ])('%s is withheld, the others are not, and somebody hears of it', async (_, expression) => {
    await withTampering(
      `update chunk set sealed = ${expression} where document_id = '${ids.one}'`,
      async () => {
        const { content } = await sealed.ask('lighthouse keeper', 100);
        const names = content.passages.map((passage) => passage.external_id);
        expect(names).toContain('two.md');
        expect(names).not.toContain('one.md');
        expect(content.complete).toBe(false);
        expect(sealed.unopened).toHaveLength(1);
        const { retrieveParts, reader } = sealed;
        await expect(
          readDocument(retrieveParts, reader, { requestId: 'r', document: ids.one ?? '' }),
        ).rejects.toMatchObject({ code: 'decryption_failed', status: 503 });
      },
    );
  });

  it.each([
    [
      'of another version',
      `update chunk set version = 7 where document_id = $1; update document set version = 7 where id = $1;
        update document_version set version = 7 where document_id = $1`,
    ],
    ['of another place in the document', `update chunk set ordinal = 3 where document_id = $1`],
    [
      'under another key of the tenant',
      `update chunk set data_key_id = (select id from data_key where level = 'confidential' and purpose = 'text') where document_id = $1`,
    ],
  ])('that is said to be %s is withheld', async (_, statement) => {
    const other = await sealed.add(`moved-${_.length}.md`, 'A buoy was moored.', 'restricted');
    await withTampering(statement.replaceAll('$1', `'${other}'`), async () => {
      const { content } = await sealed.ask('buoy moored');
      expect(content.passages.map((passage) => passage.document_id)).not.toContain(other);
      expect(sealed.unopened.map(({ document }) => document)).toContain(other);
    });
  });

  it('stays shut where no keys are configured: nothing at all is answered', async () => {
    const { sealer: _, ...without } = sealed.retrieveParts;
    await expect(
      readDocument(without, sealed.reader, { requestId: 'r', document: ids.two ?? '' }),
    ).rejects.toMatchObject({ code: 'keys_unavailable' });
  });
});
