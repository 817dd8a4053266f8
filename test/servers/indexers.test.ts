import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { doctor } from '../../src/ingest/doctor.ts';
import { Indexer } from '../../src/ingest/indexer.ts';
import { ingestOne } from '../../src/ingest/ingest.ts';
import { removeDocument } from '../../src/ingest/remove.ts';
import type { IngestParts } from '../../src/ingest/submission.ts';
import { documentId } from '../../src/policy/ids.ts';
import { migratePostgres, openPostgres } from '../../src/store/open-postgres.ts';
import { markdown, openTestIngest, type TestIngest } from '../helpers/ingest.ts';
import { at, findPostgres, type PostgresServer, runAs, startPostgres } from '../helpers/postgres-server.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 180_000 });

const programs = await findPostgres();
const LEASE_SECONDS = 0.4;
const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

describe.skipIf(programs === undefined)('Several indexers on a PostgreSQL server', () => {
  let server: PostgresServer;
  let test: TestIngest;
  let url: string;

  beforeAll(async () => {
    server = await startPostgres(programs);
    url = (await server.createDatabase())();
    await migratePostgres(at(url));
    test = await openTestIngest({ database: await openPostgres(at(url, { poolSize: 12 })) });
  });
  afterAll(async () => {
    await test?.close();
    await server?.stop();
  });

  const read = async <T extends object>(statement: string): Promise<readonly T[]> =>
    runAs<T>(url, statement.replaceAll('~', 'bulkhead.'));

  /** A worker whose every write to the index may be held up, however long, before it is sent. */
  function worker(
    beforeWrite: (write: 'upsert' | 'move' | 'remove') => Promise<void>,
    afterWrite: () => Promise<void> = async () => {},
  ): Indexer {
    const { index } = test;
    return new Indexer({
      database: test.database,
      fingerprint: test.embedder.fingerprint,
      leaseSeconds: LEASE_SECONDS,
      index: {
        upsert: async (points) => {
          await beforeWrite('upsert');
          await index.upsert(points);
          await afterWrite();
        },
        moveDocument: async (...args) => {
          await beforeWrite('move');
          await index.moveDocument(...args);
        },
        removeDocument: async (...args) => {
          await beforeWrite('remove');
          await index.removeDocument(...args);
          await afterWrite();
        },
      },
      onFailure: () => {},
    });
  }

  const submit = (name: string, text: string, parts: IngestParts, level?: string) =>
    ingestOne(
      parts,
      { authority: test.admin },
      markdown(text, {
        externalId: name,
        access: { compartments: [], entries: [], ...(level !== undefined && { level }) },
      }),
    );
  /** Written and in the outbox, for whoever comes. */
  const unindexed = (): IngestParts => ({ ...test.parts, indexer: undefined });

  async function expectAgreement(): Promise<void> {
    const everybody = worker(async () => {});
    for (let round = 0; round < 40; round += 1) {
      await read('update ~outbox set not_before = now() where lease is null');
      await everybody.drain();
      if ((await read('select 1 from ~outbox')).length === 0) break;
      await pause(100);
    }
    expect(await read('select * from ~outbox')).toEqual([]);
    expect(await test.points()).toEqual(
      (
        await read<{ chunk: string; document: string; version: number; class: number }>(
          `select c.id as chunk, d.id as document, c.version, d.class_id as class
           from ~chunk c join ~document d on d.id = c.document_id order by c.id`,
        )
      ).map((row) => ({
        chunkId: Number(row.chunk),
        documentId: row.document,
        version: row.version,
        classId: row.class,
      })),
    );
    expect(
      await read(
        'select 1 from ~document d where version <> (select max(version) from ~document_version v where v.document_id = d.id)',
      ),
    ).toEqual([]);
    const found = [];
    const { fingerprint } = test.embedder;
    for await (const difference of doctor({ ...test, fingerprint, repair: false })) found.push(difference);
    expect(found).toEqual([]);
  }

  it('each take documents of their own, and every document once', async () => {
    for (let n = 0; n < 24; n += 1) await submit(`own-${n}.md`, `Page ${n}.`, unindexed());
    const written: number[] = [];
    const workers = [1, 2, 3, 4].map(() => {
      const { index } = test;
      return new Indexer({
        database: test.database,
        fingerprint: test.embedder.fingerprint,
        index: {
          upsert: async (points) => {
            written.push(...points.map(({ chunkId }) => chunkId));
            await index.upsert(points);
          },
          moveDocument: (...args) => index.moveDocument(...args),
          removeDocument: (...args) => index.removeDocument(...args),
        },
        onFailure: () => {},
      });
    });
    await Promise.all(workers.map((one) => one.drain()));
    expect(written).toHaveLength(24);
    expect(new Set(written).size).toBe(24);
    await expectAgreement();
  });

  it('never work on one document at a time, though it changes while one is at it', async () => {
    await submit('busy.md', 'First.', unindexed());
    let inside = 0;
    let most = 0;
    const workers = [1, 2, 3, 4].map(() =>
      worker(async () => {
        inside += 1;
        most = Math.max(most, inside);
        await pause(20);
        inside -= 1;
      }),
    );
    let on = true;
    const draining = workers.map(async (one) => {
      while (on) await one.drain();
    });
    for (let n = 0; n < 8; n += 1) await submit('busy.md', `Version ${n}.`, unindexed());
    on = false;
    await Promise.all(draining);
    expect(most).toBe(1);
    await expectAgreement();
  });

  it.each([
    ['a newer version', (name: string) => submit(name, 'Second version.', unindexed())],
    ['a move', (name: string) => submit(name, 'First version.', unindexed(), 'restricted')],
    [
      'a deletion',
      async (name: string) => {
        const [row] = await read<{ id: string }>(`select id from ~document where external_id = '${name}'`);
        await removeDocument(unindexed(), { authority: test.admin }, documentId(row?.id ?? ''));
      },
    ],
  ])('one that wakes after %s was indexed by another undoes nothing', async (what, change) => {
    const name = `${what}.md`;
    await submit(name, 'First version.', unindexed());
    await sleepAt('upsert', name, change);
  });

  it('one that wakes as it is about to remove what is old removes nothing that is newer', async () => {
    await submit('newer.md', 'First version.', test.parts);
    await submit('newer.md', 'Second version.', unindexed());
    await sleepAt('remove', 'newer.md', (name) => submit(name, 'Third version.', unindexed()));
  });

  /** One falls asleep before its write for longer than its lease; others finish that, and what comes then. */
  async function sleepAt(
    where: 'upsert' | 'remove',
    name: string,
    change: (name: string) => Promise<unknown>,
  ): Promise<void> {
    let wake: () => void = () => {};
    const asleep = new Promise<void>((resolve) => {
      wake = resolve;
    });
    let reached: () => void = () => {};
    const atWrite = new Promise<void>((resolve) => {
      reached = resolve;
    });
    let isAwake = false;
    const lateWrites: Awaited<ReturnType<typeof test.points>>[] = [];
    const sleeper = worker(
      async (write) => {
        if (write !== where) return;
        reached();
        await asleep;
        isAwake = true;
      },
      async () => {
        if (isAwake) lateWrites.push(await test.points());
      },
    );
    const draining = sleeper.drain();
    await atWrite;
    await pause(LEASE_SECONDS * 1000 + 100);
    const other = worker(async () => {});
    await other.drain();
    await change(name);
    await other.drain();
    const before = await test.points();
    wake();
    await draining;
    // the late write took nothing away, whatever else it left for the drain that comes after it
    const after = new Set(lateWrites[0]?.map(({ chunkId }) => chunkId));
    expect(before.every(({ chunkId }) => after.has(chunkId))).toBe(true);
    await expectAgreement();
  }

  it('find what one wrote late that was killed then, when no such write can be under way', async () => {
    const { documentId: id } = await submit('late.md', 'A text.', test.parts);
    await submit('late.md', 'A text.', unindexed(), 'internal');
    let killed = () => {};
    const written = new Promise<void>((resolve) => {
      killed = resolve;
    });
    let wake = () => {};
    const asleep = new Promise<void>((resolve) => {
      wake = resolve;
    });
    let reached = () => {};
    const atWrite = new Promise<void>((resolve) => {
      reached = resolve;
    });
    const { index } = test;
    const former = new Indexer({
      database: test.database,
      fingerprint: test.embedder.fingerprint,
      leaseSeconds: LEASE_SECONDS,
      onFailure: () => {},
      index: {
        upsert: (points) => index.upsert(points),
        removeDocument: (...args) => index.removeDocument(...args),
        moveDocument: async (...args) => {
          reached();
          await asleep;
          await index.moveDocument(...args);
          killed();
          await new Promise(() => {});
        },
      },
    });
    void former.drain();
    await atWrite;
    await pause(LEASE_SECONDS * 1000 + 100);
    await submit('late.md', 'A text.', unindexed(), 'restricted');
    await Promise.all([1, 2, 3].map(() => worker(async () => {}).drain()));
    const classes = async () =>
      (await test.points()).filter(({ documentId: of }) => of === id).map(({ classId }) => classId);
    const [narrow] = await classes();
    wake();
    await written;
    expect(await classes()).not.toEqual([narrow]);
    const waiting = `select 1 from ~outbox where document_id = '${id}' and operation = 'mend'
      and attempts = 0 and not_before > now() + interval '200 s'`;
    expect(await read(waiting)).toHaveLength(1);
    // as if those minutes had passed
    await expectAgreement();
    expect(await classes()).toEqual([narrow]);
  });

  it('with pauses beyond their leases, while documents are written, moved and removed, end in agreement', async () => {
    const random = mulberry(4711);
    const workers = [1, 2, 3, 4].map(() =>
      worker(async () => {
        if (random() < 0.15) await pause(LEASE_SECONDS * 1000 * (1 + random()));
      }),
    );
    let on = true;
    const draining = workers.map(async (one) => {
      while (on) {
        await one.drain();
        await pause(5);
      }
    });
    const people = Array.from({ length: 6 }, async (_, person) => {
      const name = `storm-${person}.md`;
      for (let n = 0; n < 8; n += 1) {
        const dice = random();
        if (dice < 0.15) {
          const [row] = await read<{ id: string }>(`select id from ~document where external_id = '${name}'`);
          if (row !== undefined)
            await removeDocument(unindexed(), { authority: test.admin }, documentId(row.id));
        } else if (dice < 0.4)
          await submit(name, `Text ${n}.`, unindexed(), random() < 0.5 ? 'internal' : 'restricted');
        else
          await submit(name, `Text ${n}. ${'More of it. '.repeat(Math.floor(random() * 150))}`, unindexed());
        await pause(random() * 80);
      }
    });
    const watching = (async () => {
      const { fingerprint } = test.embedder;
      while (on) for await (const _ of doctor({ ...test, fingerprint, repair: true }));
    })();
    await Promise.all(people);
    on = false;
    await Promise.all([...draining, watching]);
    await expectAgreement();
  });

  it('leave the doctor nothing to find while all goes well', async () => {
    let on = true;
    const found: unknown[] = [];
    const watching = (async () => {
      const { fingerprint } = test.embedder;
      while (on) for await (const one of doctor({ ...test, fingerprint, repair: false })) found.push(one);
    })();
    for (let n = 0; n < 8; n += 1) {
      await submit('watched.md', `Text ${n}. ${'More of it. '.repeat(60)}`, test.parts);
      await submit(
        'watched.md',
        `Text ${n}. ${'More of it. '.repeat(60)}`,
        test.parts,
        n % 2 ? 'internal' : 'restricted',
      );
    }
    on = false;
    await watching;
    expect(found).toEqual([]);
  });
});

/** Mulberry32, so that a storm can be had again. */
function mulberry(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}
