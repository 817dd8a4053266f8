import { sql } from 'kysely';
import { type TenantId, tenantId } from '../policy/ids.ts';
import type { Database } from './database.ts';
import type { ProcessRole } from './process-role.ts';

/** Tenants by name. A tenant is never renamed or removed, so what was found once holds. */
export class TenantIds {
  readonly #database: Database;
  readonly #role: Exclude<ProcessRole, 'indexer'>;
  readonly #known = new Map<string, TenantId>();

  constructor(database: Database, role: Exclude<ProcessRole, 'indexer'>) {
    this.#database = database;
    this.#role = role;
  }

  /** `undefined` for a tenant that was never created. */
  async find(name: string): Promise<TenantId | undefined> {
    const known = this.#known.get(name);
    if (known !== undefined) return known;
    const found = await this.#database.unitOfWork(this.#role, undefined, async (trx) => {
      const { rows } = await sql<{ id: number | null }>`
        select (bulkhead.authorize(${name}, null, '{}', null, '[]')->>'tenant')::int as id`.execute(trx);
      return rows[0]?.id ?? undefined;
    });
    if (found === undefined) return undefined;
    const id = tenantId(found);
    this.#known.set(name, id);
    return id;
  }
}

/** Every tenant there is, in the role `indexer`, which keeps the index of all of them. */
export function allTenants(
  database: Database,
): Promise<readonly { readonly id: TenantId; readonly name: string }[]> {
  return database.unitOfWork('indexer', undefined, async (trx) => {
    const { rows } = await sql<{ id: number; name: string }>`select id, name from bulkhead.tenants()`.execute(
      trx,
    );
    return rows.map(({ id, name }) => ({ id: tenantId(id), name }));
  });
}
