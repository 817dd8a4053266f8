import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { classId, instant, tenantId } from '../../src/policy/ids.ts';
import { NOTHING, visibilityFilter } from '../../src/policy/visibility-filter.ts';
import { ClassCounts } from '../../src/store/class-counts.ts';
import type { Database } from '../../src/store/database.ts';
import { nobodyIn } from '../../src/store/session-context.ts';
import { openTestDatabase } from '../helpers/database.ts';
import { asSuperuser } from '../helpers/policy-tables.ts';

const [MEADOW, HARBOUR] = [tenantId(1), tenantId(2)];
/** Classes of the meadow, and one of the harbour, whose root it is. */
const CLASSES = [100, 101, 102, 105, 200];

let database: Database;
beforeAll(async () => {
  database = await openTestDatabase();
  await asSuperuser(
    database,
    `insert into tenant (id, name) overriding system value values (1, 'meadow'), (2, 'harbour');
     insert into policy_epoch (tenant_id) values (1), (2);
     insert into access_class (id, tenant_id, parent_id, kind, path, seq) values
       (100, 1, null, 'container', '/', 1), (101, 1, 100, 'container', '/a', 2), (102, 1, 100, 'container', '/b', 3),
       (105, 1, 100, 'container', '/c', 4), (200, 2, null, 'container', '/', 1)`,
  );
});
afterAll(() => database.close());

const write = (statement: string) => asSuperuser(database, statement);

/** A document of this many chunks; version 0 is not live yet. */
async function add(cls: number, chunks: number, version = 1): Promise<string> {
  const id = randomUUID();
  await write(
    `insert into document (id, tenant_id, container_id, class_id, source, external_id, version, chunk_count, title,
       media_type, content_hash)
     values ('${id}', ${cls < 200 ? 1 : 2}, ${cls}, ${cls}, 's', '${id}', ${version}, ${chunks}, 't', 'text/plain', '')`,
  );
  return id;
}

const stored = () =>
  write('select class_id as id, chunks from class_chunk_count order by 1') as Promise<
    { id: number; chunks: number }[]
  >;
const counted = () =>
  write(`select class_id as id, sum(chunk_count) as chunks from document where version > 0
    group by class_id having sum(chunk_count) > 0 order by 1`) as Promise<{ id: number; chunks: number }[]>;
const countOf = async (cls: number) => (await stored()).find(({ id }) => id === cls)?.chunks ?? 0;

describe('The counts of live chunks', () => {
  it('hold what each class holds after it is published, replaced, moved and deleted', async () => {
    const id = await add(100, 3, 0);
    expect(await countOf(100)).toBe(0);
    await write(`update document set version = 1 where id = '${id}'`);
    expect(await countOf(100)).toBe(3);
    await write(`update document set version = 2, chunk_count = 8 where id = '${id}'`);
    expect(await countOf(100)).toBe(8);
    await write(`update document set title = 'renamed' where id = '${id}'`);
    await write(`update document set class_id = 101 where id = '${id}'`);
    expect([await countOf(100), await countOf(101)]).toEqual([0, 8]);
    await write(`delete from document where id = '${id}'`);
    expect(await stored()).toEqual([]);
  });

  it('are right after any number of changes in one statement', async () => {
    let seed = 11;
    const below = (n: number) => {
      seed = (seed * 16_807) % 2_147_483_647;
      return seed % n;
    };
    const pick = () => CLASSES[below(4)] ?? 100;
    for (let i = 0; i < 40; i += 1) await add(CLASSES[below(5)] ?? 100, below(4), below(3));
    for (let round = 0; round < 30; round += 1) {
      const some = `mod(hashtext(id::text), 7) = ${below(7)} and tenant_id = 1`;
      await write(
        [
          `update document set class_id = ${pick()} where ${some}`,
          `update document set version = version + 1, chunk_count = ${below(5)} where ${some}`,
          `update document set class_id = case class_id when 100 then 101 else 100 end where ${some}`,
          `delete from document where ${some} and mod(hashtext(title), 2) = 0`,
        ][below(4)] ?? '',
      );
      expect(await stored()).toEqual(await counted());
    }
    expect((await stored()).length).toBeGreaterThan(2);
  });

  it('take what was there before them when the schema is brought up to date', async () => {
    const before = await stored();
    await write(
      `drop table class_chunk_count; drop function count_class_chunks cascade; drop function add_class_chunks`,
    );
    const file = new URL('../../migrations/0021_class_counts.sql', import.meta.url);
    await write(`${await readFile(file, 'utf8')}; reset role`);
    expect(await stored()).toEqual(before);
    expect(
      await asSuperuser(
        database,
        "select 1 from pg_policies where policyname = 'owner_count' and tablename = 'document'",
      ),
    ).toEqual([]);
    await add(102, 2);
    expect(await stored()).toEqual(await counted());
  });

  it('are read by queries in their own tenant, and written by nobody', async () => {
    const read = (role: 'retrieve' | 'ingest' | 'indexer', tenant: typeof MEADOW | undefined) =>
      database.statement(
        role,
        tenant && nobodyIn(tenant),
        sql<{ tenant: number }>`select distinct tenant_id as tenant from bulkhead.class_chunk_count`,
      );
    await add(200, 4);
    expect(await read('retrieve', MEADOW)).toEqual([{ tenant: 1 }]);
    expect(await read('retrieve', HARBOUR)).toEqual([{ tenant: 2 }]);
    expect(await read('retrieve', undefined)).toEqual([]);
    const REFUSED = { sqlState: '42501' };
    for (const role of ['ingest', 'indexer'] as const)
      await expect(read(role, MEADOW)).rejects.toMatchObject(REFUSED);
    for (const role of ['retrieve', 'admin', 'ingest', 'indexer'] as const)
      await expect(
        database.statement(role, nobodyIn(MEADOW), sql`update bulkhead.class_chunk_count set chunks = 0`),
      ).rejects.toMatchObject(REFUSED);
  });
});

describe('The number of visible chunks', () => {
  let now = instant(1_000);
  const failures: unknown[] = [];
  const open = (over: Database = database, rowsPerRead = 2) =>
    new ClassCounts({
      database: over,
      now: () => now,
      onFailure: (error) => failures.push(error),
      rowsPerRead,
    });
  const of = (...ids: number[]) => visibilityFilter(ids.map(classId));
  const settled = (counts: ClassCounts, tenant = MEADOW) =>
    vi.waitFor(() => expect(counts.chunksOf(tenant, NOTHING)).toBeDefined(), 10_000);
  beforeAll(async () => {
    await write('delete from document');
    for (const [i, cls] of CLASSES.entries()) await add(cls, 10 ** i);
  });

  it('is unknown at first, and never waited for', async () => {
    const counts = open();
    expect(counts.chunksOf(MEADOW, of(100, 101))).toBeUndefined();
    await settled(counts);
    expect(counts.chunksOf(MEADOW, of(100, 101))).toBe(11);
  });

  it('is the sum over exactly the visible classes', async () => {
    const counts = open();
    await settled(counts);
    const sizes = new Map([100, 101, 102, 105].map((id, i) => [id, 10 ** i]));
    for (let mask = 0; mask < 256; mask += 1) {
      // classes that hold nothing, or do not exist, may be visible too
      const ids = [99, 100, 101, 102, 103, 104, 105, 106].filter((_, bit) => mask & (1 << bit));
      const sum = ids.reduce((total, id) => total + (sizes.get(id) ?? 0), 0);
      expect(counts.chunksOf(MEADOW, of(...ids))).toBe(sum);
    }
  });

  it('never counts what another tenant has', async () => {
    const counts = open();
    await settled(counts);
    await settled(counts, HARBOUR);
    expect(counts.chunksOf(MEADOW, of(...CLASSES))).toBe(1_111);
    expect(counts.chunksOf(HARBOUR, of(...CLASSES))).toBe(10_000);
  });

  it('is read again after a minute and not before, and stays when the database does not answer', async () => {
    const counts = open(database, 20_000);
    await settled(counts);
    const id = await add(100, 500);
    now = instant(now + 59_999);
    expect(counts.chunksOf(MEADOW, of(100))).toBe(1);
    now = instant(now + 1);
    expect(counts.chunksOf(MEADOW, of(100))).toBe(1);
    await vi.waitFor(() => expect(counts.chunksOf(MEADOW, of(100))).toBe(501), 10_000);
    await write(`delete from document where id = '${id}'`);

    const broken = Object.create(database, {
      statement: { value: () => Promise.reject(new Error('gone')) },
    }) as Database;
    const orphan = open(broken);
    expect(orphan.chunksOf(MEADOW, of(100))).toBeUndefined();
    await vi.waitFor(() => expect(failures).toHaveLength(1));
    expect(orphan.chunksOf(MEADOW, of(100))).toBeUndefined();
  });
});
