import { queryAudit, verifyAudit } from '../audit/query.ts';
import { BulkheadError } from '../errors.ts';
import type { Services } from '../http/services.ts';
import { type Core, now } from './core.ts';
import { MinuteBudget } from './minute-budget.ts';

/** Failed sign-ins cost a stranger nothing, so their records are bounded. */
const FAILED_SIGN_INS_PER_MINUTE = 20;

/** The log for its auditors, and the events that no other part records. */
export function auditService(
  core: Core,
  tenantOfIssuer: (issuer: string) => string | undefined,
): Services['audit'] {
  const { database, scheme, checkpointsFile, auditKey } = core;
  const { audit } = core.retrieve;
  const failures = new MinuteBudget(FAILED_SIGN_INS_PER_MINUTE, now);
  const parts = { database, scheme, audit, checkpointsFile, publicKey: auditKey.publicKey };
  return {
    list: (auditor, query) => queryAudit(parts, auditor, query),
    verify: (auditor) => verifyAudit(parts, auditor),
    refused: async ({ tenant, ...refusal }) => {
      const id = tenant === undefined ? undefined : await core.tenants.find(tenant);
      // without a tenant there is no chain that the refusal belongs to; the access log has it
      if (id !== undefined) await audit.appendEvent(id, 'request.refused', refusal);
    },
    signIn: async (event) => recordSignIn(core, tenantOfIssuer, failures, event),
  };
}

async function recordSignIn(
  core: Core,
  tenantOfIssuer: (issuer: string) => string | undefined,
  failures: MinuteBudget,
  event: Parameters<Services['audit']['signIn']>[0],
): Promise<void> {
  const { audit } = core.retrieve;
  if (event.kind === 'failed') {
    const tenant = event.issuer === null ? undefined : tenantOfIssuer(event.issuer);
    const id = tenant === undefined ? undefined : await core.tenants.find(tenant);
    const count = id === undefined ? 0 : failures.take();
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
  const id = await core.tenants.find(identity.tenant);
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
