import { join } from 'node:path';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadDirectory } from '../../src/dev/load-directory.ts';
import { provisionPeople, provisionRights } from '../../src/ingest/provision.ts';
import { instant } from '../../src/policy/ids.ts';
import { authorize } from '../../src/store/authority.ts';
import type { Work } from '../../src/store/database.ts';
import { Directory } from '../../src/store/directory.ts';
import { beat, enterScope } from '../../src/store/directory-scope.ts';
import { syncLevels } from '../../src/store/level-scheme.ts';
import { createTenant } from '../../src/store/tenants.ts';
import { openTestTenant, TEST_SCHEME, type TestTenant } from '../helpers/tenant.ts';

const COMPANY = join(import.meta.dirname, '../../fixtures/company/directory.yaml');
const NOW = instant(Date.parse('2026-11-21T09:00:00Z'));
const KAY = 'user:workforce|kay.new';

let tenant: TestTenant;
beforeAll(async () => {
  tenant = await openTestTenant();
});
afterAll(() => tenant.database.close());

const admin = () => tenant.admin.context;
const directory = () => Directory.as(tenant.database, admin());
const epoch = async () => (await tenant.as('user:workforce|root')).epoch.counter;

async function makeContainer(path: string): Promise<void> {
  await tenant.database.unitOfWork('admin', admin(), async (trx) => {
    await sql`select bulkhead.create_container(bulkhead.ctx_root(), ${path}, true, null, '{}', '[]')`.execute(
      trx,
    );
  });
}

async function rows(table: 'membership' | 'clearance' | 'role_binding' | 'actor_ceiling'): Promise<number> {
  return tenant.database.unitOfWork('admin', admin(), async (trx) => {
    const result = await sql<{
      n: number;
    }>`select count(*) as n from ${sql.table(`bulkhead.${table}`)}`.execute(trx);
    return result.rows[0]?.n ?? 0;
  });
}

describe('a whole directory', () => {
  it('is loaded, and loading it again raises no epoch', async () => {
    const company = await loadDirectory(COMPANY);
    await provisionPeople(tenant.database, admin(), company, NOW);
    const containers = [
      ...company.roles.map((role) => role.container),
      ...company.services.flatMap((service) => service.ceiling?.containers ?? []),
    ];
    for (const path of new Set(containers)) if (path !== '/') await makeContainer(`/${path}`);
    await provisionRights(tenant.database, admin(), company);
    const counts = async () => ({
      memberships: await rows('membership'),
      clearances: await rows('clearance'),
      bindings: await rows('role_binding'),
      ceilings: await rows('actor_ceiling'),
    });
    const first = { epoch: await epoch(), ...(await counts()) };
    expect(first.memberships).toBe(company.groups.flatMap((group) => group.members).length);
    expect(first.clearances).toBe(company.clearances.length);

    await provisionPeople(tenant.database, admin(), company, NOW);
    await provisionRights(tenant.database, admin(), company);
    expect({ epoch: await epoch(), ...(await counts()) }).toEqual(first);
  });

  it('disables who has left', async () => {
    const company = await loadDirectory(COMPANY);
    const leaver = company.users.find((user) => user.status === 'left');
    await expect(tenant.as(`user:${leaver?.issuer}|${leaver?.account}`)).rejects.toMatchObject({
      code: 'subject_disabled',
    });
  });
});

describe('the directory', () => {
  const kay = {
    principal: KAY,
    source: 'workforce',
    displayName: 'Kay New',
    status: 'active' as const,
  };

  it('refuses whoever does not administer the root', async () => {
    await directory().upsertAccounts([kay]);
    const her = await tenant.as(KAY);
    await expect(
      Directory.as(tenant.database, her.context).upsertAccounts([{ ...kay, displayName: 'Boss' }]),
    ).rejects.toMatchObject({ sqlState: '42501' });
  });

  it('drops a member that is no longer named, at a new epoch', async () => {
    await directory().upsertAccounts([kay]);
    await directory().upsertGroups([{ principal: 'group:workforce|new', displayName: 'New' }]);
    const members = { group: 'group:workforce|new', members: [{ principal: KAY }] };
    await directory().setMembers([members]);
    const before = await epoch();
    expect((await tenant.as(KAY)).subject.user.principals.size).toBe(3);
    await directory().setMembers([{ ...members, members: [] }]);
    expect((await tenant.as(KAY)).subject.user.principals.size).toBe(2);
    expect(await epoch()).toBe(before + 1);
  });

  it('names every principal that it does not have', async () => {
    await expect(
      directory().grantClearance([
        { principal: 'user:workforce|a', level: 'public', compartments: [] },
        { principal: 'user:workforce|b', level: 'public', compartments: [] },
      ]),
    ).rejects.toMatchObject({
      code: 'unknown_principal',
      detail: expect.stringContaining('user:workforce|a, user:workforce|b'),
    });
  });

  it('refuses a level and a container that do not exist', async () => {
    const clearance = { principal: 'everyone', level: 'cosmic', compartments: [] };
    await expect(directory().grantClearance([clearance])).rejects.toMatchObject({ code: 'unknown_level' });
    const binding = { principal: 'everyone', container: '/nowhere', right: 'ingest' };
    await expect(directory().bindRight([binding])).rejects.toMatchObject({ code: 'unknown_container' });
  });

  it('grants a clearance to the millisecond and revokes it by id', async () => {
    await directory().upsertAccounts([kay]);
    const validUntil = instant(Date.parse('2030-01-01T00:00:00.123Z'));
    const given = { principal: KAY, level: 'internal', compartments: ['legal', 'heron'], validUntil };
    await directory().grantClearance([given, { ...given, compartments: ['heron', 'legal'] }]);
    const held = () =>
      tenant
        .as(KAY)
        .then(({ subject }) => subject.user.clearances.filter((one) => one.validUntil === validUntil));
    expect(await held()).toMatchObject([{ rank: 1, compartments: new Set(['heron', 'legal']) }]);
    const { rows: ids } = await tenant.database.unitOfWork('admin', admin(), (trx) =>
      sql<{ id: number }>`select max(id) as id from bulkhead.clearance`.execute(trx),
    );
    expect(await directory().revokeClearance(ids.map(({ id }) => id))).toBe(1);
    expect(await held()).toEqual([]);
  });

  it('takes the last instant at which a source was current, never an earlier one', async () => {
    await directory().touchSource(['workforce'], instant(NOW + 86_400_000 * 365));
    await directory().touchSource(['workforce'], NOW);
    expect((await tenant.as('user:workforce|root')).subject.user.assurance.directoryAsOf).toBe(
      NOW + 86_400_000 * 365,
    );
  });

  it('keeps a source from the first time that it was current, an earlier instant or by provisioning', async () => {
    const admin = { principal: 'user:hand|root', source: 'hand', displayName: 'Root' };
    await createTenant(tenant.database, { name: 'by-hand', admin, rootLevel: 'public' });
    const identity = { tokenGroups: [], actor: undefined, acr: undefined, authTime: undefined };
    const { context } = await authorize(tenant.database, 'admin', TEST_SCHEME, {
      ...identity,
      tenant: 'by-hand',
      user: 'user:hand|root',
    });
    const work = <T>(does: (trx: Work) => Promise<T>) => tenant.database.unitOfWork('admin', context, does);
    const sources = async () => {
      const query = sql<{ source: string; kept: boolean; late: boolean }>`
        select source, kept, as_of > to_timestamp(${NOW}::float8 / 1000) as late from bulkhead.directory_source`;
      return (await work((trx) => query.execute(trx))).rows;
    };
    expect(await sources()).toMatchObject([{ source: 'hand', kept: false }]);
    const late = (await sources())[0]?.late;
    await work((trx) => Directory.within(trx).touchSource(['hand'], instant(0)));
    expect(await sources()).toEqual([{ source: 'hand', kept: true, late }]);
    await work(async (trx) => {
      await enterScope(trx, { source: 'hr', issuer: 'hand' });
      await beat(trx, 'hr', NOW);
    });
    expect(await sources()).toContainEqual({ source: 'hr', kept: true, late: false });
  });

  it('lists principals with names', async () => {
    await directory().upsertAccounts([kay]);
    expect(await directory().listPrincipals()).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ key: 'everyone', kind: 'everyone' }),
        expect.objectContaining({ key: KAY, displayName: 'Kay New', status: 'active' }),
        expect.objectContaining({ key: 'user:workforce|root', displayName: 'Root' }),
      ]),
    );
  });
});

describe('tenants and levels', () => {
  /** Other names under the same digest, so that those who ask go on asking. */
  const names = (...levels: string[]) => ({ ...TEST_SCHEME, levels: levels.map((name) => ({ name })) });

  it('refuses a name that is taken', async () => {
    const admin = { principal: 'user:workforce|other', source: 'workforce', displayName: 'Other' };
    await expect(
      createTenant(tenant.database, { name: 'meridian', admin, rootLevel: 'public' }),
    ).rejects.toMatchObject({ code: 'conflict' });
  });

  it('refuses a root level that is not configured', async () => {
    const admin = { principal: 'user:workforce|other', source: 'workforce', displayName: 'Other' };
    await expect(
      createTenant(tenant.database, { name: 'other', admin, rootLevel: 'cosmic' }),
    ).rejects.toMatchObject({ code: 'unknown_level' });
  });

  it('changes nothing and raises no epoch when the levels are the same', async () => {
    const before = await epoch();
    expect(await syncLevels(tenant.database, TEST_SCHEME)).toBe(false);
    expect(await epoch()).toBe(before);
  });

  it('carries a new order to labels and clearances and raises the epoch', async () => {
    await directory().upsertAccounts([
      { principal: KAY, source: 'workforce', displayName: 'Kay', status: 'active' },
    ]);
    await directory().grantClearance([{ principal: KAY, level: 'internal', compartments: [] }]);
    const rank = async () =>
      (await tenant.as(KAY)).subject.user.clearances.find((one) => one.principal !== everyone)?.rank;
    const everyone = (await directory().listPrincipals()).find(({ key }) => key === 'everyone')?.id;
    expect(await rank()).toBe(1);
    const before = await epoch();
    expect(
      await syncLevels(tenant.database, names('open', 'public', 'internal', 'confidential', 'restricted')),
    ).toBe(true);
    expect(await rank()).toBe(2);
    expect(await epoch()).toBeGreaterThan(before);
    await syncLevels(tenant.database, names('internal', 'public', 'confidential', 'restricted'));
    expect(await rank()).toBe(0);
  });

  it('refuses to drop a level that a label names', async () => {
    const levels = names('internal', 'public', 'confidential', 'restricted');
    await expect(syncLevels(tenant.database, names('internal', 'restricted'))).rejects.toMatchObject({
      code: 'config_invalid',
    });
    expect(await syncLevels(tenant.database, levels)).toBe(false);
  });
});
