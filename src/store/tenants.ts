import { sql } from 'kysely';
import { BulkheadError } from '../errors.ts';
import { type TenantId, tenantId } from '../policy/ids.ts';
import type { Database, Work } from './database.ts';
import { DatabaseError, isUniqueViolation } from './database-error.ts';
import type { ProcessRole } from './process-role.ts';

/** A tenant to be made: its name and the account that administers it from the first moment. */
export interface NewTenant {
  /** Lower-case letters, digits and dashes. */
  readonly name: string;
  readonly admin: {
    /** Text form, `user:<issuer>|<account>`. */
    readonly principal: string;
    /** The directory source the account belongs to. */
    readonly source: string;
    readonly displayName: string;
  };
  /** The name of the root container's own level. */
  readonly rootLevel: string;
}

/**
 * Makes a tenant with its root container `/`, its `everyone` and its first administrator.
 * @param record told in the same transaction, to write it into the audit log
 * @throws BulkheadError `conflict` when the name is taken, `unknown_level` when levels were not synced before
 */
export async function createTenant(
  database: Database,
  tenant: NewTenant,
  record?: (trx: Work, id: TenantId) => Promise<unknown>,
): Promise<TenantId> {
  const { name, admin, rootLevel } = tenant;
  try {
    return await database.unitOfWork('admin', undefined, async (trx) => {
      await refuseUnknownLevel(trx, rootLevel);
      const { rows } = await sql<{ id: number }>`select bulkhead.create_tenant(
        ${name}, ${admin.principal}, ${admin.source}, ${admin.displayName}, ${rootLevel}) as id`.execute(trx);
      const id = tenantId(rows[0]?.id ?? Number.NaN);
      await record?.(trx, id);
      return id;
    });
  } catch (error) {
    if (isUniqueViolation(error)) throw new BulkheadError('conflict', `There is a tenant "${name}" already.`);
    throw error;
  }
}

async function refuseUnknownLevel(trx: Work, level: string): Promise<void> {
  const { rows } = await sql`select 1 from bulkhead.sensitivity_level where name = ${level}`.execute(trx);
  if (rows.length === 0) throw new BulkheadError('unknown_level', `The level "${level}" is not configured.`);
}

/**
 * Makes the database's levels those of the configuration. A changed rank reaches every label and clearance that
 * names the level, and any change raises every tenant's policy epoch.
 * @param levels lowest first
 * @returns whether anything changed
 * @throws BulkheadError `config_invalid` when a level that is left out is still in use
 */
export async function syncLevels(
  database: Database,
  levels: readonly { readonly name: string }[],
): Promise<boolean> {
  const wanted = levels.map(({ name }) => name);
  try {
    return await database.unitOfWork('admin', undefined, (trx) => replaceLevels(trx, wanted));
  } catch (error) {
    if (error instanceof DatabaseError && error.sqlState === '23503')
      throw new BulkheadError(
        'config_invalid',
        `The configured levels are ${wanted.join(', ')}: one that was there before is left out, but labels, clearances or ceilings still name it.`,
      );
    throw error;
  }
}

/**
 * For a process that may not change the levels: its configuration must say what the database says, or it would
 * compare ranks of one order with ranks of another.
 * @param levels lowest first
 * @throws BulkheadError `config_invalid` naming both
 */
export async function requireLevels(
  database: Database,
  role: Exclude<ProcessRole, 'admin'>,
  levels: readonly { readonly name: string }[],
): Promise<void> {
  const wanted = levels.map(({ name }) => name);
  const stored = await database.unitOfWork(role, undefined, storedLevels);
  if (stored.join() === wanted.join()) return;
  const there =
    stored.length === 0
      ? 'There are no levels in the database yet'
      : `The database has the levels ${stored.join(', ')}`;
  throw new BulkheadError(
    'config_invalid',
    `${there}, and the configuration has ${wanted.join(', ')}. Start a process of the role admin with this configuration first.`,
  );
}

async function storedLevels(trx: Work): Promise<readonly string[]> {
  const { rows } = await sql<{ name: string }>`
    select name from bulkhead.sensitivity_level order by rank`.execute(trx);
  return rows.map(({ name }) => name);
}

async function replaceLevels(trx: Work, wanted: readonly string[]): Promise<boolean> {
  const stored = await storedLevels(trx);
  if (stored.join() === wanted.join()) return false;
  await sql`delete from bulkhead.sensitivity_level where name <> all (${[...wanted]}::text[])`.execute(trx);
  await sql`
    insert into bulkhead.sensitivity_level (name, rank)
    select w.name, w.position - 1 from unnest(${[...wanted]}::text[]) with ordinality as w (name, position)
    on conflict (name) do update set rank = excluded.rank
    where sensitivity_level.rank <> excluded.rank`.execute(trx);
  return true;
}
