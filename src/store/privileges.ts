/** What a login may do beyond its role: a process with more than it needs does not start. */
import { type Kysely, sql } from 'kysely';
import { BulkheadError } from '../errors.ts';
import { refuseOpenSchema, strayGrants } from './grants.ts';
import { PROCESS_ROLES, type ServiceRole } from './process-role.ts';
import type { Schema } from './schema.ts';

interface Found {
  readonly login: string;
  readonly superuser: boolean;
  readonly attributes: readonly string[];
  readonly roles: readonly string[];
  readonly owns: boolean;
  readonly creates: readonly string[];
  readonly temporary: boolean;
  readonly createsSchemas: boolean;
}

/** What every process role is made of, beside the roles of the processes themselves. */
const KERNEL = [
  'bulkhead_owner',
  'bulkhead_kernel',
  'bulkhead_epoch',
  'bulkhead_search',
  'bulkhead_ledger',
  'bulkhead_reader',
];

/**
 * Compares the login of this connection with what the process role needs, before any power is dropped.
 * @param production a superuser that runs everything is refused then: a statement `reset session authorization` would
 *   give back all that was dropped
 * @throws BulkheadError `store_unsafe` naming every privilege that is too much, or the role that is missing
 */
export async function refuseExcessPrivilege(
  db: Kysely<Schema>,
  role: ServiceRole,
  production: boolean,
): Promise<void> {
  const found = await privilegesOf(db);
  if (found.superuser && role === 'all' && !production) return;
  const excess = [...excessOf(found, role), ...(found.superuser ? [] : await strayGrants(db, rolesOf(role)))];
  if (excess.length > 0)
    throw new BulkheadError(
      'store_unsafe',
      `The login "${found.login}" has more privilege than the role "${role}" needs: it ${excess.join(', ')}. Use one made by: bulkhead migrate --logins`,
    );
  await refuseOpenSchema(db, rolesOf(role));
  const missing = neededBy(role);
  if (!found.roles.includes(missing))
    throw new BulkheadError(
      'store_unsafe',
      `The login "${found.login}" is not a member of ${missing}, which the role "${role}" runs as. Use one made by: bulkhead migrate --logins`,
    );
}

/** What a process of the role runs as, in one transaction or another. */
function rolesOf(role: ServiceRole): readonly string[] {
  return role === 'all'
    ? ['bulkhead_app', ...PROCESS_ROLES.map((name) => `bulkhead_${name}`)]
    : [neededBy(role)];
}

function neededBy(role: ServiceRole): string {
  return role === 'all' ? 'bulkhead_app' : `bulkhead_${role}`;
}

function excessOf(found: Found, role: ServiceRole): readonly string[] {
  if (found.superuser) return ['is a superuser, who takes back whatever it gave up'];
  const excess = found.attributes.map((attribute) => `has ${attribute}`);
  const tooMany = found.roles.filter((name) => !isAllowed(name, role));
  if (tooMany.length > 0) excess.push(`is a member of ${tooMany.join(' and ')}`);
  if (found.owns) excess.push('owns something in the schema bulkhead');
  excess.push(...found.creates.map((schema) => `may create in the schema ${schema}`));
  if (found.createsSchemas) excess.push('may create schemas in the database');
  if (found.temporary) excess.push('may make temporary tables');
  return excess;
}

/** Other roles of the server's owner are their business, unless they are ours or PostgreSQL's own. */
function isAllowed(name: string, role: ServiceRole): boolean {
  if (name === neededBy(role)) return true;
  if (name.startsWith('pg_')) return false;
  if (!name.startsWith('bulkhead_')) return true;
  return role === 'all' && !KERNEL.includes(name);
}

/** Roles are those it may become, through any number of others, whether it inherits from them or not. */
async function privilegesOf(db: Kysely<Schema>): Promise<Found> {
  const { rows } = await sql<Found>`
    with recursive member(oid) as (
      select oid from pg_roles where rolname = session_user
      union
      select m.roleid from pg_auth_members m join member on m.member = member.oid)
    select u.rolname as login, u.rolsuper as superuser,
      array(select distinct label from pg_roles r join member using (oid),
        lateral (values ('SUPERUSER', r.rolsuper and r.oid <> u.oid), ('BYPASSRLS', r.rolbypassrls),
          ('CREATEROLE', r.rolcreaterole), ('CREATEDB', r.rolcreatedb), ('REPLICATION', r.rolreplication)) a (label, has)
        where has order by 1) as attributes,
      array(select r.rolname::text from pg_roles r join member using (oid) where r.oid <> u.oid order by 1) as roles,
      exists (
        select 1 from pg_class c join pg_namespace n on n.oid = c.relnamespace and n.nspname = 'bulkhead'
          where c.relowner in (select oid from member)
        union all select 1 from pg_proc p join pg_namespace n on n.oid = p.pronamespace and n.nspname = 'bulkhead'
          where p.proowner in (select oid from member)
        union all select 1 from pg_namespace n where n.nspname = 'bulkhead' and n.nspowner in (select oid from member)
        union all select 1 from pg_database d where d.datname = current_database() and d.datdba in (select oid from member)
      ) as owns,
      array(select n.nspname::text from pg_namespace n where n.nspname in ('public', 'bulkhead')
        and exists (select 1 from member where has_schema_privilege(member.oid, n.oid, 'CREATE')) order by 1) as creates,
      exists (select 1 from member where has_database_privilege(member.oid, current_database(), 'TEMPORARY')) as temporary,
      exists (select 1 from member where has_database_privilege(member.oid, current_database(), 'CREATE')) as "createsSchemas"
    from pg_roles u where u.rolname = session_user`.execute(db);
  if (rows[0] === undefined) throw new Error('the login is not in pg_roles');
  return rows[0];
}
