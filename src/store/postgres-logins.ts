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
      object record;
    begin
      if not exists (select 1 from pg_roles where rolname = '${login}') then
        create role ${login} nosuperuser nobypassrls noreplication;
      end if;
      for extra in select r.rolname from pg_auth_members m join pg_roles r on r.oid = m.roleid
          join pg_roles u on u.oid = m.member where u.rolname = '${login}' and r.rolname <> '${group}' loop
        execute format('revoke %I from ${login}', extra);
      end loop;
      for object in ${directGrants(login)} loop
        -- what is granted is taken back in its owner's name
        execute 'set local role ' || object.owner;
        execute object.statement;
        reset role;
      end loop;
      execute format('grant connect on database %I to ${login}', current_database());
    end $$;
    alter role ${login} login noinherit nocreatedb nocreaterole password '${verifier}';
    grant ${group} to ${login};`;
}

/** What the login was given itself and not by its role: statements that take it back, each with who may say it. */
function directGrants(login: string): string {
  return `
    with login as (select oid from pg_roles where rolname = '${login}'),
    ours as (select oid from pg_namespace where nspname = 'bulkhead')
    select c.relowner::regrole::text as owner, format('revoke all on %s %s from ${login} cascade',
      case c.relkind when 'S' then 'sequence' else 'table' end, c.oid::regclass) as statement
    from pg_class c where c.relnamespace in (select oid from ours) and (
      exists (select 1 from aclexplode(c.relacl) a where a.grantee in (select oid from login))
      or exists (select 1 from pg_attribute t, aclexplode(t.attacl) a
        where t.attrelid = c.oid and a.grantee in (select oid from login)))
    union all
    select p.proowner::regrole::text, format('revoke all on routine %s from ${login} cascade', p.oid::regprocedure)
    from pg_proc p, aclexplode(p.proacl) a
    where p.pronamespace in (select oid from ours) and a.grantee in (select oid from login)
    union all
    select n.nspowner::regrole::text, format('revoke all on schema %I from ${login} cascade', n.nspname)
    from pg_namespace n where n.nspname in ('bulkhead', 'public')
      and exists (select 1 from aclexplode(n.nspacl) a where a.grantee in (select oid from login))
    union all
    select d.datdba::regrole::text, format('revoke create, temporary on database %I from ${login} cascade', d.datname)
    from pg_database d where d.datname = current_database() and exists (
      select 1 from aclexplode(d.datacl) a where a.grantee in (select oid from login) and a.privilege_type <> 'CONNECT')
    union all
    select c.relowner::regrole::text, format('drop policy %I on %s', p.polname, c.oid::regclass)
    from pg_policy p join pg_class c on c.oid = p.polrelid
    where c.relnamespace in (select oid from ours) and p.polroles = array(select oid from login)`;
}

/** What PostgreSQL keeps of a password (RFC 5802; src/common/scram-common.c). */
function scramVerifier(password: string, salt: Uint8Array): string {
  const iterations = 4096;
  const salted = pbkdf2Sync(password, salt, iterations, 32, 'sha256');
  const hmac = (text: string) => createHmac('sha256', salted).update(text).digest();
  const storedKey = createHash('sha256').update(hmac('Client Key')).digest('base64');
  return `SCRAM-SHA-256$${iterations}:${Buffer.from(salt).toString('base64')}$${storedKey}:${hmac('Server Key').toString('base64')}`;
}
