/** What identity providers say by themselves: sessions and tokens taken back, accounts disabled. It only takes away. */
import type { AuditEvent } from '../audit/audit-log.ts';
import type { TenantId } from '../policy/ids.ts';
import type { Work } from '../store/database.ts';
import { Revocations } from '../store/revocations.ts';
import { lockPolicy } from '../store/rights.ts';
import {
  disableOnSignal,
  type SecurityEvents,
  type SecuritySignal,
  takeSecurityEvent,
} from '../store/security-events.ts';
import { nobodyIn } from '../store/session-context.ts';
import type { AdminParts } from './change.ts';

/**
 * Does what the events say, all of it or nothing, with its records in the same transaction. The same events again have
 * no effect. Their signature is checked by whoever calls this; no caller and no right is involved.
 * @param request for the records
 * @returns whether they were new
 * @throws BulkheadError `audit_unavailable`, `database_unavailable`
 */
export async function applySignals(
  { database, audit }: Pick<AdminParts, 'database' | 'audit'>,
  tenant: TenantId,
  events: SecurityEvents,
  request: string,
): Promise<boolean> {
  const isNew = await database.unitOfWork('admin', nobodyIn(tenant), async (trx) => {
    // as every other change of policy does first, so that none waits for the other
    if (events.signals.some(({ effect }) => effect === 'disable')) await lockPolicy(trx);
    if (!(await takeSecurityEvent(trx, events))) return false;
    const applying = { trx, tenant, transmitter: events.transmitter, jti: events.jti, request };
    // accounts before credentials: changes of policy lock first
    const ordered = [...events.signals].sort(byOrderOfLocks);
    const records: AuditEvent[] = [];
    for (const signal of ordered) records.push(...(await apply(applying, signal)));
    await audit.appendWithin(trx, records);
    return true;
  });
  await database.flush();
  return isNew;
}

interface Applying {
  readonly trx: Work;
  readonly tenant: TenantId;
  readonly transmitter: string;
  readonly jti: string;
  readonly request: string;
}

function byOrderOfLocks(a: SecuritySignal, b: SecuritySignal): number {
  return Number(b.effect === 'disable') - Number(a.effect === 'disable');
}

async function apply(applying: Applying, signal: SecuritySignal): Promise<readonly AuditEvent[]> {
  const { effect, credential, account } = signal;
  const changes = [
    ...(effect === 'disable' && account !== undefined ? await disable(applying, account) : []),
    ...(credential === undefined ? [] : await revoke(applying, signal, credential)),
  ];
  return [...changes, ...received(applying, signal)];
}

async function disable({ trx, tenant, request }: Applying, account: string): Promise<readonly AuditEvent[]> {
  const before = await disableOnSignal(trx, account);
  if (before !== 'active') return [];
  const body = { ...nobody(request), principal: account, status: 'disabled' as const, before };
  return [{ tenant, kind: 'account.changed', body }];
}

async function revoke(
  { trx, tenant, transmitter, request }: Applying,
  { event, occurredAt }: SecuritySignal,
  credential: NonNullable<SecuritySignal['credential']>,
): Promise<readonly AuditEvent[]> {
  const revoked = await Revocations.within(trx).revokeOnSignal(credential, event, occurredAt);
  if (!revoked.isNew) return [];
  const { kind, id, reason, issuedUntil } = revoked.revocation;
  const body = {
    ...nobody(request),
    credential: kind,
    id,
    reason,
    issuedUntil: issuedUntil ?? null,
    transmitter,
  };
  return [{ tenant, kind: 'credential.revoked', body }];
}

/** One record of each event, whatever came of it: an unknown account is not told to the transmitter, but to auditors. */
function received(
  { tenant, transmitter, jti, request }: Applying,
  { event, effect, about, occurredAt, note }: SecuritySignal,
): readonly AuditEvent[] {
  const body = {
    ...nobody(request),
    transmitter,
    jti,
    event,
    effect,
    occurredAt,
    about: about ?? null,
    note: note ?? null,
  };
  const record = { tenant, kind: 'signal.received', body } as const;
  return effect === 'stopped' ? [record, { tenant, kind: 'alert.signals_stopped', body }] : [record];
}

const nobody = (request: string) => ({ subject: null, actor: null, request });
