import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { doctor } from '../../src/ingest/doctor.ts';
import { Indexer, type IndexerOptions } from '../../src/ingest/indexer.ts';
import { ingestOne } from '../../src/ingest/ingest.ts';
import { removeDocument } from '../../src/ingest/remove.ts';
import { documentId } from '../../src/policy/ids.ts';
import { markdown, openTestIngest, type TestIngest } from '../helpers/ingest.ts';

let test: TestIngest;
beforeAll(async () => {
  test = await openTestIngest();
  await test.rows(
    `insert into access_class (id, tenant_id, parent_id, kind, path, seq, inherits, intern_key)
     select n, ${test.tenant}, (select id from access_class where path = '/'), 'adhoc', null, n, true, n::text
     from (values (9001), (9002)) v (n)`,
  );
});
afterAll(() => test.close());

let name = 0;
let id: string;
beforeEach(async () => {
  await test.rows('delete from outbox');
  name += 1;
  const page = markdown('A text.', { externalId: `${name}.md` });
  id = (await ingestOne(test.parts, { authority: test.admin }, page)).documentId ?? '';
});

function worker(index: Partial<IndexerOptions['index']> = {}): Indexer {
  const { index: real } = test;
  return new Indexer({
    database: test.database,
    fingerprint: test.embedder.fingerprint,
    onFailure: () => {},
    index: {
      upsert: (points) => real.upsert(points),
      moveDocument: (...args) => real.moveDocument(...args),
      removeDocument: (...args) => real.removeDocument(...args),
      ...index,
    },
  });
}

const moveTo = (to: number) =>
  test.rows(`update document set class_id = ${to} where id = '${id}';
    insert into outbox (tenant_id, document_id, operation) values (${test.tenant}, '${id}', 'move')`);
const classes = async () =>
  (await test.points()).filter(({ documentId: of }) => of === id).map(({ classId }) => classId as number);
const rows = () =>
  test.rows<{ operation: string; attempts: number; wait: number; lease: string | null }>(
    `select operation, attempts, lease, extract(epoch from not_before - now())::float8 as wait
     from outbox where document_id = '${id}' order by id`,
  );

/** As if the leases had run out. */
const endLeases = () =>
  test.rows("update outbox set leased_until = now() - interval '1 ms' where lease is not null");
/** As if the second looks were due. */
const passMinutes = () =>
  test.rows(
    "update outbox set not_before = now(), created_at = now() where operation = 'mend' and attempts = 0",
  );

async function differences(): Promise<readonly string[]> {
  const found: string[] = [];
  const { fingerprint } = test.embedder;
  for await (const { kind } of doctor({ ...test, fingerprint, repair: false })) found.push(kind);
  return found;
}

/** One that sleeps before its write for longer than its lease, and whose process ends right after the write. */
function stale(write: 'moveDocument' | 'upsert'): { begun: Promise<void>; wake: () => Promise<void> } {
  let begin = () => {};
  let wake = () => {};
  let end = () => {};
  const begun = new Promise<void>((resolve) => {
    begin = resolve;
  });
  const awake = new Promise<void>((resolve) => {
    wake = resolve;
  });
  const written = new Promise<void>((resolve) => {
    end = resolve;
  });
  const late = async (...args: readonly unknown[]): Promise<void> => {
    begin();
    await awake;
    await (test.index[write] as (...args: readonly unknown[]) => Promise<void>)(...args);
    end();
    await new Promise(() => {});
  };
  void worker({ [write]: late }).drain();
  return {
    begun,
    wake: () => {
      wake();
      return written;
    },
  };
}

describe('A worker that was overtaken and ended right after its write', () => {
  it('leaves a document in a wider class no longer than its write may take', async () => {
    await moveTo(9001);
    const former = stale('moveDocument');
    await former.begun;
    await endLeases();
    await moveTo(9002);
    const other = worker();
    await other.drain();
    expect(await classes()).toEqual([9002]);
    await former.wake();
    expect(await classes()).toEqual([9001]);
    await other.drain();
    expect(await classes()).toEqual([9001]);
    await passMinutes();
    await other.drain();
    expect(await classes()).toEqual([9002]);
    expect(await rows()).toEqual([]);
    expect(await differences()).toEqual([]);
  });

  it('leaves no point of a document that was deleted meanwhile', async () => {
    const page = markdown('Another text.', { externalId: `${name}.md` });
    await ingestOne({ ...test.parts, indexer: undefined }, { authority: test.admin }, page);
    const former = stale('upsert');
    await former.begun;
    await endLeases();
    await removeDocument({ ...test.parts, indexer: undefined }, { authority: test.admin }, documentId(id));
    const other = worker();
    await other.drain();
    await former.wake();
    expect(await classes()).toHaveLength(1);
    await passMinutes();
    await other.drain();
    expect(await classes()).toEqual([]);
    expect(await rows()).toEqual([]);
  });
});

describe('A second look', () => {
  /** Taken over from a worker that is gone. */
  const abandon = () =>
    test.rows(
      `update outbox set lease = gen_random_uuid(), leased_until = now() - interval '1 ms' where document_id = '${id}'`,
    );

  it('waits for the lease and the longest write, and is none of the lag', async () => {
    await moveTo(9001);
    await abandon();
    await worker().drain();
    const [look, ...more] = await rows();
    expect(more).toEqual([]);
    expect(look).toMatchObject({ operation: 'mend', attempts: 0, lease: null });
    expect(look?.wait).toBeGreaterThan(290);
    expect(look?.wait).toBeLessThanOrEqual(300);
    expect(await worker().backlog()).toEqual({ documents: 0, oldestMs: 0, dead: 0 });
  });

  it('is not asked for where nobody was overtaken', async () => {
    await moveTo(9001);
    await worker().drain();
    expect(await rows()).toEqual([]);
  });

  it('holds up nothing that comes meanwhile, and is not settled with it', async () => {
    await moveTo(9001);
    await abandon();
    await worker().drain();
    await moveTo(9002);
    await worker().drain();
    expect(await classes()).toEqual([9002]);
    expect(await rows()).toMatchObject([{ operation: 'mend', attempts: 0, lease: null }]);
    await worker().takeOver();
    expect(await rows()).toHaveLength(1);
  });

  it('stays one, later and later, for a document over which process after process ends', async () => {
    await moveTo(9001);
    for (let n = 0; n < 5; n += 1) {
      await abandon();
      let begin = () => {};
      const begun = new Promise<void>((resolve) => {
        begin = resolve;
      });
      const never = () => {
        begin();
        return new Promise<void>(() => {});
      };
      void worker({ moveDocument: never }).drain();
      await begun;
      if (n === 2) await passMinutes();
      expect((await rows()).map(({ operation }) => operation)).toEqual(['move', 'mend']);
    }
    await abandon();
    await worker().drain();
    expect(await rows()).toMatchObject([{ operation: 'mend', attempts: 0 }]);
    await passMinutes();
    await worker().drain();
    expect(await rows()).toEqual([]);
  });

  it('stays as it is when the work that was due fails', async () => {
    await moveTo(9001);
    await abandon();
    await worker({ moveDocument: () => Promise.reject(new Error('full')) }).drain();
    expect(await rows()).toMatchObject([
      { operation: 'move', attempts: 1, lease: null },
      { operation: 'mend', attempts: 0, lease: null },
    ]);
  });
});
