/** Logins for the processes, one a role, each a member of that role and of nothing else. */
import { createHash, createHmac, pbkdf2Sync } from 'node:crypto';
import { type Kysely, sql } from 'kysely';
import { BulkheadError } from '../errors.ts';
import { PROCESS_ROLES, type ServiceRole } from './process-role.ts';
import type { Schema } from './schema.ts';

export const SERVICE_ROLES: readonly ServiceRole[] = [...PROCESS_ROLES, 'all'];

export function loginOf(role: ServiceRole): string {
  return `bulkhead_${role}_login`;
}

/**
 * Makes each login or gives it its new password, and takes from it what it should not have. Connections that are open
 * go on. The server gets verifiers, so that no password is in its log.
 * @param random that many random bytes
 * @throws BulkheadError `config_invalid` for a password that is too short or not of printable ASCII
 */
export async function writeLogins(
  db: Kysely<Schema>,
  passwords: ReadonlyMap<ServiceRole, string>,
  random: (bytes: number) => Uint8Array,
): Promise<void> {
  for (const [role, password] of passwords) refuseWeak(role, password);
  await db.transaction().execute(async (trx) => {
    // two of these at once take their turns
    await sql`select pg_advisory_xact_lock(hashtext('bulkhead logins'))`.execute(trx);
    for (const [role, password] of passwords)
      await sql.raw(statementsFor(role, scramVerifier(password, random(16)))).execute(trx);
  });
}

const SHORTEST = 16;

function refuseWeak(role: ServiceRole, password: string): void {
  if (password.length < SHORTEST)
    throw new BulkheadError(
      'config_invalid',
      `The password for "${role}" is shorter than ${SHORTEST} characters.`,
    );
  // others would have to be prepared as RFC 4013 says, by every driver alike
  if (!/^[\x21-\x7e]+$/.test(password))
    throw new BulkheadError('config_invalid', `The password for "${role}" is not of printable ASCII.`);
}

/** Nothing but our own names and base64 gets into the text. */
function statementsFor(role: ServiceRole, verifier: string): string {
  const login = loginOf(role);
  const group = role === 'all' ? 'bulkhead_app' : `bulkhead_${role}`;
  return `do $$
    declare
      extra name;
    begin
      if not exists (select 1 from pg_roles where rolname = '${login}') then
        create role ${login} nosuperuser nobypassrls noreplication;
      end if;
      for extra in select r.rolname from pg_auth_members m join pg_roles r on r.oid = m.roleid
          join pg_roles u on u.oid = m.member where u.rolname = '${login}' and r.rolname <> '${group}' loop
        execute format('revoke %I from ${login}', extra);
      end loop;
      execute format('grant connect on database %I to ${login}', current_database());
    end $$;
    alter role ${login} login noinherit nocreatedb nocreaterole password '${verifier}';
    grant ${group} to ${login};`;
}

/** What PostgreSQL keeps of a password (RFC 5802; src/common/scram-common.c). */
function scramVerifier(password: string, salt: Uint8Array): string {
  const iterations = 4096;
  const salted = pbkdf2Sync(password, salt, iterations, 32, 'sha256');
  const hmac = (text: string) => createHmac('sha256', salted).update(text).digest();
  const storedKey = createHash('sha256').update(hmac('Client Key')).digest('base64');
  return `SCRAM-SHA-256$${iterations}:${Buffer.from(salt).toString('base64')}$${storedKey}:${hmac('Server Key').toString('base64')}`;
}
