/** The part of a data set's policy that the product itself makes: tenant, people, groups, containers. */
import { loadConfig } from '../../../src/config/config.ts';
import { type DirectoryContent, provisionPeople } from '../../../src/ingest/provision.ts';
import { type ClassId, instant, principalId } from '../../../src/policy/ids.ts';
import type { LabelScheme } from '../../../src/policy/label.ts';
import { authorize } from '../../../src/store/authority.ts';
import { Containers } from '../../../src/store/containers.ts';
import type { Database, Work } from '../../../src/store/database.ts';
import { migratePostgres } from '../../../src/store/open-postgres.ts';
import { createTenant } from '../../../src/store/tenants.ts';
import { ISSUER, userOf } from '../dealing.ts';
import {
  freshCallers,
  GROUP_COUNTS,
  groupOf,
  type Layout,
  manyGroups,
  memberOfMany,
  people,
} from './layout.ts';
import { openProduct } from './product.ts';
import type { Stores } from './stores.ts';

export const TENANT = 'bench';
export const ADMINISTRATOR = userOf('administrator');
const LONGEST_STATEMENT_MS = '600000';

/** Brings an empty database, or one that an earlier run has loaded, to the newest schema. */
export async function migrate({ databaseUrl }: Stores): Promise<void> {
  const config = loadConfig({ DATABASE_URL: databaseUrl, BULKHEAD_DEMO: 'false' });
  if (config.database === undefined) throw new Error('the configuration names no database');
  await migratePostgres({ ...config.database, production: false, withVectorIndex: false });
}

/** Makes the tenant in a migrated database. */
export async function makeTenant(stores: Stores, layout: Layout): Promise<void> {
  const { core, close } = await openProduct(stores, { DATABASE_STATEMENT_TIMEOUT_MS: LONGEST_STATEMENT_MS });
  try {
    await createTenant(core.database, {
      name: TENANT,
      admin: { principal: ADMINISTRATOR, source: ISSUER, displayName: 'Administrator' },
      rootLevel: core.scheme.levels[0]?.name ?? '',
    });
    await fill(core.database, core.scheme, layout);
  } finally {
    await close();
  }
}

async function fill(database: Database, scheme: LabelScheme, layout: Layout): Promise<void> {
  const administrator = {
    tenant: TENANT,
    user: ADMINISTRATOR,
    tokenGroups: [],
    actor: undefined,
    acr: undefined,
    authTime: undefined,
  };
  const { context } = await authorize(database, 'admin', scheme, administrator);
  await provisionPeople(database, context, directoryOf(layout), instant(Date.now()));
  await database.unitOfWork('admin', context, (trx) => makeContainers(trx, layout));
}

async function makeContainers(trx: Work, layout: Layout): Promise<void> {
  const containers = Containers.within(trx);
  const root = await containers.find('/');
  if (root === undefined) throw new Error('the tenant has no root container');
  await allow(trx, root.id, ['all']);
  for (const { path, level, readers } of layout.containers) {
    const id = await containers.create(root.id, {
      path,
      level,
      compartments: [],
      inherits: true,
      entries: [],
    });
    await allow(trx, id, path === '/groups' ? manyGroups() : readers);
  }
}

async function allow(trx: Work, container: ClassId, groups: readonly string[]): Promise<void> {
  const found = await trx
    .withSchema('bulkhead')
    .selectFrom('principal')
    .select('id')
    .where('key', 'in', ['', ...groups.map(groupOf)])
    .execute();
  for (const { id } of found)
    await Containers.within(trx).addEntry(container, {
      principal: principalId(id),
      effect: 'allow',
      validFrom: undefined,
      validUntil: undefined,
    });
}

function directoryOf(layout: Layout): DirectoryContent {
  const isFull = layout.readers.some(({ name }) => name === 'groups');
  const ofGroup = layout.readers.map(({ name }) => ({ name, accounts: [name, ...freshCallers(name)] }));
  const many = isFull ? manyGroups() : [];
  const manyCallers = isFull ? GROUP_COUNTS : [];
  const inMany = manyCallers.flatMap((n) =>
    [memberOfMany(n), ...freshCallers(memberOfMany(n))].map((name) => ({ n, name })),
  );
  const readers = [...ofGroup.flatMap(({ accounts }) => accounts), ...inMany.map(({ name }) => name)];
  return {
    users: [...readers, ...people()].map(user),
    groups: [
      ...ofGroup.map(({ name, accounts }) => group(name, accounts)),
      ...many.map((name, i) =>
        group(
          name,
          inMany.filter(({ n }) => i < n).map((caller) => caller.name),
        ),
      ),
    ],
    services: [],
    clearances: readers.map((name) => ({ principal: userOf(name), level: 'restricted', compartments: [] })),
    roles: [],
  };
}

function user(account: string): DirectoryContent['users'][number] {
  return { account, issuer: ISSUER, name: account, email: `${account}@example.com`, status: 'active' };
}

function group(name: string, accounts: readonly string[]): DirectoryContent['groups'][number] {
  return { id: groupOf(name), name, members: accounts.map((account) => ({ principal: userOf(account) })) };
}
