import type { LabelScheme } from '../../src/policy/label.ts';
import { type Authority, authorize } from '../../src/store/authority.ts';
import type { Database } from '../../src/store/database.ts';
import { syncLevels } from '../../src/store/level-scheme.ts';
import { createTenant } from '../../src/store/tenants.ts';
import { openTestDatabase } from './database.ts';

const NAMES = ['public', 'internal', 'confidential', 'restricted'];

export const TEST_SCHEME: LabelScheme = {
  levels: NAMES.map((name, rank) => ({ name, rank, safeguards: {} })),
  compartments: new Set(['payroll', 'legal', 'heron', 'security', 'medical', 'board']),
  digest: '7'.repeat(64),
};

export interface TestTenant {
  readonly database: Database;
  /** Holds every right at the root. */
  readonly admin: Authority;
  readonly as: (user: string, actor?: string) => Promise<Authority>;
}

/** The tenant `meridian` with nothing in it but its administrator, `user:workforce|root`. */
export async function openTestTenant(database?: Database): Promise<TestTenant> {
  const opened = database ?? (await openTestDatabase());
  await syncLevels(opened, TEST_SCHEME);
  await createTenant(opened, {
    name: 'meridian',
    admin: { principal: 'user:workforce|root', source: 'workforce', displayName: 'Root' },
    rootLevel: 'public',
  });
  const as = (user: string, actor?: string) =>
    authorize(opened, 'ingest', TEST_SCHEME, {
      tenant: 'meridian',
      user,
      tokenGroups: [],
      actor,
      acr: undefined,
      authTime: undefined,
    });
  return { database: opened, admin: await as('user:workforce|root'), as };
}
