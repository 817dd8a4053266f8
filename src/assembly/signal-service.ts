import type { AdminParts } from '../admin/change.ts';
import { applySignals } from '../admin/signals.ts';
import { BulkheadError } from '../errors.ts';
import type { Services } from '../http/services.ts';
import { SecurityEventRefused } from '../identity/security-event-refusal.ts';
import { createSecurityEventVerifier, type SecurityEventVerifier } from '../identity/security-events.ts';
import { now, type Parts } from './core.ts';
import { TenantBudgets } from './minute-budget.ts';
import { need } from './need.ts';

/** Refused events cost a stranger nothing, so their records are bounded. */
const REFUSALS_PER_MINUTE = 20;

type Receiving = Pick<Parts, 'tenants'> & { readonly admin: AdminParts | undefined };

/**
 * The receiver of what identity providers say by themselves; none where none is configured.
 * @throws BulkheadError `config_invalid`
 */
export function signalService(parts: Parts): Pick<Services, 'securityEvents'> {
  const { signals } = parts.config;
  if (signals.length === 0 || parts.admin === undefined) return {};
  return { securityEvents: receiverOf(parts, createSecurityEventVerifier(signals, { now }), now) };
}

export function receiverOf(
  parts: Receiving,
  verifier: SecurityEventVerifier,
  clock: () => number,
): NonNullable<Services['securityEvents']> {
  const refusals = new TenantBudgets(REFUSALS_PER_MINUTE, clock);
  return {
    async receive({ token, authorization, requestId }) {
      try {
        const events = await verifier.verify(token, authorization);
        const tenant = await tenantNamed(parts, events.tenant);
        await applySignals(need(parts.admin, 'policy'), tenant, events, requestId);
      } catch (error) {
        if (error instanceof SecurityEventRefused) await recordRefusal(parts, refusals, error, requestId);
        throw error;
      }
    },
  };
}

async function tenantNamed({ tenants }: Receiving, name: string) {
  const id = await need(tenants, 'tenants').find(name);
  if (id === undefined) throw new BulkheadError('policy_unavailable', `There is no tenant "${name}".`);
  return id;
}

/** A token that names no stream is nobody's: the access log has it. */
async function recordRefusal(
  { admin, tenants }: Receiving,
  budget: TenantBudgets,
  { code, stream }: SecurityEventRefused,
  request: string,
): Promise<void> {
  if (stream === undefined) return;
  const tenant = await need(tenants, 'tenants').find(stream.tenant);
  const count = tenant === undefined ? 0 : budget.take(stream.tenant);
  if (tenant === undefined || count === 0) return;
  const body = { subject: null, actor: null, request, transmitter: stream.issuer, code, count };
  await need(admin, 'policy').audit.appendEvent(tenant, 'signal.refused', body);
}
