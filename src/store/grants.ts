/** What is granted in the schema to those who should have nothing there, or more than their role is for. */
import { type Kysely, sql } from 'kysely';
import { BulkheadError } from '../errors.ts';
import type { Schema } from './schema.ts';

/**
 * Tables without a tenant's policy or directory in them, and those of the index, which only bulkhead_search and
 * bulkhead_indexer reach. Every other one has row-level security, forced on its owner too.
 */
const WITHOUT_ROW_SECURITY = [
  'encrypted_level',
  'index_calibration',
  'index_class_count',
  'index_collection',
  'index_posting',
  'index_vector',
  'index_work',
  'level_scheme',
  'rate_limit',
  'sensitivity_level',
];

/** How many are named in one line. */
const MOST_NAMED = 5;

/** Every grant in the schema, as rows of grantee (0 = public), privilege, what it is on and whose that is. */
const GRANTS = sql.raw(`
  select a.grantee, a.privilege_type as privilege, c.relname::text as what, c.relowner as owner
  from pg_class c, aclexplode(c.relacl) a where c.relnamespace = 'bulkhead'::regnamespace
  union all
  select a.grantee, a.privilege_type, c.relname || '.' || t.attname, c.relowner
  from pg_class c join pg_attribute t on t.attrelid = c.oid and t.attacl is not null, aclexplode(t.attacl) a
  where c.relnamespace = 'bulkhead'::regnamespace
  union all
  -- a function that nothing was said of may be called by everybody
  select a.grantee, a.privilege_type, p.proname || '()', p.proowner
  from pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
  where p.pronamespace = 'bulkhead'::regnamespace
  union all
  select a.grantee, a.privilege_type, 'the schema', n.nspowner
  from pg_namespace n, aclexplode(n.nspacl) a where n.oid = 'bulkhead'::regnamespace
  union all
  select r, 'POLICY ' || p.polname, p.polrelid::regclass::text, 0 from pg_policy p, unnest(p.polroles) r
  where p.polrelid in (select c.oid from pg_class c where c.relnamespace = 'bulkhead'::regnamespace)`);

/**
 * What the login, or any role that it may become through others, was granted beside what the process roles have.
 * @param own the roles whose grants are those of the migrations
 * @returns what is wrong, as what follows "the login"; nothing when all is as it should be
 */
export async function strayGrants(db: Kysely<Schema>, own: readonly string[]): Promise<readonly string[]> {
  const { rows } = await sql<{ grantee: string; privilege: string; what: string }>`
    with recursive member(oid) as (
      select oid from pg_roles where rolname = session_user
      union
      select m.roleid from pg_auth_members m join member on m.member = member.oid)
    select r.rolname::text as grantee, g.privilege, g.what from (${GRANTS}) g
    join member m on m.oid = g.grantee join pg_roles r on r.oid = m.oid
    -- other roles of ours or PostgreSQL's are refused as such
    where r.rolname = session_user or (r.rolname <> all (${[...own]}::text[]) and r.rolname !~ '^(pg|bulkhead)_')
    order by 1, 3, 2`.execute(db);
  return summary(
    rows.map(({ grantee, privilege, what }) => `has ${privilege} on ${what} through ${grantee}`),
  );
}

/**
 * Refuses a schema that lets anybody in, a table whose rows nothing keeps apart, and a process role with more than it
 * is for. All that each may do is in the migrations; here is what would hurt most if somebody had added it by hand.
 * @throws BulkheadError `store_unsafe`
 */
export async function refuseOpenSchema(db: Kysely<Schema>, roles: readonly string[]): Promise<void> {
  const { rows } = await sql<{ problem: string }>`
    select problem from (
      select 'everybody (PUBLIC) has ' || privilege || ' on ' || what as problem from (${GRANTS}) g where g.grantee = 0
      union all
      select 'row-level security is not forced on ' || c.relname from pg_class c
      where c.relnamespace = 'bulkhead'::regnamespace and c.relkind in ('r', 'p')
        and not (c.relrowsecurity and c.relforcerowsecurity) and c.relname <> all (${WITHOUT_ROW_SECURITY}::text[])
      union all
      select r.rolname || ' has ' || g.privilege || ' on ' || g.what from (${GRANTS}) g join pg_roles r on r.oid = g.grantee
      where r.rolname = any (${[...roles]}::text[]) and g.privilege !~ '^(POLICY|USAGE|EXECUTE)' and (
        g.privilege in ('TRUNCATE', 'REFERENCES', 'TRIGGER', 'CREATE')
        or r.rolname = 'bulkhead_app'
        or r.rolname in ('bulkhead_retrieve', 'bulkhead_audit') and g.privilege <> 'SELECT'
        or r.rolname = 'bulkhead_audit' and g.what !~ '^(audit_(chain|record|checkpoint)|sensitivity_level|level_scheme)(\\.|$)'
        or r.rolname in ('bulkhead_ingest', 'bulkhead_admin') and g.privilege = 'SELECT'
          and g.what ~ '^(chunk(_embedding)?|chunk\\.(text|heading_path|sealed)|chunk_embedding\\.(embedding|terms|weights))$'
        or r.rolname <> 'bulkhead_indexer' and g.what ~ '^index_(vector|posting)(\\.|$)'
        or g.what = 'api_key' and g.privilege = 'SELECT' or g.what = 'api_key.secret_hash' and g.privilege <> 'INSERT'
        or r.rolname in ('bulkhead_retrieve', 'bulkhead_ingest', 'bulkhead_indexer') and g.what ~ '^api_key(\\.|$)'
        or r.rolname in ('bulkhead_retrieve', 'bulkhead_indexer') and g.what ~
          '^(principal|membership|directory_[a-z]+|role_binding|document_tombstone|audit_[a-z]+)(\\.|$)'
        or r.rolname = 'bulkhead_retrieve' and g.what ~ '^(chunk_embedding|outbox|seal_queue)(\\.|$)'
        or r.rolname = 'bulkhead_indexer' and g.what ~ '^(entry|clearance|actor_ceiling)(\\.|$)'
        or g.privilege <> 'SELECT' and g.what ~ '^audit_')
    ) p order by 1`.execute(db);
  const problems = summary(rows.map(({ problem }) => problem));
  if (problems.length > 0)
    throw new BulkheadError(
      'store_unsafe',
      `The schema is not as the migrations made it: ${problems.join(', ')}. Take that back before the start.`,
    );
}

function summary(lines: readonly string[]): readonly string[] {
  const rest = lines.length - MOST_NAMED;
  return rest > 0 ? [...lines.slice(0, MOST_NAMED), `and ${rest} more`] : lines;
}
