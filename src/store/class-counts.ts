/** How many chunks a caller may see, known before the search: for planning it, and for nothing else. */
import { sql } from 'kysely';
import { LRUCache } from 'lru-cache';
import type { Instant, TenantId } from '../policy/ids.ts';
import { firstAbove } from '../policy/sorted-ids.ts';
import type { VisibilityFilter } from '../policy/visibility-filter.ts';
import type { Database } from './database.ts';
import { nobodyIn } from './session-context.ts';

const REFRESH_MS = 60_000;
const MOST_TENANTS = 200;
/** Rows a statement, so that decoding never keeps requests waiting for long. */
const ROWS_PER_READ = 20_000;

export interface ClassCountsOptions {
  readonly database: Database;
  readonly now: () => Instant;
  readonly onFailure: (error: unknown) => void;
  readonly rowsPerRead?: number;
}

/** A tenant's classes that hold live chunks, ascending. */
interface Counted {
  readonly ids: Int32Array;
  /** `sums[i]` is what the first i classes hold together. */
  readonly sums: Float64Array;
  /** What was asked for already: a cached visible set is one object for as long as it holds. */
  readonly answered: WeakMap<VisibilityFilter, number>;
}

/**
 * The counts of each tenant, read once a minute at most, beside the requests and never within one. The answer for
 * a set of classes is a look-up for each of its ranges, so that a set narrowed by a filter is counted like any
 * other. The ranges of a visible set hold visible classes only, and so does the sum.
 */
export class ClassCounts {
  readonly #options: ClassCountsOptions;
  readonly #known = new LRUCache<TenantId, Counted>({ max: MOST_TENANTS });
  readonly #askedAt = new LRUCache<TenantId, Instant>({ max: MOST_TENANTS });

  constructor(options: ClassCountsOptions) {
    this.#options = options;
  }

  /** Live chunks in the classes, a minute old at most; `undefined` until the tenant has been counted. */
  chunksOf(tenant: TenantId, visible: VisibilityFilter): number | undefined {
    const now = this.#options.now();
    const askedAt = this.#askedAt.get(tenant);
    if (askedAt === undefined || now - askedAt >= REFRESH_MS || now < askedAt) {
      this.#askedAt.set(tenant, now);
      void this.#refresh(tenant);
    }
    const counted = this.#known.get(tenant);
    if (counted === undefined) return undefined;
    const sum = counted.answered.get(visible) ?? sumOver(counted, visible);
    counted.answered.set(visible, sum);
    return sum;
  }

  async #refresh(tenant: TenantId): Promise<void> {
    const { database, rowsPerRead = ROWS_PER_READ, onFailure } = this.#options;
    try {
      this.#known.set(tenant, await readCounts(database, tenant, rowsPerRead));
    } catch (error) {
      // what is known stays; it plans searches that are right all the same
      onFailure(error);
    }
  }
}

function sumOver({ ids, sums }: Counted, visible: VisibilityFilter): number {
  if (visible.kind === 'nothing') return 0;
  let total = 0;
  for (const { from, to } of visible.ranges)
    total += (sums[firstAbove(ids, to)] ?? 0) - (sums[firstAbove(ids, from - 1)] ?? 0);
  return total;
}

async function readCounts(database: Database, tenant: TenantId, rowsPerRead: number): Promise<Counted> {
  const pages: DataView[] = [];
  let last = -1;
  for (;;) {
    const page = await readPage(database, tenant, last, rowsPerRead);
    if (page.byteLength === 0) break;
    pages.push(page);
    last = page.getInt32(page.byteLength - ROW_BYTES);
    if (page.byteLength < rowsPerRead * ROW_BYTES) break;
  }
  return toCounted(pages);
}

/** One class: id and chunks, four bytes each, most significant first. */
const ROW_BYTES = 8;

/** The next classes by id, packed: a hundred thousand of them as rows would hold up the event loop. */
async function readPage(
  database: Database,
  tenant: TenantId,
  after: number,
  limit: number,
): Promise<DataView> {
  const [row] = await database.statement(
    'retrieve',
    nobodyIn(tenant),
    sql<{ packed: Uint8Array | null }>`
      select string_agg(int4send(class_id) || int4send(least(chunks, 2147483647)::int), ''::bytea order by class_id) as packed
      from (select class_id, chunks from bulkhead.class_chunk_count
        where tenant_id = ${tenant} and class_id > ${after} and chunks > 0 order by class_id limit ${limit}) t`,
  );
  const bytes = row?.packed ?? new Uint8Array();
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function toCounted(pages: readonly DataView[]): Counted {
  const size = pages.reduce((sum, page) => sum + page.byteLength / ROW_BYTES, 0);
  const ids = new Int32Array(size);
  const sums = new Float64Array(size + 1);
  let i = 0;
  for (const page of pages)
    for (let at = 0; at < page.byteLength; at += ROW_BYTES) {
      ids[i] = page.getInt32(at);
      sums[i + 1] = (sums[i] ?? 0) + page.getInt32(at + 4);
      i += 1;
    }
  return { ids, sums, answered: new WeakMap() };
}
