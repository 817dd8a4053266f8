/** What the index has to cope with, for those who look after it: sizes and shapes of classes, and nothing of a document. */
import { sql } from 'kysely';
import { type Instant, instant } from '../policy/ids.ts';
import type { Database } from './database.ts';
import type { SessionContext } from './session-context.ts';

/** A container, and in how many runs of consecutive ids the classes below it lie. */
interface SubtreeShape {
  readonly path: string;
  readonly classes: number;
  readonly ranges: number;
}

export interface IndexStats {
  /** Of live versions. */
  readonly chunks: number;
  /** That hold some. */
  readonly classes: number;
  /** Blocks of 64 ids that classes lie in. */
  readonly blocks: number;
  readonly chunksPerClass: { readonly median: number; readonly p95: number; readonly largest: number };
  readonly subtrees: {
    readonly count: number;
    readonly medianRanges: number;
    /** The most scattered ones, at most five. */
    readonly widest: readonly SubtreeShape[];
  };
  /** Documents that the index has not taken yet. */
  readonly waiting: number;
  readonly calibration:
    | { readonly measuredAt: Instant; readonly tenant: number; readonly points: number }
    | undefined;
}

interface Row {
  readonly chunks: number;
  readonly classes: number;
  readonly blocks: number;
  readonly median: number | null;
  readonly p95: number | null;
  readonly largest: number | null;
  readonly subtrees: number;
  readonly median_ranges: number | null;
  readonly widest: readonly SubtreeShape[] | null;
  readonly waiting: number;
  readonly measured_at: number | null;
  readonly measured_tenant: number | null;
  readonly measured_points: number | null;
}

/** Of the caller's tenant, in the role `admin`; the calibration is of the index as a whole. */
export async function readIndexStats(
  database: Database,
  context: SessionContext,
  fingerprint: string,
): Promise<IndexStats> {
  const [row] = await database.statement('admin', context, statement(fingerprint));
  if (row === undefined) throw new Error('no statistics');
  return {
    chunks: row.chunks,
    classes: row.classes,
    blocks: row.blocks,
    chunksPerClass: { median: row.median ?? 0, p95: row.p95 ?? 0, largest: row.largest ?? 0 },
    subtrees: { count: row.subtrees, medianRanges: row.median_ranges ?? 0, widest: row.widest ?? [] },
    waiting: row.waiting,
    calibration:
      row.measured_at === null
        ? undefined
        : {
            measuredAt: instant(row.measured_at),
            tenant: row.measured_tenant ?? 0,
            points: row.measured_points ?? 0,
          },
  };
}

function statement(fingerprint: string) {
  return sql<Row>`
    with counted as materialized (
      select class_id, chunks from bulkhead.class_chunk_count where tenant_id = bulkhead.ctx_tenant() and chunks > 0),
    -- blocks of ids are handed out to all tenants in turn: numbered anew, they do not tell what others have made
    numbered as materialized (
      select id, dense_rank() over (order by id / 64) * 64 + id % 64 as n
      from bulkhead.access_class where tenant_id = bulkhead.ctx_tenant()),
    -- numbers of one run differ from their place in line by the same
    placed as materialized (
      select a.ancestor_id, c.n - row_number() over (partition by a.ancestor_id order by c.n) as run
      from bulkhead.class_ancestor a join numbered c on c.id = a.class_id
      where a.tenant_id = bulkhead.ctx_tenant()),
    subtree as materialized (
      select c.path, count(*) as classes, count(distinct p.run) as ranges
      from placed p join bulkhead.access_class c on c.id = p.ancestor_id and c.kind = 'container' group by c.path)
    select
      (select coalesce(sum(chunks), 0)::bigint from counted) as chunks,
      (select count(*) from counted) as classes,
      (select count(distinct class_id / 64) from counted) as blocks,
      (select percentile_disc(0.5) within group (order by chunks) from counted) as median,
      (select percentile_disc(0.95) within group (order by chunks) from counted) as p95,
      (select max(chunks) from counted) as largest,
      (select count(*) from subtree) as subtrees,
      (select percentile_disc(0.5) within group (order by ranges) from subtree) as median_ranges,
      (select json_agg(w) from (select path, classes, ranges from subtree order by ranges desc, path limit 5) w) as widest,
      (select count(distinct document_id) from bulkhead.outbox
        where tenant_id = bulkhead.ctx_tenant() and created_at <= now()) as waiting,
      (select bulkhead.ms(measured_at) from bulkhead.index_calibration where fingerprint = ${fingerprint}) as measured_at,
      (select (body->>'tenant')::int from bulkhead.index_calibration where fingerprint = ${fingerprint}) as measured_tenant,
      (select (body->>'points')::bigint from bulkhead.index_calibration where fingerprint = ${fingerprint}) as measured_points`;
}
