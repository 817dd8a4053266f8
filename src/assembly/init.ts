import type { Config } from '../config/config.ts';
import { BulkheadError } from '../errors.ts';
import { createTenant } from '../store/tenants.ts';
import { createLog } from '../telemetry/log.ts';
import { openParts } from './core.ts';
import { need } from './need.ts';
import { openStore } from './open-store.ts';

export interface FirstTenant {
  readonly tenant: string;
  /** The name of a configured issuer. */
  readonly issuer: string;
  /** The administrator's subject, as that issuer's tokens have it. */
  readonly account: string;
  readonly displayName: string;
}

/**
 * Makes a tenant and its first administrator, with its audit record in the same transaction.
 * @returns the administrator's principal
 * @throws BulkheadError `conflict` when the tenant is there; `config_invalid` when nobody could sign in to it;
 *   `data_folder_locked`, `store_unsafe`
 */
export async function initTenant(config: Config, first: FirstTenant): Promise<string> {
  if (config.role !== 'all' && config.role !== 'admin')
    throw new BulkheadError(
      'config_invalid',
      'A tenant is made in the role admin or all: see BULKHEAD_ROLE.',
    );
  refuseUnreachable(config, first);
  const principal = `user:${first.issuer}|${first.account}`;
  const store = await openStore(config);
  try {
    const parts = await openParts(config, store.database, createLog({ level: 'silent' }));
    try {
      const admin = { principal, source: first.issuer, displayName: first.displayName };
      const rootLevel = config.policy.levels[0]?.name ?? '';
      const audit = need(parts.audit, 'audit log');
      await createTenant(store.database, { name: first.tenant, admin, rootLevel }, (trx, tenant) => {
        const body = {
          subject: null,
          actor: null,
          request: null,
          tenant: first.tenant,
          administrator: principal,
        };
        return audit.appendWithin(trx, [{ tenant, kind: 'tenant.created', body }]);
      });
      await store.database.flush();
    } finally {
      await parts.close();
    }
  } finally {
    await store.close();
  }
  return principal;
}

/** A tenant whose issuer is not configured would be one that nobody can ever enter. */
function refuseUnreachable({ issuers }: Config, { tenant, issuer }: FirstTenant): void {
  if (issuers.some((known) => known.name === issuer && known.tenant === tenant)) return;
  throw new BulkheadError(
    'config_invalid',
    `The configuration has no issuer "${issuer}" of the tenant "${tenant}", so nobody could sign in. Add it to the file that BULKHEAD_CONFIG names. (The demo needs no init.)`,
  );
}
