/**
 * The way of every change that a person makes:
 *
 *   authorize  who asks, and in which epoch
 *   locate     what is to be changed, and may they know of it and change it
 *   lock       nothing else changes; start again when the rights just looked at have moved
 *   apply      separation of duties, then the change
 *   audit      in the same transaction
 *   flush      durable before anybody hears of it
 */
import type { ByWhom } from '../audit/audit-event.ts';
import type { AuditEvent, AuditLog } from '../audit/audit-log.ts';
import { BulkheadError } from '../errors.ts';
import type { LabelScheme } from '../policy/label.ts';
import { type Authority, authorize, type CallerIdentity } from '../store/authority.ts';
import type { Database, Work } from '../store/database.ts';
import { isInsufficientPrivilege, isUniqueViolation } from '../store/database-error.ts';
import { lockForCaller } from '../store/rights.ts';
import { untilSettled } from '../store/until-settled.ts';
import { OwnRaise } from './separation-of-duties.ts';

export interface AdminParts {
  readonly database: Database;
  readonly scheme: LabelScheme;
  readonly audit: AuditLog;
}

/** Who asks, and in which request: what every operation is given besides its own input. */
export interface AdminCaller {
  readonly identity: CallerIdentity;
  readonly requestId: string;
}

/** The caller of one change, inside its unit of work. */
export interface Changer {
  readonly trx: Work;
  readonly authority: Authority;
  readonly by: ByWhom;
}

export interface Outcome<R> {
  readonly result: R;
  /** What is recorded with the change; none when nothing changed. */
  readonly events: readonly AuditEvent[];
}

export interface Change<T, R> {
  /** The operation's name, for the record of a refusal. */
  readonly operation: string;
  /** @throws BulkheadError `not_found`, `right_missing` and the like; runs outside a unit of work */
  readonly locate: (authority: Authority) => Promise<T>;
  /** @throws OwnRaise for what the caller may do to others only */
  readonly apply: (changer: Changer, target: T) => Promise<Outcome<R>>;
}

/**
 * Makes one change, or none of it.
 * @throws BulkheadError as `authorize` and the change's steps do; `separation_of_duties`; `audit_unavailable`;
 *   `authority_moved`
 */
export async function makeChange<T, R>(
  parts: AdminParts,
  { identity, requestId }: AdminCaller,
  change: Change<T, R>,
): Promise<R> {
  const { result } = await untilSettled(async () => {
    const authority = await authorize(parts.database, 'admin', parts.scheme, identity);
    const target = await change.locate(authority);
    return tryOnce(parts, authority, byWhom(authority, requestId), change, target);
  });
  await parts.database.flush();
  return result;
}

/**
 * @returns `undefined` when the epoch is no longer the one that the caller's rights were looked up in, or a credential
 *   of theirs was revoked since
 */
async function tryOnce<T, R>(
  parts: AdminParts,
  authority: Authority,
  by: ByWhom,
  change: Change<T, R>,
  target: T,
): Promise<{ readonly result: R } | undefined> {
  try {
    return await parts.database.unitOfWork('admin', authority.context, async (trx) => {
      const locked = await lockForCaller(trx, authority);
      const { incarnation, counter } = authority.epoch;
      if (locked.incarnation !== incarnation || locked.counter !== counter) return undefined;
      // asked again from the start, a caller whose credential was revoked meanwhile is told so
      if (!locked.hold) return undefined;
      const { result, events } = await change.apply({ trx, authority, by }, target);
      if (events.length > 0) await parts.audit.appendWithin(trx, events);
      return { result };
    });
  } catch (error) {
    if (error instanceof OwnRaise) throw await recordRefusal(parts, authority, by, change.operation, error);
    // `locate` asked already, so this is the second enforcer disagreeing: it wins
    if (isInsufficientPrivilege(error))
      throw new BulkheadError('right_missing', 'You do not hold the right that this needs.', {
        cause: error,
      });
    if (isUniqueViolation(error))
      throw new BulkheadError('conflict', 'This is there already.', { cause: error });
    throw error;
  }
}

/** The refused transaction is gone, so its record and the alert are written on their own. */
async function recordRefusal(
  { audit }: AdminParts,
  authority: Authority,
  by: ByWhom,
  operation: string,
  { rule, target, detail }: OwnRaise,
): Promise<BulkheadError> {
  const { tenant } = authority.subject;
  const body = { ...by, operation, rule, target };
  await audit.appendEvent(tenant, 'change.refused', { ...body, code: 'separation_of_duties' });
  await audit.appendEvent(tenant, 'alert.separation_of_duties', body);
  return new BulkheadError('separation_of_duties', detail);
}

export function byWhom({ subject }: Authority, requestId: string): ByWhom {
  return { subject: subject.user.name, actor: subject.actor?.name ?? null, request: requestId };
}
