import { sql } from 'kysely';
import { BulkheadError } from '../errors.ts';
import { type TenantId, tenantId } from '../policy/ids.ts';
import type { Database, Work } from './database.ts';
import { isUniqueViolation } from './database-error.ts';

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
