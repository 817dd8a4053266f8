/** Callers whose tenant nobody can tell: in whose audit log they are. */
import type { Config } from '../config/config.ts';
import { BulkheadError } from '../errors.ts';
import { type IssuerProfile, tenantsOf } from '../identity/issuer.ts';
import type { TenantIds } from '../store/tenant-ids.ts';
import type { Log } from '../telemetry/log.ts';

type Configured = Pick<Config, 'audit' | 'certificates'>;

/** The tenant that the configuration names, or the only one it has; `undefined` where it could be any of several. */
export function tenantOfStrangers(
  { audit, certificates }: Configured,
  profiles: readonly IssuerProfile[],
): string | undefined {
  if (audit.strangers !== undefined) return audit.strangers;
  const [only, ...others] = tenantsIn(certificates, profiles);
  return others.length === 0 ? only : undefined;
}

/**
 * Before anybody is answered: a name that is mistyped would cost the records that it is there for.
 * @throws BulkheadError `config_invalid` for a tenant that was never made
 */
export async function checkStrangers(
  { audit, certificates }: Configured,
  profiles: readonly IssuerProfile[],
  tenants: TenantIds,
  log: Log,
): Promise<void> {
  const { strangers } = audit;
  if (strangers !== undefined && (await tenants.find(strangers)) === undefined)
    throw new BulkheadError(
      'config_invalid',
      `audit.strangers names the tenant "${strangers}", which does not exist. Run: bulkhead init`,
    );
  if (strangers === undefined && tenantsIn(certificates, profiles).size > 1)
    log.warn(
      'refusals of callers whose tenant is not known leave no audit record: name one of the tenants in audit.strangers',
    );
}

function tenantsIn(
  certificates: Configured['certificates'],
  profiles: readonly IssuerProfile[],
): ReadonlySet<string> {
  return new Set([...profiles.flatMap(tenantsOf), ...certificates.map(({ tenant }) => tenant)]);
}
