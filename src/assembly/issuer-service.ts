import { byWhom } from '../admin/change.ts';
import { BulkheadError } from '../errors.ts';
import type { Services } from '../http/services.ts';
import { tenantsOf } from '../identity/issuer.ts';
import { authorize } from '../store/authority.ts';
import { requireRootRight } from '../store/rights.ts';
import type { Parts } from './core.ts';
import { need } from './need.ts';
import type { Identity } from './open-identity.ts';

/** Recorded before it is done, so that nothing of it goes unrecorded. */
export function issuerService(
  { database, scheme, audit }: Pick<Parts, 'database' | 'scheme' | 'audit'>,
  identity: Pick<Identity, 'profiles' | 'verifier'> | undefined,
): Pick<Services, 'reloadIssuerKeys'> {
  return {
    reloadIssuerKeys: async (caller, issuer) => {
      const authority = await authorize(database, 'admin', scheme, caller.identity);
      await requireRootRight(database, 'admin', authority, 'administer');
      const { profiles, verifier } = need(identity, 'callers');
      const profile = profiles.find(({ name }) => name === issuer);
      if (profile === undefined || !tenantsOf(profile).includes(caller.identity.tenant))
        throw new BulkheadError('not_found', 'There is no such issuer.');
      const body = { ...byWhom(authority, caller.requestId), issuer };
      await need(audit, 'audit log').appendEvent(authority.subject.tenant, 'issuer.keys_reloaded', body);
      await verifier.reloadKeys(issuer);
    },
  };
}
