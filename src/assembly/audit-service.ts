import { join } from 'node:path';
import { type AuditParts, queryAudit, verifyAudit } from '../audit/query.ts';
import { readWitnesses } from '../audit/witnesses.ts';
import { BulkheadError } from '../errors.ts';
import type { Services } from '../http/services.ts';
import type { TenantId } from '../policy/ids.ts';
import type { TenantIds } from '../store/tenant-ids.ts';
import { type Core, now, type Parts } from './core.ts';
import { TenantBudgets } from './minute-budget.ts';
import { need } from './need.ts';

/** Failed sign-ins cost a stranger nothing, so their records are bounded. */
const FAILED_SIGN_INS_PER_MINUTE = 20;

/**
 * The log for its auditors, and the events that no other part records.
 * @param ofStrangers whose log has what nobody's tenant can be found for; absent: only the access log has it
 */
export function auditService(
  parts: Parts,
  tenantOfIssuer: (issuer: string) => string | undefined,
  ofStrangers: string | undefined,
): Services['audit'] {
  const failures = new TenantBudgets(FAILED_SIGN_INS_PER_MINUTE, now);
  return {
    list: async (auditor, query) => queryAudit(auditParts(parts), auditor, query),
    verify: async (auditor) => {
      const others = await readWitnesses(join(parts.config.dataFolder, 'witnesses'));
      return verifyAudit({ ...auditParts(parts), others }, auditor);
    },
    refused: async ({ tenant, ...refusal }) => {
      const { audit, tenants } = recording(parts);
      const known = await idOf(tenants, tenant);
      const id = known ?? (await idOf(tenants, ofStrangers));
      // whoever is of no tenant here is not named in another's log
      const body = known === undefined ? { ...refusal, subject: null, actor: null } : refusal;
      if (id !== undefined) await audit.appendEvent(id, 'request.refused', body);
    },
    signIn: async (event) => {
      const there = recording(parts);
      if (event.kind !== 'failed') return recordSignIn(there, event);
      const { issuer } = event;
      const known = await idOf(there.tenants, issuer === null ? undefined : tenantOfIssuer(issuer));
      const id = known ?? (await idOf(there.tenants, ofStrangers));
      // counted apart: a flood of what is nobody's hides nothing that is the tenant's own
      const count = id === undefined ? 0 : failures.take(known === undefined ? 'strangers' : String(id));
      if (id !== undefined && count > 0) await recordFailure(there, id, event, count);
    },
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

type SignInEvent = Parameters<Services['audit']['signIn']>[0];
type Failure = Extract<SignInEvent, { kind: 'failed' }>;

async function idOf(tenants: TenantIds, name: string | undefined): Promise<TenantId | undefined> {
  return name === undefined ? undefined : tenants.find(name);
}

async function recordFailure(
  { audit }: Recording,
  tenant: TenantId,
  { issuer, code, requestId }: Failure,
  count: number,
): Promise<void> {
  const nobody = { subject: null, actor: null, request: requestId };
  await audit.appendEvent(tenant, 'signin.failed', { ...nobody, issuer, code, count });
}

async function recordSignIn(
  { audit, tenants }: Recording,
  event: Exclude<SignInEvent, Failure>,
): Promise<void> {
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
