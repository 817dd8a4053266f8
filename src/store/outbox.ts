/**
 * What the index has not heard of yet. Read and settled in the role `indexer`, which sees every tenant.
 *
 * Rows of one document are in the order of its changes, because whoever writes one holds the document's row. The
 * oldest row of a document stands for all: who locks it, which passes over what others lock, takes a lease on
 * them, and while that lasts nobody else works on the document, in whatever process.
 */
import { sql } from 'kysely';
import { type DocumentId, documentId, type TenantId, tenantId } from '../policy/ids.ts';
import type { Database, Work } from './database.ts';
import { lockDocuments } from './index-content.ts';

/** All that is due for one document: it is brought into line with Postgres once, however many rows there are. */
export interface OutboxClaim {
  readonly tenant: TenantId;
  readonly document: DocumentId;
  /** Lost when it ran out and somebody else took the document. */
  readonly lease: string;
  readonly isPublish: boolean;
  readonly isMove: boolean;
  readonly isMend: boolean;
}

export interface Backlog {
  readonly documents: number;
  /** Milliseconds that the oldest has waited, but for documents that fail by themselves. */
  readonly oldestMs: number;
  /** Documents that failed so often that a person should look. */
  readonly dead: number;
}

/** Some document is in other hands by now. What was written last may have been written too late. */
export class LeaseLost extends Error {
  constructor(readonly claims: readonly OutboxClaim[]) {
    super('a lease on documents ran out');
  }
}

/** A row that failed this often waits for a person, or for the document's next change; `dead_letter` has it too. */
const MOST_ATTEMPTS = 10;
const LEASE_SECONDS = 30;
/** 1 s, 2 s, 4 s …, each shortened by up to a half at random, so that many do not come back at once. */
const LONGEST_BACK_OFF_SECONDS = 300;

export class Outbox {
  readonly #database: Database;
  readonly #leaseSeconds: number;

  /** @param leaseSeconds how long a worker may be silent before others take its documents */
  constructor(database: Database, leaseSeconds = LEASE_SECONDS) {
    this.#database = database;
    this.#leaseSeconds = leaseSeconds;
  }

  /**
   * Takes up to `limit` documents that are due, oldest first.
   * @param takeOver also those that another process holds or that wait after a failure: for start-up, when this
   *   is the only process
   */
  claim(limit: number, takeOver: boolean): Promise<readonly OutboxClaim[]> {
    return this.#run(async (trx) => {
      const { rows } = await sql<ClaimRow>`
        with lead as (
          select o.document_id from bulkhead.outbox o
          where not exists (select 1 from bulkhead.outbox e where e.document_id = o.document_id and e.id < o.id)
            and (${takeOver} or (
              (o.leased_until is null or o.leased_until <= now())
              and (o.not_before <= now() or (o.not_before = 'infinity' and exists (
                select 1 from bulkhead.outbox n where n.document_id = o.document_id and n.attempts = 0)))))
          order by o.id limit ${limit} for update of o skip locked),
        leased as (
          update bulkhead.outbox o set lease = t.lease,
            attempts = case when o.not_before = 'infinity' then 1 else o.attempts + 1 end,
            leased_until = now() + make_interval(secs => ${this.#leaseSeconds})
          from lead, (select gen_random_uuid() as lease) t where o.document_id = lead.document_id
          returning o.*)
        select tenant_id as tenant, document_id as document, lease, bool_or(operation = 'publish') as is_publish,
          bool_or(operation = 'move') as is_move, bool_or(operation = 'mend') as is_mend
        from leased group by tenant_id, document_id, lease order by min(id)`.execute(trx);
      return rows.map(toClaim);
    });
  }

  /**
   * Takes these documents to bring the index into line with their live versions, but for those for which something
   * is to be done anyway.
   */
  claimToMend(tenant: TenantId, documents: readonly DocumentId[]): Promise<readonly OutboxClaim[]> {
    return this.#run(async (trx) => {
      await lockDocuments(trx, documents);
      const { rows } = await sql<ClaimRow>`
        insert into bulkhead.outbox (tenant_id, document_id, operation, attempts, lease, leased_until)
        select ${tenant}::int, u.id, 'mend', 1, t.lease, now() + make_interval(secs => ${this.#leaseSeconds})
        from unnest(${[...documents]}::uuid[]) u(id), (select gen_random_uuid() as lease) t
        where not exists (select 1 from bulkhead.outbox o where o.document_id = u.id)
        returning tenant_id as tenant, document_id as document, lease, false as is_publish, false as is_move,
          true as is_mend`.execute(trx);
      return rows.map(toClaim);
    });
  }

  /** Asks whoever comes first to do this for the documents. */
  add(tenant: TenantId, documents: readonly DocumentId[], operation: 'publish' | 'mend'): Promise<void> {
    return this.#run(async (trx) => {
      await lockDocuments(trx, documents);
      await sql`insert into bulkhead.outbox (tenant_id, document_id, operation)
        select ${tenant}::int, id, ${operation} from unnest(${[...documents]}::uuid[]) id`.execute(trx);
    });
  }

  /** Those among these documents for which something is left to do. */
  pending(documents: readonly DocumentId[]): Promise<ReadonlySet<DocumentId>> {
    return this.#run(async (trx) => {
      const { rows } = await sql<{ id: string }>`select distinct document_id as id from bulkhead.outbox
        where document_id = any (${[...documents]}::uuid[])`.execute(trx);
      return new Set(rows.map(({ id }) => documentId(id)));
    });
  }

  /**
   * Those among these versions that readers or the index do not have yet; what others have done to the documents
   * since is not waited for, moves aside.
   */
  unpublished(
    versions: readonly { readonly document: DocumentId; readonly version: number }[],
  ): Promise<ReadonlyMap<DocumentId, 'under-way' | 'failed'>> {
    return this.#run(async (trx) => {
      const { rows } = await sql<{ id: string; has_failed: boolean }>`
        select o.document_id as id, bool_or(o.last_error is not null) as has_failed
        from unnest(${versions.map(({ document }) => document)}::uuid[],
          ${versions.map(({ version }) => version)}::int[]) as w (id, version)
        join bulkhead.document d on d.id = w.id join bulkhead.outbox o on o.document_id = w.id
        where o.operation = 'move' or d.version < w.version
        group by o.document_id`.execute(trx);
      return new Map(rows.map(({ id, has_failed }) => [documentId(id), has_failed ? 'failed' : 'under-way']));
    });
  }

  /**
   * Runs the work in a transaction that extends the leases, and in which nobody can take the documents.
   * @throws LeaseLost before the work begins
   */
  holding<T>(claims: readonly OutboxClaim[], work: (trx: Work) => Promise<T>): Promise<T> {
    return this.#run(async (trx) => {
      const { rows } = await sql<{ id: string }>`
        update bulkhead.outbox o set leased_until = now() + make_interval(secs => ${this.#leaseSeconds})
        from ${leases(claims)} where o.document_id = s.document and o.lease = s.lease
        returning o.document_id as id`.execute(trx);
      const held = new Set(rows.map(({ id }) => id));
      const lost = claims.filter(({ document }) => !held.has(document));
      if (lost.length > 0) throw new LeaseLost(lost);
      return work(trx);
    });
  }

  /**
   * Forgets what was claimed; what came since stays.
   * @throws LeaseLost for those that were in other hands by then; the others are settled
   */
  async settle(claims: readonly OutboxClaim[]): Promise<void> {
    const settled = await this.#run(async (trx) => {
      const { rows } = await sql<{ id: string }>`delete from bulkhead.outbox o using ${leases(claims)}
        where o.document_id = s.document and o.lease = s.lease returning o.document_id as id`.execute(trx);
      return new Set(rows.map(({ id }) => id));
    });
    const lost = claims.filter(({ document }) => !settled.has(document));
    if (lost.length > 0) throw new LeaseLost(lost);
  }

  /**
   * Lets go of documents until it is time to try again.
   * @param problem an error code, never a message with values in it
   * @param mayGiveUp whether the last of ten attempts is the last, because the document and not a store fails
   */
  fail(claims: readonly OutboxClaim[], problem: string, mayGiveUp: boolean): Promise<void> {
    return this.#run(async (trx) => {
      await sql`update bulkhead.outbox o set last_error = ${problem}, lease = null, leased_until = null,
          not_before = case when ${mayGiveUp} and attempts >= ${MOST_ATTEMPTS} then 'infinity'
            else now() + make_interval(secs =>
              least(power(2, least(attempts - 1, 16)), ${LONGEST_BACK_OFF_SECONDS}) * (1 - random() / 2)) end
        from ${leases(claims)} where o.document_id = s.document and o.lease = s.lease`.execute(trx);
    });
  }

  /** Over all tenants. */
  backlog(): Promise<Backlog> {
    return this.#run(async (trx) => {
      const { rows } = await sql<{ documents: number; oldest: number; dead: number }>`
        select documents, oldest_ms as oldest, dead from bulkhead.index_backlog()`.execute(trx);
      const [row] = rows;
      return { documents: row?.documents ?? 0, oldestMs: row?.oldest ?? 0, dead: row?.dead ?? 0 };
    });
  }

  #run<T>(work: (trx: Work) => Promise<T>): Promise<T> {
    return this.#database.unitOfWork('indexer', undefined, work);
  }
}

function leases(claims: readonly OutboxClaim[]) {
  return sql`unnest(${claims.map(({ document }) => document)}::uuid[], ${claims.map(({ lease }) => lease)}::uuid[])
    as s (document, lease)`;
}

interface ClaimRow {
  readonly tenant: number;
  readonly document: string;
  readonly lease: string;
  readonly is_publish: boolean;
  readonly is_move: boolean;
  readonly is_mend: boolean;
}

function toClaim(row: ClaimRow): OutboxClaim {
  return {
    tenant: tenantId(row.tenant),
    document: documentId(row.document),
    lease: row.lease,
    isPublish: row.is_publish,
    isMove: row.is_move,
    isMend: row.is_mend,
  };
}
