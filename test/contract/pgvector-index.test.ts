import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PgvectorCollections } from '../../src/index/pgvector-collections.ts';
import { instant, tenantId } from '../../src/policy/ids.ts';
import type { Database } from '../../src/store/database.ts';
import type { ProcessRole } from '../../src/store/process-role.ts';
import { openTestDatabase } from '../helpers/database.ts';
import { vectorIndexContract } from './vector-index.ts';

vectorIndexContract('the pgvector index', async () => {
  const database = await openTestDatabase();
  return { collections: new PgvectorCollections(database), close: () => database.close() };
});

describe('the index tables', () => {
  let database: Database;
  beforeAll(async () => {
    database = await openTestDatabase();
    await new PgvectorCollections(database).open({ fingerprint: 'm', dimension: 3 });
  });
  afterAll(() => database.close());

  const contextOf = (tenant: number) => ({
    tenant: tenantId(tenant),
    principals: [],
    actor: undefined,
    actorPrincipals: [],
    now: instant(0),
    maxRank: -1,
  });
  const run = (role: ProcessRole, tenant: number | undefined, statement: string) =>
    database.unitOfWork(role, tenant === undefined ? undefined : contextOf(tenant), async (work) => {
      const { rows } = await sql.raw(statement).execute(work);
      return rows;
    });
  const search = (tenant: string, classes = `'{1}', '{9}', null, null`) =>
    `select * from bulkhead.search_chunks(${tenant}, 'm', ${classes}, null, '[1,0,0]', '{1}', 5)`;
  const LOCATE = `select * from bulkhead.locate_chunks(1, 'm', '{1}')`;
  const REFUSED = { sqlState: '42501' };

  it.each(['index_vector', 'index_posting', 'index_class_count'])(
    'are closed to every role that answers or accepts (%s)',
    async (table) => {
      for (const role of ['retrieve', 'ingest', 'admin', 'audit'] as const)
        await expect(run(role, 1, `select * from bulkhead.${table}`)).rejects.toMatchObject(REFUSED);
    },
  );

  it('are searched by the role retrieve only, and through the three granted functions only', async () => {
    expect(await run('retrieve', 1, search('1'))).toEqual([]);
    expect(await run('retrieve', 1, LOCATE)).toEqual([]);
    for (const role of ['ingest', 'indexer', 'admin', 'audit'] as const)
      for (const call of [search('1'), LOCATE])
        await expect(run(role, 1, call)).rejects.toMatchObject(REFUSED);
    for (const call of [`live_collection(1, 'm')`, `class_condition('{1}', '{2}', null, null)`])
      await expect(run('retrieve', 1, `select bulkhead.${call}`)).rejects.toMatchObject(REFUSED);
  });

  it('are not searched for a tenant other than that of the unit of work, nor without one', async () => {
    const count = `select bulkhead.count_chunks(1, 'm', '{1}', '{9}', null, null)`;
    for (const call of [search('1'), count, LOCATE]) {
      await expect(run('retrieve', 2, call)).rejects.toMatchObject(REFUSED);
      await expect(run('retrieve', undefined, call)).rejects.toMatchObject(REFUSED);
    }
    await expect(run('retrieve', 1, search('null'))).rejects.toMatchObject(REFUSED);
  });

  it.each([
    ['no ranges', `'{}', '{}', null, null`],
    ['null ranges', `null, null, null, null`],
    ['ids without ranges', `'{}', '{}', '{1,2}', null`],
    ['an open range', `array[1, null], array[5, 9], null, null`],
    ['a range without an end', `'{1,7}', '{5}', null, null`],
    ['a mask shorter than its range', `'{1}', '{9}', null, '\\xff'`],
    ['a mask over two ranges', `'{1,5}', '{2,8}', null, '\\xffff'`],
  ])('are not searched with %s', async (_name, classes) => {
    await expect(run('retrieve', 1, search('1', classes))).rejects.toMatchObject({ sqlState: '22023' });
  });
});
