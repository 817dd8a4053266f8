/** What it takes to take a whole container away from its readers, on two replicas that answer meanwhile. */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import type { AdminCaller } from '../../../src/admin/change.ts';
import { grant, revoke, setContainerLabel, setInherits } from '../../../src/admin/container-access.ts';
import { moveContainer } from '../../../src/admin/move-container.ts';
import { retrieve } from '../../../src/retrieve/retrieve.ts';
import { percentile } from '../measures.ts';
import { LIMIT } from './contest.ts';
import { questionsOf } from './corpus.ts';
import type { DataSet } from './data-set.ts';
import { identityOf } from './identity.ts';
import { groupOf } from './layout.ts';
import { openProduct, type Product } from './product.ts';
import { isWrite, type QdrantProxy, startProxy } from './qdrant-proxy.ts';

export interface Revocation {
  readonly chunks: number;
  readonly classes: number;
  /** Milliseconds of the whole operation, and of the transaction that makes the change, medians. */
  readonly operationMs: number;
  readonly transactionMs: number;
  /** The same row deleted by hand with its triggers and its commit: what the store itself takes. */
  readonly bareMs: number;
  /** Rows written by one revocation, by table. */
  readonly rows: Readonly<Record<string, number>>;
  readonly vectorsWritten: number;
  /** Answers whose receipt came after the commit, and those among them that still held a passage. */
  readonly answersAfter: number;
  readonly answersThatLeaked: number;
  /** The first answer of a replica afterwards, whose cached visible sets no longer hold. */
  readonly firstAnswerMs: number;
  readonly others: readonly { readonly change: string; readonly ms: number; readonly rows: number }[];
}

const CONTAINER = '/big';
const READER = 'big';
const TIMES = 7;
/** An idle session of PostgreSQL tells of what it wrote ten seconds later. */
const STATISTICS_MS = 11_000;

const administrator = (): AdminCaller => ({ identity: identityOf('administrator'), requestId: randomUUID() });
const entry = { principal: groupOf(READER), effect: 'allow' as const };

export async function measureRevocation(data: DataSet): Promise<Revocation> {
  const proxy = await startProxy(data.stores.qdrantUrl);
  const replicas = [
    await openProduct(data.stores, { QDRANT_URL: proxy.url }),
    await openProduct(data.stores, { QDRANT_URL: proxy.url }),
  ];
  try {
    return await measureWith(data, replicas, proxy);
  } finally {
    for (const replica of replicas) await replica.close();
    await proxy.close();
  }
}

async function measureWith(
  data: DataSet,
  replicas: readonly Product[],
  proxy: QdrantProxy,
): Promise<Revocation> {
  const { layout, spec, client } = data;
  const first = replicas[0];
  if (first === undefined) throw new Error('there is no replica');
  const question = questionsOf(data.pieces, 1)[0] ?? '';
  for (const replica of replicas)
    if ((await passagesOf(replica, question)) === 0) throw new Error('the reader sees nothing to begin with');
  const operations: number[] = [];
  const transactions: number[] = [];
  for (let i = 0; i < TIMES; i += 1) {
    const { operation, transaction } = await timeRevoke(first);
    operations.push(operation);
    transactions.push(transaction);
    await grant(first.core.admin, administrator(), { container: CONTAINER, entry });
  }
  const bareMs = await timeBare(client);
  const asked = await askDuring(replicas, question, proxy, client, first);
  return {
    chunks: layout.visibleChunks(READER),
    classes: spec.classes - Math.round((spec.fixedChunks / spec.chunks) * spec.classes),
    operationMs: percentile(operations, 0.5),
    transactionMs: percentile(transactions, 0.5),
    bareMs,
    ...asked,
    others: await timeOthers(first, client, anotherContainer(data)),
  };
}

async function passagesOf({ core }: Product, query: string): Promise<number> {
  const request = { requestId: randomUUID(), query, limit: LIMIT, filters: {} };
  return (await retrieve(core.retrieve, identityOf(READER), request)).content.passages.length;
}

/** The transaction is the last unit of work that the operation does. */
async function timeRevoke({ core }: Product): Promise<{ operation: number; transaction: number }> {
  const spans: number[] = [];
  const database = new Proxy(core.admin.database, {
    get(target, key) {
      const value: unknown = Reflect.get(target, key, target);
      if (typeof value !== 'function') return value;
      return async (...args: unknown[]) => {
        const from = performance.now();
        try {
          return await Reflect.apply(value, target, args);
        } finally {
          if (key === 'unitOfWork') spans.push(performance.now() - from);
        }
      };
    },
  });
  const began = performance.now();
  await revoke({ ...core.admin, database }, administrator(), { container: CONTAINER, ...entry });
  return { operation: performance.now() - began, transaction: spans.at(-1) ?? Number.NaN };
}

async function timeBare(client: pg.Client): Promise<number> {
  const which = `class_id = (select id from bulkhead.access_class where path = '${CONTAINER}')`;
  const { rows } = await client.query(`select * from bulkhead.entry where ${which}`);
  const [row] = rows as { tenant_id: number; class_id: number; principal_id: number }[];
  if (row === undefined) throw new Error('there is no entry to take away');
  const times: number[] = [];
  for (let i = 0; i < TIMES; i += 1) {
    const began = performance.now();
    await client.query(`delete from bulkhead.entry where ${which}`);
    times.push(performance.now() - began);
    await client.query(
      `insert into bulkhead.entry (tenant_id, class_id, principal_id, effect)
       values (${row.tenant_id}, ${row.class_id}, ${row.principal_id}, 'allow')`,
    );
  }
  return percentile(times, 0.5);
}

/** Both replicas answer without a pause while the entry goes; then it comes back. */
async function askDuring(
  replicas: readonly Product[],
  question: string,
  proxy: QdrantProxy,
  client: pg.Client,
  first: Product,
): Promise<
  Pick<Revocation, 'rows' | 'vectorsWritten' | 'answersAfter' | 'answersThatLeaked' | 'firstAnswerMs'>
> {
  proxy.take();
  await sleep(STATISTICS_MS);
  const before = await written(client);
  let revokedAt = Number.POSITIVE_INFINITY;
  let isOver = false;
  const after: { passages: number; ms: number; began: number }[] = [];
  const asking = replicas.map(async (replica) => {
    while (!isOver) {
      const began = performance.now();
      const passages = await passagesOf(replica, question);
      // begun before the commit and receipted before it as well: what it shows was still allowed
      if (began > revokedAt) after.push({ passages, ms: performance.now() - began, began });
    }
  });
  await sleep(500);
  await revoke(first.core.admin, administrator(), { container: CONTAINER, ...entry });
  revokedAt = performance.now();
  await sleep(1_000);
  isOver = true;
  await Promise.all(asking);
  const leaked = await leaksInLog(client);
  await sleep(STATISTICS_MS);
  const now = await written(client);
  await grant(first.core.admin, administrator(), { container: CONTAINER, entry });
  return {
    rows: difference(before, now),
    vectorsWritten: proxy.take().filter(isWrite).length,
    answersAfter: after.length,
    answersThatLeaked: after.filter(({ passages }) => passages > 0).length + leaked,
    firstAnswerMs: percentile(
      after.slice(0, replicas.length).map(({ ms }) => ms),
      0.5,
    ),
  };
}

/**
 * Receipts with a passage that were written under the epoch of the revocation or later. A receipt holds the epoch
 * that it was decided in, and none is written once that has passed.
 */
async function leaksInLog(client: pg.Client): Promise<number> {
  const { rows } = await client.query<{ n: string }>(
    `select count(*) as n from bulkhead.audit_record r where r.kind = 'release'
       and (r.body::jsonb->'policy'->>'counter')::bigint >= (select counter from bulkhead.policy_epoch)
       and r.body::jsonb->>'subject' = $1 and jsonb_array_length(r.body::jsonb->'passages') > 0`,
    [identityOf(READER).user],
  );
  return Number(rows[0]?.n ?? Number.NaN);
}

async function written(client: pg.Client): Promise<Readonly<Record<string, number>>> {
  const { rows } = await client.query<{ name: string; n: string }>(
    `select relname as name, n_tup_ins + n_tup_upd + n_tup_del as n from pg_stat_user_tables where schemaname = 'bulkhead'`,
  );
  return Object.fromEntries(rows.map(({ name, n }) => [name, Number(n)]));
}

function difference(
  before: Readonly<Record<string, number>>,
  now: Readonly<Record<string, number>>,
): Readonly<Record<string, number>> {
  const changes = Object.entries(now).map(([name, n]) => [name, n - (before[name] ?? 0)] as const);
  return Object.fromEntries(changes.filter(([, n]) => n > 0));
}

function anotherContainer({ layout }: DataSet): string {
  const other = layout.containers.find(({ path }) => path !== CONTAINER);
  if (other === undefined) throw new Error('there is no other container to move it below');
  return other.path;
}

/** Changes of the container that reach what is below it, for comparison. */
async function timeOthers(
  { core }: Product,
  client: pg.Client,
  elsewhere: string,
): Promise<Revocation['others']> {
  const parts = core.admin;
  const changes: readonly (readonly [string, () => Promise<unknown>])[] = [
    [
      'inherits switched off',
      () => setInherits(parts, administrator(), { container: CONTAINER, inherits: false }),
    ],
    [
      'inherits switched on',
      () => setInherits(parts, administrator(), { container: CONTAINER, inherits: true }),
    ],
    [
      'label raised',
      () =>
        setContainerLabel(parts, administrator(), {
          container: CONTAINER,
          label: { level: 'restricted', compartments: [] },
        }),
    ],
    [
      'label lowered',
      () =>
        setContainerLabel(parts, administrator(), {
          container: CONTAINER,
          label: { level: 'internal', compartments: [] },
        }),
    ],
    [
      'subtree moved below another container',
      () => moveContainer(parts, administrator(), { container: CONTAINER, to: elsewhere }),
    ],
    [
      'subtree moved back',
      () => moveContainer(parts, administrator(), { container: `${elsewhere}${CONTAINER}`, to: '/' }),
    ],
  ];
  const results = [];
  await sleep(STATISTICS_MS);
  let before = await written(client);
  for (const [change, make] of changes) {
    const began = performance.now();
    await make();
    const ms = performance.now() - began;
    await sleep(STATISTICS_MS);
    const now = await written(client);
    const rows = Object.values(difference(before, now)).reduce((sum, n) => sum + n, 0);
    results.push({ change, ms, rows });
    before = now;
  }
  return results;
}
