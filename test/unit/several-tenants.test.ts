import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Parts } from '../../src/assembly/core.ts';
import { indexService } from '../../src/assembly/index-service.ts';
import { maintenanceService } from '../../src/assembly/maintenance-service.ts';
import { operatorService } from '../../src/assembly/operator-service.ts';
import { repairService } from '../../src/assembly/repair-service.ts';
import type { Caller } from '../../src/http/services.ts';
import { ingestMany } from '../../src/ingest/ingest.ts';
import { type Authority, authorize } from '../../src/store/authority.ts';
import { alone } from '../../src/store/index-work.ts';
import { createTenant } from '../../src/store/tenants.ts';
import { collect, markdown, openTestIngest, type TestIngest } from '../helpers/ingest.ts';
import { TEST_SCHEME } from '../helpers/tenant.ts';

const MINE = 2;
const HIDDEN = 5;
const identity = {
  tenant: 'meridian',
  user: 'user:workforce|root',
  tokenGroups: [],
  actor: undefined,
  acr: undefined,
  authTime: undefined,
};
const CALLER = { identity, requestId: 'r1' } as unknown as Caller;
const BY_THE_OPERATOR = {
  code: 'conflict',
  detail:
    'The index is shared by several tenants: its operator does this, with the role indexer and its credentials.',
};

let test: TestIngest;
let parts: Parts;
beforeAll(async () => {
  test = await openTestIngest();
  parts = { ...test, audit: test.log, scheme: TEST_SCHEME, config: {} } as unknown as Parts;
  await add(test.admin, MINE);
});
afterAll(() => test.close());

async function add(authority: Authority, count: number): Promise<void> {
  const pages = Array.from({ length: count }, (_, n) => markdown(`Page ${n}.`, { externalId: `${n}.md` }));
  await collect(ingestMany(test.parts, { authority }, pages));
}

const administrator = async () => test.admin;
const repairs = () => repairService({ ...parts, space: async () => test.embedder }, administrator);

async function rebuilt(service: Pick<ReturnType<typeof repairs>, 'rebuild'>) {
  const progress: string[] = [];
  const work = await service.rebuild(CALLER);
  const { passages } = await work((done, total) => progress.push(`${done}/${total}`));
  return { passages, progress };
}

describe('The administrator of the only tenant', () => {
  it('rebuilds the index, and is refused while somebody does', async () => {
    expect(await rebuilt(repairs())).toEqual({ passages: MINE, progress: [`${MINE}/${MINE}`] });
    await alone(test.database, 'reembed', async () => {
      await expect(repairs().rebuild(CALLER)).rejects.toMatchObject({ code: 'conflict', status: 409 });
    });
  });
});

describe('The administrator of one of several tenants', () => {
  let begun: Awaited<ReturnType<ReturnType<typeof repairs>['rebuild']>>;
  beforeAll(async () => {
    begun = await repairs().rebuild(CALLER);
    const admin = { principal: 'user:rival|boss', source: 'rival', displayName: 'Boss' };
    await createTenant(test.database, { name: 'rival', admin, rootLevel: 'public' });
    await add(
      await authorize(test.database, 'ingest', TEST_SCHEME, {
        ...identity,
        tenant: 'rival',
        user: 'user:rival|boss',
      }),
      HIDDEN,
    );
  });

  it('is refused what would tell how much the others have, and what is done to all', async () => {
    await expect(repairs().rebuild(CALLER)).rejects.toMatchObject(BY_THE_OPERATOR);
    const progress: number[] = [];
    await expect(begun((done) => progress.push(done))).rejects.toMatchObject(BY_THE_OPERATOR);
    expect(progress).toEqual([]);
    await expect(indexService(parts, administrator).calibrate(CALLER, { seconds: 5 })).rejects.toMatchObject(
      BY_THE_OPERATOR,
    );
    await expect(maintenanceService(parts).reembed(CALLER)).rejects.toMatchObject(BY_THE_OPERATOR);
  });

  it('is refused the same whatever the others have and whoever is at it', async () => {
    await alone(test.database, 'rebuild', async () => {
      await expect(repairs().rebuild(CALLER)).rejects.toMatchObject(BY_THE_OPERATOR);
    });
  });

  it('sees figures of their own tenant, which nothing that the others make changes', async () => {
    const stats = () => indexService(parts, administrator).indexStats(CALLER);
    const { tenant } = test;
    const addClasses = (of: string, ...ids: readonly number[]) =>
      test.rows(
        `insert into access_class (id, tenant_id, parent_id, kind, path, seq, inherits, intern_key)
         select n, ${of}, (select id from access_class where path = '/' and tenant_id = ${of}), 'adhoc', null, n, true, n::text
         from unnest(array[${ids}]) n;
         insert into class_ancestor (tenant_id, class_id, ancestor_id, allows_pass)
         select c.tenant_id, c.id, p.id, true from access_class c join access_class p
           on p.tenant_id = c.tenant_id and p.path = '/' where c.id in (${ids}) on conflict do nothing`,
      );
    // the block after the next one is the same tenant's, whoever has the one between
    await addClasses(`${tenant}`, 6463, 6528);
    const before = await stats();
    expect(before).toMatchObject({ passages: MINE, waiting: 0 });
    expect(before.subtrees.widest[0]).toMatchObject({ path: '/', ranges: 2 });
    await addClasses(`(select id from tenant where name = 'rival')`, 6464, 6465);
    expect(await stats()).toEqual(before);
  });

  it('finds what the operator did in their log with the figures of their own tenant', async () => {
    const operator = operatorService(parts);
    expect((await rebuilt(operator)).passages).toBe(MINE + HIDDEN);
    const [mine] = await test.points();
    await test.index.removePoints(test.tenant, mine ? [mine.chunkId] : []);
    await operator.doctor(CALLER, { repair: false });
    const logged = await test.rows<{ tenant: string; kind: string; body: string }>(
      `select t.name as tenant, r.kind, r.body from audit_record r join tenant t on t.id = r.tenant_id
       where r.kind like 'index.%' order by r.at, r.chain_id`,
    );
    const found = logged.map(({ tenant, kind, body }) => {
      const { passages, differences } = JSON.parse(body) as { passages?: number; differences?: number };
      return [kind, tenant, passages ?? differences];
    });
    expect(found.slice(1)).toEqual([
      ['index.rebuilt', 'meridian', MINE],
      ['index.rebuilt', 'rival', HIDDEN],
      ['index.checked', 'meridian', 1],
      ['index.checked', 'rival', 0],
    ]);
  });
});
