import { makeChange } from '../admin/change.ts';
import { requireDirectoryRight } from '../admin/reach.ts';
import { BulkheadError } from '../errors.ts';
import type { Services } from '../http/services.ts';
import { tenantsOf } from '../identity/issuer.ts';
import { requestKeyReload } from '../store/key-reloads.ts';
import type { Parts } from './core.ts';
import { need } from './need.ts';
import type { Identity } from './open-identity.ts';

/**
 * Recorded, and asked of every process, before it is done here. The administrators of any tenant of a shared issuer may
 * ask, each in their own log. It fetches what the issuer publishes now; while that is down, its tokens are nobody's.
 */
export function issuerService(
  { database, scheme, audit }: Pick<Parts, 'database' | 'scheme' | 'audit'>,
  identity: Pick<Identity, 'profiles' | 'keyReloads'> | undefined,
): Pick<Services, 'reloadIssuerKeys'> {
  return {
    reloadIssuerKeys: async (caller, issuer) => {
      const { profiles, keyReloads } = need(identity, 'callers');
      const parts = { database, scheme, audit: need(audit, 'audit log') };
      const count = await makeChange(parts, caller, {
        operation: 'reloadIssuerKeys',
        locate: async (authority) => {
          await requireDirectoryRight(parts, authority);
          const profile = profiles.find(({ name }) => name === issuer);
          if (profile === undefined || !tenantsOf(profile).includes(caller.identity.tenant))
            throw new BulkheadError('not_found', 'There is no such issuer.');
        },
        apply: async ({ trx, authority, by }) => {
          const { tenant } = authority.subject;
          const events = [{ tenant, kind: 'issuer.keys_reloaded' as const, body: { ...by, issuer } }];
          return { result: await requestKeyReload(trx, issuer), events };
        },
      });
      await keyReloads.reload(issuer, count);
    },
  };
}
