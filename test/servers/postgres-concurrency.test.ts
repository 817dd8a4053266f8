import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { appendAtOnce } from '../../src/audit/audit-calls.ts';
import { loadAuditKey } from '../../src/audit/audit-key.ts';
import { type AuditLog, createAuditLog } from '../../src/audit/audit-log.ts';
import type { ReceiptBody } from '../../src/audit/receipt.ts';
import { verifyTenant } from '../../src/audit/verify.ts';
import { isBulkheadError } from '../../src/errors.ts';
import { instant } from '../../src/policy/ids.ts';
import { readDocument } from '../../src/retrieve/documents.ts';
import { createDriftWatch } from '../../src/retrieve/drift.ts';
import { type RetrieveParts, retrieve } from '../../src/retrieve/retrieve.ts';
import { authorize } from '../../src/store/authority.ts';
import { migratePostgres, openPostgres } from '../../src/store/open-postgres.ts';
import { SCHEME } from '../helpers/policy-tables.ts';
import {
  at,
  findPostgres,
  type PostgresServer,
  runAs,
  startPostgres,
  untilSessions,
} from '../helpers/postgres-server.ts';
import { openSpine, type Spine, type SpineDocument } from '../helpers/spine.ts';
import { withPgvector } from '../helpers/stores.ts';

const programs = await findPostgres();
const ROUNDS = 60;
const WRITERS = ['replica-1', 'replica-2', 'replica-3'];

type Way = readonly [revoke: string, restore: string];

/** Ways to take a class from ann by a change of policy. */
function policyChanges(cls: number): readonly Way[] {
  const entry = (effect: string) =>
    `insert into entry (tenant_id, class_id, principal_id, effect) values (1, ${cls}, 1, '${effect}')`;
  const noEntry = (effect: string) =>
    `delete from entry where class_id = ${cls} and principal_id = 1 and effect = '${effect}'`;
  const account = (status: string) =>
    `update directory_account set status = '${status}' where principal_id = 1`;
  const label = (change: string) => `update access_class set ${change} where id = ${cls}`;
  const clearance = (level: string) => `update clearance set ${level}`;
  return [
    [noEntry('allow'), entry('allow')],
    [entry('deny'), noEntry('deny')],
    [account('disabled'), account('active')],
    [label(`level = 'restricted', rank = 3`), label('level = null, rank = null')],
    [label(`compartments = '{a}'`), label(`compartments = '{}'`)],
    [clearance(`level = 'public', rank = 0`), clearance(`level = 'internal', rank = 1`)],
  ];
}

/** To a class that names nobody, and back: no epoch is raised, and the receipt's guard alone can notice. */
function documentMove(document: string, from: number, to: number): Way {
  const move = (cls: number) => `update document set class_id = ${cls} where id = '${document}'`;
  return [move(to), move(from)];
}

describe.skipIf(programs === undefined)('On a PostgreSQL server, with many connections at once', () => {
  let server: PostgresServer;
  let url: string;
  let spine: Spine;
  let secret: SpineDocument;
  let audits: readonly AuditLog[];
  let folder: string;
  let key: Awaited<ReturnType<typeof loadAuditKey>>;

  beforeAll(async () => {
    server = await startPostgres(programs);
    url = (await server.createDatabase())();
    spine = await openSpine(async () => {
      await migratePostgres(at(url));
      return withPgvector(await openPostgres(at(url, { poolSize: 12 })));
    });
    await spine.add(spine.classes.open, 'The harbour gate is painted every spring.');
    secret = await spine.add(spine.classes.closed, 'The launch code of the harbour gate is 4711.');
    folder = await mkdtemp(join(tmpdir(), 'bulkhead-replicas-'));
    key = await loadAuditKey(join(folder, 'audit.key'), randomBytes);
    audits = WRITERS.map((writer) =>
      createAuditLog({
        database: spine.database,
        role: 'retrieve',
        writer,
        key,
        checkpointsFile: join(folder, `${writer}.ndjson`),
        now: () => instant(Date.now()),
        random: randomBytes,
        onCheckpointFailure: () => {},
      }),
    );
  }, 180_000);
  afterAll(async () => {
    await Promise.all(audits.map((audit) => audit.close()));
    await spine.close();
    await server.stop();
    await rm(folder, { recursive: true });
  });

  /** Asks and reads as ann through one replica until told to stop; what was refused is counted by its code. */
  async function askOn(
    replica: Pick<RetrieveParts, 'audit'> & Partial<RetrieveParts>,
    running: () => boolean,
    seen: Map<string, number>,
  ): Promise<void> {
    const parts = { ...spine.parts, ...replica };
    for (let i = 0; running(); i += 1) {
      try {
        if (i % 4 === 0) {
          const query = {
            requestId: `q${i}`,
            query: 'launch code of the harbour gate',
            limit: 5,
            filters: {},
          };
          await retrieve(parts, spine.ann, query);
        } else await readDocument(parts, spine.ann, { requestId: `r${i}`, document: secret.id });
        count(seen, 'answered');
      } catch (error) {
        if (isBulkheadError(error)) count(seen, error.code);
        else throw error;
      }
    }
  }

  /** Revokes and restores while all replicas answer. Commits carry the server's own stamps. */
  async function race(ways: readonly Way[]) {
    const operator = new pg.Client({ connectionString: url });
    await operator.connect();
    await operator.query('set search_path = bulkhead, public');
    const changes: Change[] = [];
    const change = async (statement: string, allowed: boolean) => {
      await operator.query('begin');
      await operator.query(statement);
      const { rows } = await operator.query<{ xid: string }>('select pg_current_xact_id()::text as xid');
      await operator.query('commit');
      changes.push({ xid: rows[0]?.xid ?? '', allowed });
      // long enough for some answers, short enough to cut into others
      await new Promise((resolve) => setTimeout(resolve, Math.random() * (allowed ? 150 : 20)));
    };
    let running = true;
    const churn = async () => {
      for (let i = 0; i < ROUNDS; i += 1) {
        const [revoke, restore] = ways[i % ways.length] ?? ['', ''];
        await change(revoke, false);
        await change(restore, true);
      }
    };
    const seen = new Map<string, number>();
    const answering = audits.flatMap((audit) => [1, 2].map(() => askOn({ audit }, () => running, seen)));
    await Promise.all([
      churn().finally(() => {
        running = false;
      }),
      ...answering,
    ]);
    await operator.end();
    const stamped = await commitTimes(url, changes);
    const from = stamped[0]?.at ?? 0n;
    const receipts = (await releasesOf(url, secret.id)).filter((at) => at > from);
    const late = receipts.filter((at) => stamped.filter((c) => c.at < at).at(-1)?.allowed === false);
    return { late, receipts, seen };
  }

  it('no receipt committed after a change of policy names what it took away', {
    timeout: 300_000,
  }, async () => {
    await runAs(
      url,
      `insert into bulkhead.entry (tenant_id, class_id, principal_id, effect) values (1, ${spine.classes.closed}, 1, 'allow')`,
    );
    const { late, receipts, seen } = await race(policyChanges(spine.classes.closed));
    expect(late).toEqual([]);
    // the race was run: the secret was released between changes, and refused
    expect(receipts.length).toBeGreaterThan(ROUNDS / 4);
    const { answered, not_found, subject_disabled, authority_moved, ...others } = Object.fromEntries(seen);
    expect(
      Math.min(answered ?? 0, not_found ?? 0, subject_disabled ?? 0, authority_moved ?? 0),
    ).toBeGreaterThan(0);
    expect(others).toEqual({});
  });

  it('a revocation between two stages is told from enforcers that disagree', async () => {
    await spine.parts.drift.settled();
    expect(spine.drifts).toEqual([]);
  });

  it('no receipt committed after a document was moved names it', { timeout: 300_000 }, async () => {
    const { late, receipts, seen } = await race([
      documentMove(secret.id, spine.classes.closed, spine.classes.open - 1),
    ]);
    expect(late).toEqual([]);
    expect(receipts.length).toBeGreaterThan(ROUNDS / 4);
    expect(seen.get('not_found')).toBeGreaterThan(0);
  });

  const underWay: readonly (readonly [what: string, change: (document: SpineDocument) => string])[] = [
    [
      'a move of its document',
      ({ id }) => `update bulkhead.document set class_id = ${spine.classes.open} where id = '${id}'`,
    ],
    ['a deletion of its document', ({ id }) => `delete from bulkhead.document where id = '${id}'`],
    [
      'a change of policy',
      ({ class: cls }) =>
        `insert into bulkhead.entry (tenant_id, class_id, principal_id, effect) values (1, ${cls}, 2, 'deny')`,
    ],
    [
      'a revocation of its credential',
      () => `insert into bulkhead.revocation (tenant_id, kind, id, not_before, reason, revoked_at)
        values (1, 'user', 'w|bob', now(), 'lost', now())`,
    ],
  ];

  it.each(
    underWay.flatMap(([what, change]) => [
      { what, change, end: 'commit', status: 'moved' },
      { what, change, end: 'rollback', status: 'appended' },
    ]),
  )(
    'receipts wait for $what that is under way, and after its $end each of one batch is $status',
    async ({ change, end, status }) => {
      const document = await spine.add(spine.classes.closed, 'The tide table hangs beside the harbour gate.');
      const authority = await authorize(spine.database, 'retrieve', SCHEME, spine.bob);
      const { epoch, revocable, subject } = authority;
      const guard = { ...epoch, revocable, documents: [[document.id, document.class, 1]] as const };
      const audit = audits[0] ?? spine.audit;
      const changer = new pg.Client({ connectionString: url });
      await changer.connect();
      try {
        const { rows } = await changer.query<{ pid: number }>('select pg_backend_pid() as pid');
        await changer.query('begin');
        await changer.query(change(document));
        // submitted in one turn, so in one batch, which names the document more than once
        const receipts = ['first', 'second', 'third'].map((request) =>
          audit.appendReceipt(subject.tenant, 'release', { v: 1, request } as ReceiptBody, guard),
        );
        await untilSessions(url, `${rows[0]?.pid} = any (pg_blocking_pids(pid))`);
        await changer.query(end);
        const outcomes = await Promise.all(receipts);
        expect(outcomes.map((receipt) => receipt.status)).toEqual([status, status, status]);
      } finally {
        // what is still open ends with its connection
        await changer.end();
        await runAs(
          url,
          `delete from bulkhead.entry where principal_id = 2 and effect = 'deny'; delete from bulkhead.revocation`,
        );
        await spine.remove(document);
      }
    },
  );

  it('of one writer’s first records, written on connections of their own, each is in its one chain', async () => {
    const { subject } = await authorize(spine.database, 'retrieve', SCHEME, spine.bob);
    const body = { tenant: subject.tenant, kind: 'release', body: '{"v":1}', guard: null };
    const other = new pg.Client({ connectionString: url });
    await other.connect();
    try {
      const { rows } = await other.query<{ pid: number }>('select pg_backend_pid() as pid');
      // none of them finds a chain, and each is about to make it when this one is given up
      await other.query('begin');
      await other.query(`insert into bulkhead.audit_chain (writer, tenant_id) values ('replica-new', 1)`);
      const written = Promise.all(
        ['1', '2', '3'].map((id) =>
          appendAtOnce(spine.database, 'retrieve', 'replica-new', [{ ...body, id: id.padStart(32, '0') }]),
        ),
      );
      await untilSessions(url, `${rows[0]?.pid} = any (pg_blocking_pids(pid))`, 3);
      await other.query('rollback');
      const records = (await written).flat().map((record) => ('chain' in record ? record : undefined));
      expect(new Set(records.map((record) => record?.chain)).size).toBe(1);
      expect(records.map((record) => record?.seq).toSorted()).toEqual([1, 2, 3]);
    } finally {
      await other.end();
    }
  });

  it('the chains of all writers are sound afterwards', async () => {
    const authority = await authorize(spine.database, 'audit', SCHEME, spine.ann);
    const verdict = await verifyTenant(spine.database, authority.context, {
      checkpointsFile: join(folder, 'none.ndjson'),
      publicKey: key.publicKey,
    });
    expect(verdict.chains).toBeGreaterThanOrEqual(WRITERS.length);
    expect(verdict.problems.filter(({ what }) => what !== 'checkpoints-missing')).toEqual([]);
  });

  it('connections that are cut while they work fail their requests and nothing else', {
    timeout: 60_000,
  }, async () => {
    const seen = new Map<string, number>();
    let running = true;
    // what the watch could not look at, because its own connection was cut, is no news here
    const quiet = { drift: async () => {}, lag: () => {}, failed: () => {} };
    const drift = createDriftWatch(spine, quiet);
    const asking = Promise.all(
      audits.flatMap((audit) => [1, 2].map(() => askOn({ audit, drift }, () => running, seen))),
    );
    for (let i = 0; i < 10; i += 1) {
      await new Promise((resolve) => setTimeout(resolve, 100));
      await runAs(
        url,
        'select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and datname = current_database()',
      );
    }
    running = false;
    await asking;
    expect([...seen.keys()].sort()).toEqual(expect.arrayContaining(['answered', 'policy_unavailable']));
    expect(seen.get('answered')).toBeGreaterThan(0);
    expect(seen.size).toBeGreaterThan(1);
    const { content } = await readDocument({ ...spine.parts, audit: audits[0] ?? spine.audit }, spine.ann, {
      requestId: 'after',
      document: secret.id,
    });
    expect(content.passages).toHaveLength(1);
  });
});

function count(seen: Map<string, number>, what: string): void {
  seen.set(what, (seen.get(what) ?? 0) + 1);
}

interface Change {
  readonly xid: string;
  readonly allowed: boolean;
}

/** Microseconds since 1970 at which each change was committed, by the server's own stamp. */
async function commitTimes(
  url: string,
  changes: readonly Change[],
): Promise<readonly { readonly at: bigint; readonly allowed: boolean }[]> {
  const list = changes.map(({ xid }) => `('${xid}')`).join(',');
  const rows = await runAs<{ at: string }>(
    url,
    `select (extract(epoch from pg_xact_commit_timestamp(x::xid)) * 1000000)::bigint::text as at from (values ${list}) v (x)`,
  );
  return rows.map(({ at }, i) => ({ at: BigInt(at), allowed: changes[i]?.allowed ?? false }));
}

/** When each receipt that names the document was committed. */
async function releasesOf(url: string, document: string): Promise<readonly bigint[]> {
  const rows = await runAs<{ at: string }>(
    url,
    `select (extract(epoch from pg_xact_commit_timestamp(xmin)) * 1000000)::bigint::text as at
     from bulkhead.audit_record where kind = 'release' and body like '%${document}%'`,
  );
  return rows.map(({ at }) => BigInt(at));
}
