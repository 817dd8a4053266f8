import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { authorize } from '../../src/store/authority.ts';
import { listDeadLetters, retryDeadLetters } from '../../src/store/dead-letters.ts';
import { createTenant } from '../../src/store/tenants.ts';
import { openTestApp, type TestApp } from '../helpers/app.ts';
import { asSuperuser } from '../helpers/policy-tables.ts';
import { TEST_SCHEME } from '../helpers/tenant.ts';

let test: TestApp;
let document: string;
const FOREIGN = '00000000-0000-4000-8000-00000000000f';

const rows = <T>(statement: string) => asSuperuser<T & object>(test.store.database, statement);
const die = (tenant: number, id: string) =>
  rows(`insert into outbox (tenant_id, document_id, operation, attempts, last_error, not_before)
    values (${tenant}, '${id}', 'publish', 10, 'internal', 'infinity')`);

beforeAll(async () => {
  test = await openTestApp();
  document = await test.add('/open', 'A page.');
});
afterAll(() => test.close());

describe('rebuilding through the API', () => {
  it('needs administer, and tells how it goes', async () => {
    expect((await test.ask('petra', 'POST', '/v1/index/rebuild')).json.code).toBe('right_missing');
    const { status, text } = await test.ask('root', 'POST', '/v1/index/rebuild');
    expect(status).toBe(200);
    expect(JSON.parse(text.trimEnd().split('\n').at(-1) ?? '')).toEqual({ result: { passages: 1 } });
    expect((await test.ask('root', 'POST', '/v1/doctor', {})).json.differences).toEqual({
      missing: 0,
      'stale-version': 0,
      'wrong-class': 0,
      orphan: 0,
    });
  });
});

describe('dead letters', () => {
  beforeAll(async () => {
    await createTenant(test.store.database, {
      name: 'elsewhere',
      admin: { principal: 'user:workforce|eve', source: 'workforce', displayName: 'Eve' },
      rootLevel: 'public',
    });
    await die(test.store.tenant, document);
    const [tenant] = await rows<{ id: number }>(`select id from tenant where name = 'elsewhere'`);
    await die(tenant?.id ?? -1, FOREIGN);
  });

  it('are shown to an administrator of their tenant, and of that tenant alone', async () => {
    const { status, json } = await test.ask('root', 'GET', '/v1/index/dead-letters');
    expect(status).toBe(200);
    expect(json).toMatchObject({
      more: false,
      dead_letters: [{ document_id: document, operation: 'publish', attempts: 10, last_error: 'internal' }],
    });
  });

  it('are nothing to others, in the database either', async () => {
    for (const [method, path] of [
      ['GET', ''],
      ['POST', '/retry'],
    ] as const) {
      const body = method === 'POST' ? {} : undefined;
      const { status, json } = await test.ask('petra', method, `/v1/index/dead-letters${path}`, body);
      expect([status, json.code]).toEqual([403, 'right_missing']);
    }
    const { context } = await authorize(test.store.database, 'admin', TEST_SCHEME, {
      tenant: 'meridian',
      user: 'user:workforce|petra',
      tokenGroups: [],
      actor: undefined,
      acr: undefined,
      authTime: undefined,
    });
    expect(await listDeadLetters(test.store.database, context, 10)).toEqual([]);
    await expect(
      test.store.database.unitOfWork('admin', context, (trx) => retryDeadLetters(trx, undefined)),
    ).rejects.toMatchObject({ sqlState: '42501' });
    for (const role of ['retrieve', 'ingest', 'audit'] as const)
      await expect(
        test.store.database.unitOfWork(role, context, (trx) =>
          trx
            .withSchema('bulkhead')
            .selectFrom('dead_letter' as 'outbox')
            .selectAll()
            .execute(),
        ),
      ).rejects.toMatchObject({ sqlState: '42501' });
  });

  it('are tried again when told to, which is recorded', async () => {
    const foreign = await test.ask('root', 'POST', '/v1/index/dead-letters/retry', { documents: [FOREIGN] });
    expect(foreign.json).toMatchObject({ retried: 0 });
    const { json } = await test.ask('root', 'POST', '/v1/index/dead-letters/retry', {});
    expect(json).toMatchObject({ retried: 1 });
    expect(
      await rows(`select document_id = '${document}' as own, attempts, last_error from outbox order by 1`),
    ).toEqual([
      { own: false, attempts: 10, last_error: 'internal' },
      { own: true, attempts: 0, last_error: null },
    ]);
    expect((await test.ask('root', 'GET', '/v1/index/dead-letters')).json.dead_letters).toEqual([]);
    const { json: audit } = await test.ask('root', 'GET', '/v1/audit/records?kind=index.retried');
    const counts = (audit.records as { body: { documents: number } }[]).map(({ body }) => body.documents);
    expect(counts.sort()).toEqual([0, 1]);
  });

  it('do not keep the rest from being indexed, and go when their document is', async () => {
    const later = await test.add('/open', 'Another page.');
    expect(await rows(`select 1 from outbox where document_id in ('${document}', '${later}')`)).toEqual([]);
  });

  it('are looked after where several tenants share the index, but only its operator rebuilds it', async () => {
    const { status, json } = await test.ask('root', 'POST', '/v1/index/rebuild');
    expect([status, json.detail]).toEqual([
      409,
      expect.stringMatching(/^The index is shared by several tenants/),
    ]);
  });
});
