/**
 * What the index has not heard of yet. Read and settled in the role `indexer`, which sees every tenant.
 *
 * Rows of one document are in the order of its changes, because whoever writes one holds the document's row. The
 * oldest row of a document stands for all: who locks it, which passes over what others lock, takes a lease on
 * them, and while that lasts nobody else works on the document, in whatever process.
 *
 * Whoever takes a document over asks for a second look: a `mend` without attempts that is due later. Until then it
 * holds up nothing, and is leased with its document's other rows and left behind when those are settled.
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
/**
 * A worker that falls silent has at most one write under way. Against Qdrant that is four attempts of 30 s each with
 * pauses of up to 2 s (src/index/qdrant-calls.ts), against the database one statement of 30 s: about two minutes, and
 * as much again for a server, a proxy or a network that delivers late. It costs nothing to wait longer.
 */
const WRITE_SECONDS = 270;
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
   * Takes up to `limit` documents that are due, oldest first. Of those that somebody held before and never let go of,
   * what that one had begun to write may still arrive: they are looked at again when no write can be under way.
   * @param takeOver also those that another process holds or that wait after a failure: for start-up, when this
   *   is the only process
   */
  claim(limit: number, takeOver: boolean): Promise<readonly OutboxClaim[]> {
    return this.#run(async (trx) => {
      // the oldest row decides when failures are tried again, but for second looks that are not due; in its own
      // subquery, so that it is asked of one document after the other in order, and not of all of them first
      const { rows } = await sql<ClaimRow>`
        with lead as (
          select o.document_id, o.lease as former from bulkhead.outbox o
          where not exists (select 1 from bulkhead.outbox e where e.document_id = o.document_id and e.id < o.id)
            and (${takeOver} or o.leased_until is null or o.leased_until <= now())
            and (select ${takeOver} or d.not_before <= now() or (d.not_before = 'infinity' and exists (
                select 1 from bulkhead.outbox n
                where n.document_id = d.document_id and n.attempts = 0 and n.not_before <= now()))
              from bulkhead.outbox d where d.document_id = o.document_id and not ${isLater('d')}
              order by d.id limit 1)
          order by o.id limit ${limit} for update of o skip locked),
        leased as (
          update bulkhead.outbox o set lease = t.lease,
            attempts = case when ${isLater('o')} then 0 when o.not_before = 'infinity' then 1 else o.attempts + 1 end,
            leased_until = now() + make_interval(secs => ${this.#leaseSeconds})
          from lead, (select gen_random_uuid() as lease) t where o.document_id = lead.document_id
          returning o.*, lead.former)
        select tenant_id as tenant, document_id as document, lease, bool_or(operation = 'publish') as is_publish,
          bool_or(operation in ('move', 'mend')) as is_move, bool_or(operation = 'mend') as is_mend,
          bool_or(former is not null) as is_taken_over
        from leased group by tenant_id, document_id, lease order by min(id)`.execute(trx);
      const claims = rows.map(toClaim);
      const takenOver = claims.filter((_, i) => rows[i]?.is_taken_over);
      if (takenOver.length > 0) await this.#lookAgain(trx, takenOver);
      return claims;
    });
  }

  /**
   * However often a document changes hands, its rows do not get more: a second look that waits waits longer, and of
   * several `mend` that are due the newest becomes one.
   */
  async #lookAgain(trx: Work, claims: readonly OutboxClaim[]): Promise<void> {
    await lockDocuments(
      trx,
      claims.map(({ document }) => document),
    );
    // it waits from then on: until then the index is not known to be behind
    await sql`
      with look as (
        select s.document, min(o.tenant_id) as tenant, t.due,
          coalesce(max(o.id) filter (where o.attempts = 0),
            max(o.id) filter (where o.operation = 'mend' and o.id > f.id)) as mend
        from ${leases(claims)}
        join bulkhead.outbox o on o.document_id = s.document and o.lease = s.lease
        cross join lateral (select min(id) as id from bulkhead.outbox where document_id = s.document) f
        cross join (select now() + make_interval(secs => ${this.#leaseSeconds + WRITE_SECONDS}) as due) t
        group by s.document, t.due),
      again as (
        update bulkhead.outbox o set attempts = 0, last_error = null, not_before = look.due, created_at = look.due
        from look where o.id = look.mend)
      insert into bulkhead.outbox (tenant_id, document_id, operation, not_before, created_at)
      select tenant, document, 'mend', due, due from look where mend is null`.execute(trx);
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
          true as is_mend, false as is_taken_over`.execute(trx);
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
   * Forgets what was claimed; what came since stays, and so do second looks.
   * @throws LeaseLost for those that were in other hands by then; the others are settled
   */
  async settle(claims: readonly OutboxClaim[]): Promise<void> {
    const settled = await this.#run(async (trx) => {
      const { rows } = await sql<{ id: string }>`
        with kept as (
          update bulkhead.outbox o set lease = null, leased_until = null from ${leases(claims)}
          where o.document_id = s.document and o.lease = s.lease and o.attempts = 0)
        delete from bulkhead.outbox o using ${leases(claims)}
        where o.document_id = s.document and o.lease = s.lease and o.attempts > 0
        returning o.document_id as id`.execute(trx);
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
      await sql`update bulkhead.outbox o set lease = null, leased_until = null,
          last_error = case when attempts > 0 then ${problem} end,
          not_before = case when attempts = 0 then not_before when ${mayGiveUp} and attempts >= ${MOST_ATTEMPTS} then 'infinity'
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

/** A second look that is not due yet. */
function isLater(row: 'o' | 'd') {
  const r = sql.id(row);
  return sql`(${r}.operation = 'mend' and ${r}.attempts = 0 and ${r}.not_before > now())`;
}

interface ClaimRow {
  readonly tenant: number;
  readonly document: string;
  readonly lease: string;
  readonly is_publish: boolean;
  readonly is_move: boolean;
  readonly is_mend: boolean;
  readonly is_taken_over: boolean;
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
