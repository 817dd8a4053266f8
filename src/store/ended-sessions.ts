import { sql } from 'kysely';
import type { TenantId } from '../policy/ids.ts';
import type { Database, Work } from './database.ts';
import { nobodyIn } from './session-context.ts';

/** `<issuer>|<id>` each. */
export interface EndingSessions {
  readonly sessions: readonly string[];
  /** Whatever was issued to them until now. */
  readonly users: readonly string[];
}

/**
 * Revokes sessions for good, and what users hold until now; durable when this resolves. No request that is under way is
 * answered on them after that.
 * @param alongside the last thing in the transaction
 */
export async function endSessions(
  database: Database,
  tenant: TenantId,
  { sessions, users }: EndingSessions,
  reason: string,
  alongside: (trx: Work) => Promise<unknown> = async () => {},
): Promise<void> {
  await database.unitOfWork('retrieve', nobodyIn(tenant), async (trx) => {
    for (const id of sessions) await sql`select bulkhead.end_session(${id}, ${reason})`.execute(trx);
    for (const id of users) await sql`select bulkhead.end_sessions_of_user(${id}, ${reason})`.execute(trx);
    await alongside(trx);
  });
  await database.flush();
}
