/** Data keys as the database has them: wrapped, and of no use to whoever reads only the database. */
import { sql } from 'kysely';
import { type TenantId, tenantId } from '../policy/ids.ts';
import type { Database, Work } from './database.ts';
import type { ProcessRole } from './process-role.ts';
import { nobodyIn } from './session-context.ts';

export interface StoredKey {
  readonly id: string;
  readonly tenant: TenantId;
  readonly level: string;
  readonly purpose: 'text' | 'terms';
  readonly keyId: string;
  readonly wrapped: Uint8Array;
}

/** A data key as a person may see it. */
interface KeyStatus {
  readonly level: string;
  readonly purpose: 'text' | 'terms';
  readonly state: 'current' | 'old';
  readonly keyId: string;
  /** Messages sealed, counted ahead. */
  readonly messages: number;
  /** Milliseconds since 1970. */
  readonly createdAt: number;
  /** Passages sealed under it, or whose terms are hashed with it. */
  readonly rows: number;
}

export interface SealingStatus {
  readonly keys: readonly KeyStatus[];
  /** Passages that wait to be sealed, to be opened or to be sealed anew; readable as before meanwhile. */
  readonly waiting: number;
}

interface Row {
  readonly id: string;
  readonly tenant: number;
  readonly level: string;
  readonly purpose: 'text' | 'terms';
  readonly key_id: string;
  readonly wrapped: Uint8Array;
}

const COLUMNS = sql.raw('id, tenant_id as tenant, level, purpose, key_id, wrapped');

export class DataKeys {
  readonly #database: Database;
  readonly #role: ProcessRole;

  private constructor(database: Database, role: ProcessRole) {
    this.#database = database;
    this.#role = role;
  }

  /** A retrieve process reads keys; ingest and indexer make them too. */
  static as(database: Database, role: Extract<ProcessRole, 'retrieve' | 'ingest' | 'indexer'>): DataKeys {
    return new DataKeys(database, role);
  }

  find(tenant: TenantId, id: string): Promise<StoredKey | undefined> {
    return this.#run(tenant, async (trx) => {
      const { rows } = await sql<Row>`select ${COLUMNS} from bulkhead.data_key
        where tenant_id = ${tenant} and id = ${id}::uuid`.execute(trx);
      return rows[0] && toKey(rows[0]);
    });
  }

  /** The current key first. */
  list(tenant: TenantId, level: string, purpose: StoredKey['purpose']): Promise<readonly StoredKey[]> {
    return this.#run(tenant, async (trx) => {
      const { rows } = await sql<Row>`select ${COLUMNS} from bulkhead.data_key
        where tenant_id = ${tenant} and level = ${level} and purpose = ${purpose} order by state, created_at`.execute(
        trx,
      );
      return rows.map(toKey);
    });
  }

  current(tenant: TenantId, level: string, purpose: StoredKey['purpose']): Promise<StoredKey | undefined> {
    return this.#run(tenant, (trx) => currentKey(trx, { tenant, level, purpose }));
  }

  /** Makes this the current key unless there is one by now, and returns the one that is. */
  add(key: StoredKey): Promise<StoredKey> {
    return this.#run(key.tenant, async (trx) => {
      await sql`insert into bulkhead.data_key (id, tenant_id, level, purpose, key_id, wrapped)
        values (${key.id}::uuid, ${key.tenant}, ${key.level}, ${key.purpose}, ${key.keyId}, ${key.wrapped})
        on conflict (tenant_id, level, purpose) where state = 'current' do nothing`.execute(trx);
      const current = await currentKey(trx, key);
      if (current === undefined) throw new Error('a data key was retired while it was made');
      return current;
    });
  }

  /** The key stays for what it sealed and seals nothing more. */
  retire(tenant: TenantId, id: string): Promise<void> {
    return this.#run(tenant, async (trx) => {
      await sql`select bulkhead.retire_data_key(${id}::uuid)`.execute(trx);
    });
  }

  /** Every key of the tenant, current or not. */
  all(tenant: TenantId): Promise<readonly StoredKey[]> {
    return this.#run(tenant, async (trx) => {
      const { rows } = await sql<Row>`select ${COLUMNS} from bulkhead.data_key
        where tenant_id = ${tenant} order by level, purpose, created_at`.execute(trx);
      return rows.map(toKey);
    });
  }

  /** @returns how many keys were current: others are made when they are needed */
  retireAll(tenant: TenantId, purposes: readonly StoredKey['purpose'][]): Promise<number> {
    return this.#run(tenant, async (trx) => {
      const { rows } = await sql`update bulkhead.data_key set state = 'old', retired_at = now()
        where tenant_id = ${tenant} and state = 'current' and purpose = any (${[...purposes]}::text[])
        returning id`.execute(trx);
      return rows.length;
    });
  }

  /** The same key, wrapped otherwise; nothing happens where somebody else did it meanwhile. */
  rewrap(before: StoredKey, after: Pick<StoredKey, 'keyId' | 'wrapped'>): Promise<void> {
    return this.#run(before.tenant, async (trx) => {
      await sql`update bulkhead.data_key set key_id = ${after.keyId}, wrapped = ${after.wrapped}
        where tenant_id = ${before.tenant} and id = ${before.id}::uuid and key_id = ${before.keyId}`.execute(
        trx,
      );
    });
  }

  /**
   * Of every tenant: keys that no row names, retired for so long that nobody is about to write under them.
   */
  removeUnused(secondsSinceRetired: number): Promise<number> {
    return this.#database.unitOfWork(this.#role, undefined, async (trx) => {
      const { rows } = await sql`delete from bulkhead.data_key k
        where k.state = 'old' and k.retired_at <= now() - make_interval(secs => ${secondsSinceRetired})
          and not exists (select 1 from bulkhead.chunk c where c.data_key_id = k.id)
          and not exists (select 1 from bulkhead.chunk_embedding e where e.term_key_id = k.id)
        returning id`.execute(trx);
      return rows.length;
    });
  }

  /** Keys with the rows they are named by, and how many passages are not as their level asks. */
  status(tenant: TenantId): Promise<SealingStatus> {
    return this.#run(tenant, async (trx) => {
      const keys = await sql<KeyStatus>`
        select k.level, k.purpose, k.state, k.key_id as "keyId", k.messages, bulkhead.ms(k.created_at) as "createdAt",
          case k.purpose when 'text' then (select count(*) from bulkhead.chunk c where c.data_key_id = k.id)
            else (select count(*) from bulkhead.chunk_embedding e where e.term_key_id = k.id) end as rows
        from bulkhead.data_key k where k.tenant_id = ${tenant} order by k.level, k.purpose, k.state, k.created_at`.execute(
        trx,
      );
      const { rows } = await sql<{ waiting: number }>`
        select bulkhead.passages_to_seal(${tenant}) as waiting`.execute(trx);
      return { keys: keys.rows, waiting: rows[0]?.waiting ?? 0 };
    });
  }

  /** Counts messages about to be sealed; returns how many there were and are now. */
  reserve(tenant: TenantId, id: string, messages: number): Promise<number> {
    return this.#run(tenant, async (trx) => {
      const { rows } = await sql<{ messages: number }>`
        update bulkhead.data_key set messages = messages + ${messages}
        where tenant_id = ${tenant} and id = ${id}::uuid returning messages`.execute(trx);
      return rows[0]?.messages ?? Number.POSITIVE_INFINITY;
    });
  }

  /** One key of each key-encryption key that wraps any, of every tenant, and how many it wraps. */
  samples(): Promise<readonly (StoredKey & { readonly keys: number })[]> {
    return this.#database.unitOfWork(this.#role, undefined, async (trx) => {
      const { rows } = await sql<Row & { keys: number }>`
        select id, tenant, level, purpose, key_id, wrapped, keys from bulkhead.wrapped_key_samples()`.execute(
        trx,
      );
      return rows.map((row) => ({ ...toKey(row), keys: row.keys }));
    });
  }

  /** No principal: keys belong to the tenant. */
  #run<T>(tenant: TenantId, work: (trx: Work) => Promise<T>): Promise<T> {
    return this.#database.unitOfWork(this.#role, nobodyIn(tenant), work);
  }
}

async function currentKey(
  trx: Work,
  { tenant, level, purpose }: Pick<StoredKey, 'tenant' | 'level' | 'purpose'>,
): Promise<StoredKey | undefined> {
  const { rows } = await sql<Row>`select ${COLUMNS} from bulkhead.data_key
    where tenant_id = ${tenant} and level = ${level} and purpose = ${purpose} and state = 'current'`.execute(
    trx,
  );
  return rows[0] && toKey(rows[0]);
}

function toKey({ id, tenant, level, purpose, key_id, wrapped }: Row): StoredKey {
  return { id, tenant: tenantId(tenant), level, purpose, keyId: key_id, wrapped };
}
