import { sql } from 'kysely';
import { type TenantId, tenantId } from '../policy/ids.ts';
import type { Database } from './database.ts';

/** Tenants by name. A tenant is never renamed or removed, so what was found once holds. */
export class TenantIds {
  readonly #database: Database;
  readonly #known = new Map<string, TenantId>();

  constructor(database: Database) {
    this.#database = database;
  }

  /** `undefined` for a tenant that was never created. */
  async find(name: string): Promise<TenantId | undefined> {
    const known = this.#known.get(name);
    if (known !== undefined) return known;
    const found = await this.#database.unitOfWork('audit', undefined, async (trx) => {
      const { rows } = await sql<{ id: number | null }>`
        select (bulkhead.authorize(${name}, null, '{}', null)->>'tenant')::int as id`.execute(trx);
      return rows[0]?.id ?? undefined;
    });
    if (found === undefined) return undefined;
    const id = tenantId(found);
    this.#known.set(name, id);
    return id;
  }
}
