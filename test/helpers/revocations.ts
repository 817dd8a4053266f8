import type { AuditLog } from '../../src/audit/audit-log.ts';
import { instant } from '../../src/policy/ids.ts';
import type { Database } from '../../src/store/database.ts';
import type { Revocable } from '../../src/store/revocable.ts';
import { asSuperuser } from './policy-tables.ts';

export const KINDS = ['user', 'session', 'client', 'key'] as const;

/** One credential of each kind, issued an hour ago to the user `<issuer>|<name>`. */
export function credentialsOf(issuer: string, name: string): readonly Revocable[] {
  const issuedAt = instant(Date.now() - 3_600_000);
  return KINDS.map((kind) => ({
    kind,
    id: kind === 'user' ? `${issuer}|${name}` : `${issuer}|${kind}-of-${name}`,
    issuedAt,
  }));
}

/** As the function does it, without asking for a right. @returns when, by the database's clock, in milliseconds */
export async function revokeAsSuperuser(
  database: Database,
  tenant: number,
  { kind, id }: Pick<Revocable, 'kind' | 'id'>,
): Promise<number> {
  const until = kind === 'user' || kind === 'client' ? 'clock_timestamp()' : "'infinity'";
  const rows = await asSuperuser<{ at: number }>(
    database,
    `select 1 from revocation_epoch where tenant_id = ${tenant} for update;
     insert into revocation values (${tenant}, '${kind}', '${id}', ${until}, 'a test', clock_timestamp())
       on conflict (tenant_id, kind, id) do update set not_before = excluded.not_before, revoked_at = excluded.revoked_at
       returning ms(revoked_at) as at`,
  );
  return rows[0]?.at ?? Number.NaN;
}

/** The log, before whose guarded records something happens, once. */
export function heldBack(log: AuditLog, before: () => Promise<unknown>): AuditLog {
  let held: Promise<unknown> | undefined;
  const wait = () => {
    held ??= before();
    return held;
  };
  return {
    appendReceipt: async (...record) => {
      await wait();
      return log.appendReceipt(...record);
    },
    appendGuardedEvent: async (...record) => {
      await wait();
      return log.appendGuardedEvent(...record);
    },
    appendEvent: (...record) => log.appendEvent(...record),
    appendWithin: (...records) => log.appendWithin(...records),
    checkpoint: () => log.checkpoint(),
    close: () => log.close(),
  };
}
