/** Which class ids a tenant has given out, so that a search may treat the ids between them as nobody's. */
import { sql } from 'kysely';
import { LRUCache } from 'lru-cache';
import type { TenantId } from '../policy/ids.ts';
import type { Authority, PolicyEpoch } from './authority.ts';
import type { Database } from './database.ts';
import { nobodyIn } from './session-context.ts';

const MOST_TENANTS = 200;

interface Given {
  readonly incarnation: string;
  /** Every class interned up to here is among the ids. */
  readonly watermark: number;
  readonly ids: Int32Array;
}

/** The ids of each tenant, kept; what was interned since is read when a request comes that rests on it. */
export class GivenClassIds {
  readonly #database: Database;
  readonly #known = new LRUCache<TenantId, Given>({ max: MOST_TENANTS });
  readonly #reading = new Map<TenantId, Promise<Given>>();

  constructor(database: Database) {
    this.#database = database;
  }

  /**
   * Ascending ids of the tenant's classes, of all up to the authority's watermark at least. The same object until
   * one is added.
   */
  async of({ subject: { tenant }, epoch, watermark }: Authority): Promise<Int32Array> {
    for (;;) {
      const known = this.#known.get(tenant);
      if (known !== undefined && known.incarnation === epoch.incarnation && known.watermark >= watermark)
        return known.ids;
      const read = await this.#readOnce(tenant, epoch, known);
      // a restore between the two: the request's own receipt will be refused, and what it found with it
      if (read.incarnation !== epoch.incarnation) return read.ids;
    }
  }

  #readOnce(tenant: TenantId, epoch: PolicyEpoch, known: Given | undefined): Promise<Given> {
    const before = known?.incarnation === epoch.incarnation ? known : undefined;
    const reading =
      this.#reading.get(tenant) ??
      this.#read(tenant, before).finally(() => {
        this.#reading.delete(tenant);
      });
    this.#reading.set(tenant, reading);
    return reading;
  }

  async #read(tenant: TenantId, before: Given | undefined): Promise<Given> {
    const [row] = await this.#database.statement(
      'retrieve',
      nobodyIn(tenant),
      // one statement, one snapshot: the watermark is raised under its row's lock, so all up to it are there
      sql<{ incarnation: string; watermark: number; packed: Uint8Array | null }>`
        select p.incarnation, p.watermark, (
          select string_agg(int4send(c.id), ''::bytea order by c.id) from bulkhead.access_class c
          where c.tenant_id = p.tenant_id and c.seq > ${before?.watermark ?? -1}) as packed
        from bulkhead.policy_epoch p where p.tenant_id = ${tenant}`,
    );
    if (row === undefined) throw new Error('the tenant has no policy epoch');
    const added = unpack(row.packed ?? new Uint8Array());
    const isLater = before !== undefined && row.incarnation === before.incarnation;
    const ids = isLater ? merged(before.ids, added) : added;
    const given = { incarnation: row.incarnation, watermark: row.watermark, ids };
    // what was read on top of another incarnation is not the whole
    if (before === undefined || isLater) this.#known.set(tenant, given);
    else this.#known.delete(tenant);
    return given;
  }
}

/** Four bytes an id, most significant first. */
function unpack(packed: Uint8Array): Int32Array {
  const view = new DataView(packed.buffer, packed.byteOffset, packed.byteLength);
  return Int32Array.from({ length: packed.byteLength / 4 }, (_, i) => view.getInt32(4 * i));
}

function merged(ids: Int32Array, added: Int32Array): Int32Array {
  if (added.length === 0) return ids;
  const all = new Int32Array(ids.length + added.length);
  all.set(ids);
  all.set(added, ids.length);
  return all.sort();
}
