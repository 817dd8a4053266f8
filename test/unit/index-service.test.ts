/** `bulkhead index stats` and `bulkhead index calibrate` behind the API. */
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { Parts } from '../../src/assembly/core.ts';
import { indexService } from '../../src/assembly/index-service.ts';
import type { Caller } from '../../src/http/services.ts';
import { parseCalibration } from '../../src/index/calibration.ts';
import { PgvectorCollections } from '../../src/index/pgvector-collections.ts';
import { type ClassId, chunkId, classId, documentId, instant } from '../../src/policy/ids.ts';
import { classesIn } from '../../src/policy/visibility-filter.ts';
import { InstalledCalibration } from '../../src/store/calibrations.ts';
import { asSuperuser } from '../helpers/policy-tables.ts';
import { openTestTenant, type TestTenant } from '../helpers/tenant.ts';

const MODEL = { fingerprint: 'model', dimension: 4 };
const CALLER = {} as Caller;

let tenant: TestTenant;
let root: number;
beforeAll(async () => {
  tenant = await openTestTenant();
  const write = (statement: string) => asSuperuser<{ id: number }>(tenant.database, statement);
  root = (await write("select id from access_class where path = '/'"))[0]?.id ?? -1;
  // /a in one run of ids, /b in two, and a class that holds nothing
  const added: [number, string][] = [
    [1_000, '/a'],
    [1_001, '/a/x'],
    [1_002, '/a/y'],
    [2_000, '/b'],
    [2_010, '/b/x'],
  ];
  for (const [id, path] of added) {
    const parent =
      path.length === 2 ? root : `(select id from access_class where path = '${path.slice(0, 2)}')`;
    await write(`insert into access_class (id, tenant_id, parent_id, kind, path, seq)
        values (${id}, 1, ${parent}, 'container', '${path}', ${id});
      insert into class_ancestor (class_id, ancestor_id, tenant_id, allows_pass)
        select ${id}, ${id}, 1, true union all
        select ${id}, ancestor_id, 1, true from class_ancestor where class_id = ${parent}`);
  }
  for (const [i, id] of [1_000, 1_001, 1_002, 2_000].entries())
    await write(`insert into document (id, tenant_id, container_id, class_id, source, external_id, version, chunk_count,
        title, media_type, content_hash)
      values (gen_random_uuid(), 1, ${id}, ${id}, 's', '${i}', 1, ${10 ** i}, 't', 'text/plain', '')`);
  await write(`insert into outbox (tenant_id, document_id, operation)
    select 1, id, op from document, unnest(array['publish', 'move']) op where external_id in ('0', '1')`);
}, 60_000);
afterAll(() => tenant.database.close());

/** Finds nothing but the right things; 400 points in 40 classes, each as near as its class is to the query. */
function openToyIndex() {
  const ids = Array.from({ length: 40 }, (_, i) => classId(1_000 + i));
  return {
    searchAs: async ({ visible, limit }: { visible: Parameters<typeof classesIn>[0]; limit: number }) =>
      classesIn(visible)
        .filter((id) => ids.includes(id))
        .flatMap((id) =>
          Array.from({ length: 10 }, (_, i) => ({
            chunkId: chunkId(id * 10 + i),
            documentId: documentId('00000000-0000-4000-8000-000000000001'),
            classId: id,
            version: 1,
            score: 1 / id,
          })),
        )
        .slice(0, limit),
    sampleVectors: async () => [new Float32Array([1, 0, 0, 0])],
    classSizes: async () => new Map<ClassId, number>(ids.map((id) => [id, 10])),
  };
}

function service(index: object | undefined) {
  const { database } = tenant;
  const parts = { database, index, embedder: MODEL, config: { qdrant: {} } } as unknown as Parts;
  return indexService(parts, async () => tenant.admin);
}

const noProgress = () => {};

describe('The figures of an index', () => {
  it('are of the live passages and of the runs that the classes below each container lie in', async () => {
    expect(await service(undefined).indexStats(CALLER)).toMatchObject({
      passages: 1_111,
      classes: 4,
      passages_per_class: { median: 10, p95: 1_000, largest: 1_000 },
      waiting: 2,
      calibration: null,
    });
    const { subtrees, blocks } = await service(undefined).indexStats(CALLER);
    expect(subtrees.containers).toBe(6);
    expect(subtrees.median_ranges).toBe(1);
    expect(subtrees.widest.slice(0, 3)).toEqual([
      { path: '/', classes: 6, ranges: 4 },
      { path: '/b', classes: 2, ranges: 2 },
      { path: '/a', classes: 3, ranges: 1 },
    ]);
    expect(blocks).toBe(2);
  });

  it('say that an index in the database needs no calibration', async () => {
    const embedded = { database: tenant.database, embedder: MODEL, config: {} } as unknown as Parts;
    const stats = await indexService(embedded, async () => tenant.admin).indexStats(CALLER);
    expect(stats.calibration).toBe('exact');
  });
});

describe('Calibrating', () => {
  it('an index that compares every passage anyway is refused', async () => {
    const index = await new PgvectorCollections(tenant.database).open(MODEL);
    await expect(service(index).calibrate(CALLER, { seconds: 5 })).rejects.toMatchObject({
      code: 'conflict',
      detail: expect.stringContaining('exact by nature'),
    });
  });

  it('stores what every process plans by within a minute', async () => {
    let now = instant(0);
    const missing = vi.fn();
    const installed = new InstalledCalibration({
      database: tenant.database,
      fingerprint: MODEL.fingerprint,
      parse: parseCalibration,
      now: () => now,
      onMissing: missing,
      onFailure: (error) => {
        throw error;
      },
    });
    await installed.refresh();
    await installed.refresh();
    expect(installed.current()).toBeUndefined();
    expect(missing).toHaveBeenCalledTimes(1);

    const progress = vi.fn();
    const { passages, measurements } = await (
      await service(openToyIndex()).calibrate(CALLER, { seconds: 5 })
    )(progress);
    expect(passages).toBe(400);
    expect(measurements.length).toBeGreaterThan(20);
    expect(measurements.some(({ chosen }) => chosen)).toBe(true);
    const [done, total] = progress.mock.lastCall ?? [];
    expect(done).toBe(total);

    now = instant(59_999);
    expect(installed.current()).toBeUndefined();
    now = instant(60_000);
    installed.current();
    await vi.waitFor(() => expect(installed.current()).toMatchObject({ points: 400, tenant: 1 }));
  });

  it('is told of, with advice once the index has outgrown it', async () => {
    const { calibration } = await service(undefined).indexStats(CALLER);
    expect(calibration).toMatchObject({
      grown: 2.78,
      advice: expect.stringContaining('bulkhead index calibrate'),
    });
  });

  it('twice at once is refused, and again allowed after', async () => {
    const index = service(openToyIndex());
    const first = await index.calibrate(CALLER, { seconds: 5 });
    await expect(index.calibrate(CALLER, { seconds: 5 })).rejects.toMatchObject({ code: 'conflict' });
    await first(noProgress);
    await (await index.calibrate(CALLER, { seconds: 5 }))(noProgress);
  });

  it('needs the right to administer', async () => {
    const refused = new Error('no right');
    const parts = {
      database: tenant.database,
      index: openToyIndex(),
      embedder: MODEL,
      config: {},
    } as unknown as Parts;
    const index = indexService(parts, () => Promise.reject(refused));
    await expect(index.calibrate(CALLER, { seconds: 5 })).rejects.toBe(refused);
    await expect(index.indexStats(CALLER)).rejects.toBe(refused);
  });
});
