/** A search begins before the question is embedded: what becomes of it when the embedding never comes. */
import { setImmediate, setTimeout } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BulkheadError } from '../../src/errors.ts';
import { type RetrieveParts, retrieve } from '../../src/retrieve/retrieve.ts';
import type { RetrieveFilters } from '../../src/retrieve/stages.ts';
import { asSuperuser } from '../helpers/policy-tables.ts';
import { openSpine, type Spine } from '../helpers/spine.ts';

let spine: Spine;
beforeAll(async () => {
  spine = await openSpine();
  await spine.add(spine.classes.open, 'Open passage.');
});
afterAll(() => spine.close());

const ask = (
  embedQuery: RetrieveParts['embedder']['embedQuery'],
  who = spine.ann,
  { filters = {}, ...parts }: Partial<RetrieveParts> & { filters?: RetrieveFilters } = {},
) =>
  retrieve({ ...spine.parts, embedder: { fingerprint: 'm', embedQuery }, ...parts }, who, {
    requestId: 'r',
    query: 'passage',
    limit: 2,
    filters,
  });

const failing = async () => {
  throw new BulkheadError('embedding_unavailable', 'The embedding model failed.');
};

async function receipts(): Promise<number> {
  const rows = await asSuperuser<{ n: number }>(
    spine.database,
    "select count(*)::int as n from bulkhead.audit_record where kind = 'release'",
  );
  return rows[0]?.n ?? 0;
}

describe('A question whose embedding', () => {
  it('fails is refused with 503, and nothing of it is released or receipted', async () => {
    const before = await receipts();
    await expect(ask(failing)).rejects.toMatchObject({ code: 'embedding_unavailable', status: 503 });
    expect(await receipts()).toBe(before);
  });

  it('fails is refused with 503 where there is nothing to search as well', async () => {
    const nowhere = ask(failing, spine.ann, { filters: { container: '/none' } });
    await expect(nowhere).rejects.toMatchObject({ code: 'embedding_unavailable' });
  });

  it('takes long holds up its caller however soon the search fails', async () => {
    let embedded = false;
    const slow = async (query: string) => {
      await setTimeout(50);
      embedded = true;
      return spine.embedder.embedQuery(query);
    };
    const index = Object.create(spine.index, {
      search: {
        value: async () => {
          throw new BulkheadError('index_unavailable', 'The index did not answer.');
        },
      },
    });
    await expect(ask(slow, spine.ann, { index })).rejects.toMatchObject({ code: 'index_unavailable' });
    expect(embedded).toBe(true);
  });

  it('comes late is answered as ever', async () => {
    const late = async (query: string) => {
      await setImmediate();
      return spine.embedder.embedQuery(query);
    };
    const { content } = await ask(late);
    expect(content.passages.map(({ text }) => text)).toEqual(['Open passage.']);
    expect(await receipts()).toBeGreaterThan(0);
  });

  it('fails after its caller was refused is refused for the caller, and fails unheard', async () => {
    const stranger = { ...spine.ann, user: 'user:w|nobody' };
    await expect(ask(failing, stranger)).rejects.toMatchObject({ code: 'subject_unknown' });
    await setImmediate();
  });
});
