/** How a change of policy is written to the audit log. */
import type { ByWhom } from '../audit/audit-event.ts';
import type { AuditEvent } from '../audit/audit-log.ts';
import type { TenantId } from '../policy/ids.ts';
import type { EntryRow } from '../store/containers.ts';
import type { EntryInput } from './input.ts';

export function entryAdded(tenant: TenantId, by: ByWhom, container: string, entry: EntryInput): AuditEvent {
  const { principal, effect, validFrom, validUntil } = entry;
  const bounds = { from: validFrom ?? null, until: validUntil ?? null };
  const body = { ...by, container, document: null, principal, effect, ...bounds };
  return { tenant, kind: 'entry.added', body };
}

export function entryRemoved(tenant: TenantId, by: ByWhom, container: string, entry: EntryRow): AuditEvent {
  const { principal, effect, from, until } = entry;
  const body = { ...by, container, document: null, principal, effect, from, until };
  return { tenant, kind: 'entry.removed', body };
}

/** An allowed change of entries by which its maker came to read more. */
export function ownReachAlert(tenant: TenantId, by: ByWhom, operation: string, target: string): AuditEvent {
  return { tenant, kind: 'alert.own_reach', body: { ...by, operation, rule: 'entry', target } };
}
