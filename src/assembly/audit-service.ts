import { join } from 'node:path';
import { type AuditParts, queryAudit, verifyAudit } from '../audit/query.ts';
import { readWitnesses } from '../audit/witnesses.ts';
import { BulkheadError } from '../errors.ts';
import type { Services } from '../http/services.ts';
import { type Core, now, type Parts } from './core.ts';
import { TenantBudgets } from './minute-budget.ts';
import { need } from './need.ts';

/** Failed sign-ins cost a stranger nothing, so their records are bounded. */
const FAILED_SIGN_INS_PER_MINUTE = 20;

/**
 * The log for its auditors, and the events that no other part records.
 * @param onlyTenant whose log a refusal of nobody known belongs to; absent where there are several
 */
export function auditService(
  parts: Parts,
  tenantOfIssuer: (issuer: string) => string | undefined,
  onlyTenant: string | undefined,
): Services['audit'] {
  const failures = new TenantBudgets(FAILED_SIGN_INS_PER_MINUTE, now);
  return {
    list: async (auditor, query) => queryAudit(auditParts(parts), auditor, query),
    verify: async (auditor) => {
      const others = await readWitnesses(join(parts.config.dataFolder, 'witnesses'));
      return verifyAudit({ ...auditParts(parts), others }, auditor);
    },
    refused: async ({ tenant = onlyTenant, ...refusal }) => {
      const { audit, tenants } = recording(parts);
      const id = tenant === undefined ? undefined : await tenants.find(tenant);
      // of several tenants nobody knows whose chain it belongs to; the access log has it
      if (id !== undefined) await audit.appendEvent(id, 'request.refused', refusal);
    },
    signIn: async (event) => recordSignIn(recording(parts), tenantOfIssuer, failures, event),
  };
}

function auditParts({ database, scheme, audit, checkpointsFile, auditKey }: Parts): AuditParts {
  return {
    database,
    scheme,
    audit: need(audit, 'audit log'),
    checkpointsFile: need(checkpointsFile, 'audit log'),
    publicKey: need(auditKey, 'audit log').publicKey,
  };
}

type Recording = Pick<Core, 'audit' | 'tenants'>;

function recording({ audit, tenants }: Parts): Recording {
  return { audit: need(audit, 'audit log'), tenants: need(tenants, 'tenants') };
}

async function recordSignIn(
  { audit, tenants }: Recording,
  tenantOfIssuer: (issuer: string) => string | undefined,
  failures: TenantBudgets,
  event: Parameters<Services['audit']['signIn']>[0],
): Promise<void> {
  if (event.kind === 'failed') {
    const tenant = event.issuer === null ? undefined : tenantOfIssuer(event.issuer);
    const id = tenant === undefined ? undefined : await tenants.find(tenant);
    const count = id === undefined ? 0 : failures.take(String(id));
    if (id === undefined || count === 0) return;
    const { issuer, code, requestId } = event;
    await audit.appendEvent(id, 'signin.failed', {
      subject: null,
      actor: null,
      request: requestId,
      issuer,
      code,
      count,
    });
    return;
  }
  const { identity, requestId } = event.caller;
  const id = await tenants.find(identity.tenant);
  if (id === undefined)
    throw new BulkheadError('policy_unavailable', `There is no tenant "${identity.tenant}".`);
  const who = {
    subject: identity.user,
    actor: identity.actor ?? null,
    request: requestId,
    issuer: event.issuer,
  };
  if (event.kind === 'ended') await audit.appendEvent(id, 'signin.ended', who);
  else await audit.appendEvent(id, 'signin.succeeded', { ...who, acr: event.acr });
}
