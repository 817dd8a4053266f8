import { AsyncResource } from 'node:async_hooks';
import { randomUUID } from 'node:crypto';
import { sql } from 'kysely';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { AuditLog } from '../../src/audit/audit-log.ts';
import { BulkheadError } from '../../src/errors.ts';
import { tenantId } from '../../src/policy/ids.ts';
import { DatabaseError } from '../../src/store/database-error.ts';
import type { ProcessRole } from '../../src/store/process-role.ts';
import {
  addDocument,
  guardOf,
  openTestAudit,
  REFUSAL,
  receiptBody,
  type TestAudit,
} from '../helpers/audit.ts';
import { asSuperuser } from '../helpers/policy-tables.ts';

let test: TestAudit;
let log: AuditLog;

beforeEach(async () => {
  test = await openTestAudit();
  log = test.log;
});
afterEach(async () => {
  vi.restoreAllMocks();
  await test.close();
});

interface Row {
  readonly writer: string;
  readonly tenant_id: number;
  readonly seq: number;
  readonly kind: string;
  readonly id: string;
  readonly body: string;
  readonly at: Date;
}

function rows(): Promise<readonly Row[]> {
  return asSuperuser<Row>(
    test.database,
    'select c.writer, r.* from audit_record r join audit_chain c on c.id = r.chain_id order by r.chain_id, r.seq',
  );
}

const note = (tenant = test.tenant) => log.appendEvent(tenant, 'request.refused', REFUSAL);

describe('an appended receipt', () => {
  it('can be found by its id, with the body as it was written', async () => {
    const appended = await log.appendReceipt(
      test.tenant,
      'release',
      receiptBody(test.admin),
      guardOf(test.admin),
    );
    expect(appended).toMatchObject({ status: 'appended', hash: expect.stringMatching(/^[0-9a-f]{64}$/) });
    const [row] = await rows();
    expect(row).toMatchObject({ kind: 'release', seq: 1, writer: 'test-1' });
    expect({ id: row?.id, at: row?.at.getTime() }).toEqual({
      id: 'id' in appended && appended.id,
      at: 'at' in appended && appended.at,
    });
    expect(JSON.parse(row?.body ?? '')).toEqual(receiptBody(test.admin));
  });

  it('follows in its tenant’s chain the one that was appended before it', async () => {
    for (let i = 0; i < 3; i += 1) await note();
    expect((await rows()).map(({ seq }) => seq)).toEqual([1, 2, 3]);
    expect((await test.verify()).problems).toEqual([]);
  });

  it('is never older than the one before it, though the clock was set back', async () => {
    await asSuperuser(
      test.database,
      `insert into audit_chain (writer, tenant_id) values ('test-1', ${test.tenant});
       set local session_replication_role = replica;
       insert into audit_record select id, 1, tenant_id, now() + interval '1 day', 'release', 'id-of-sixteen-chars', '{}', last_hash, last_hash from audit_chain;
       update audit_chain set last_seq = 1`,
    );
    await note();
    const [first, second] = await rows();
    expect(second?.at).toEqual(first?.at);
  });

  it('holds what no database text can, escaped', async () => {
    const body = receiptBody(test.admin, { filters: { source: 'a\u0000\n\ud800ü' } });
    await log.appendReceipt(test.tenant, 'release', body, guardOf(test.admin));
    expect((await test.verify()).problems).toEqual([]);
  });
});

describe('a receipt is not written when', () => {
  const append = (documents: readonly (readonly [string, number, number])[] = [], epoch = {}) =>
    log.appendReceipt(test.tenant, 'release', receiptBody(test.admin), {
      ...guardOf(test.admin, documents),
      ...epoch,
    });

  afterEach(async () => {
    expect(await rows()).toEqual([]);
  });

  it('the epoch counter moved', async () => {
    await asSuperuser(test.database, 'update policy_epoch set counter = counter + 1');
    expect(await append()).toEqual({ status: 'moved' });
  });

  it('the incarnation changed', async () => {
    expect(await append([], { incarnation: randomUUID() })).toEqual({ status: 'moved' });
  });

  it('a document moved to another class', async () => {
    const [id, classId, version] = await addDocument(test.database, test.tenant);
    expect(await append([[id, classId + 1, version]])).toEqual({ status: 'moved' });
  });

  it('a document has another version', async () => {
    const [id, classId, version] = await addDocument(test.database, test.tenant);
    await asSuperuser(test.database, 'update document set version = 2');
    expect(await append([[id, classId, version]])).toEqual({ status: 'moved' });
  });

  it('a document was deleted', async () => {
    const kept = await addDocument(test.database, test.tenant);
    const gone = await addDocument(test.database, test.tenant);
    await asSuperuser(test.database, `delete from document where id = '${gone[0]}'`);
    expect(await append([kept, gone])).toEqual({ status: 'moved' });
  });

  it('a document is of another tenant', async () => {
    await asSuperuser(
      test.database,
      `insert into tenant (name) values ('other'); insert into policy_epoch (tenant_id) select id from tenant where name = 'other'`,
    );
    const foreign = await addDocument(test.database, test.tenant);
    await asSuperuser(
      test.database,
      `update document set tenant_id = (select id from tenant where name = 'other')`,
    );
    expect(await append([foreign])).toEqual({ status: 'moved' });
  });

  it('its guard is missing or malformed', async () => {
    const { incarnation, counter } = test.admin.epoch;
    const { revocable } = test.admin;
    const guards = [
      {},
      { guard: { incarnation, counter, revocable } },
      { guard: { incarnation, documents: [], revocable } },
      { guard: { counter, documents: [], revocable } },
      { guard: { incarnation, counter, documents: [[]], revocable } },
      { guard: { incarnation, counter, documents: [] } },
      { guard: { incarnation, counter, documents: [], revocable: [] } },
      { guard: { incarnation, counter, documents: [], revocable: { kind: 'user' } } },
      { guard: { incarnation, counter, documents: [], revocable: [{ kind: 'user' }] } },
      { guard: false },
    ];
    const items = guards.map((part) => ({
      tenant: test.tenant,
      kind: 'release',
      id: 'id-of-sixteen-chars',
      body: '{}',
      ...part,
    }));
    const { rows } = await test.database.unitOfWork('retrieve', undefined, (trx) =>
      sql`select bulkhead.append_audit('w', ${JSON.stringify(items)}::jsonb) as r`.execute(trx),
    );
    expect(rows).toEqual([{ r: guards.map(() => ({ status: 'moved' })) }]);
  });
});

describe('a document that stands as it was', () => {
  it('lets the receipt be written', async () => {
    const documents = [
      await addDocument(test.database, test.tenant),
      await addDocument(test.database, test.tenant),
    ];
    const appended = log.appendReceipt(
      test.tenant,
      'release',
      receiptBody(test.admin),
      guardOf(test.admin, documents),
    );
    expect(await appended).toMatchObject({ status: 'appended' });
  });
});

describe('concurrent appends', () => {
  it('share a transaction and a flush, at most sixty-four at a time, and keep their order', async () => {
    const units = vi.spyOn(test.database, 'statement');
    const flushes = vi.spyOn(test.database, 'flush');
    const all = await Promise.all(Array.from({ length: 130 }, () => note()));
    expect(units).toHaveBeenCalledTimes(3);
    expect(flushes).toHaveBeenCalledTimes(3);
    expect((await rows()).map(({ id }) => id)).toEqual(all.map(({ id }) => id));
  });

  it('that arrive during a commit share the next one', async () => {
    const first = note();
    await Promise.resolve();
    const units = vi.spyOn(test.database, 'statement');
    await new Promise((resolve) => setImmediate(resolve));
    const later = [note(), note(), note()];
    await Promise.all([first, ...later]);
    expect(units.mock.calls.length).toBeLessThanOrEqual(2);
    expect((await rows()).map(({ seq }) => seq)).toEqual([1, 2, 3, 4]);
  });

  it('of several tenants each go to their own chain, and one that moved holds up no other', async () => {
    const [other] = await asSuperuser<{ id: number }>(
      test.database,
      `insert into tenant (name) values ('other') returning id`,
    );
    await asSuperuser(
      test.database,
      `insert into policy_epoch (tenant_id) select id from tenant where name = 'other'`,
    );
    const stale = { ...guardOf(test.admin), counter: -1 };
    const outcomes = await Promise.all([
      note(),
      note(tenantId(other?.id ?? -1)),
      log.appendReceipt(test.tenant, 'release', receiptBody(test.admin), stale),
      note(),
    ]);
    expect(outcomes.map(({ status }) => status)).toEqual(['appended', 'appended', 'moved', 'appended']);
    expect((await rows()).map(({ tenant_id, seq }) => [tenant_id, seq])).toEqual([
      [test.tenant, 1],
      [test.tenant, 2],
      [other?.id, 1],
    ]);
  });

  it('do not fail with one of them that the database refuses', async () => {
    const outcomes = await Promise.allSettled([note(), note(tenantId(999_999)), note()]);
    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
    expect((await test.verify()).problems).toEqual([]);
  });
});

describe('nothing is released', () => {
  it('before the record is flushed', async () => {
    let letGo: () => void = () => {};
    const flushed = new Promise<void>((resolve) => {
      letGo = resolve;
    });
    vi.spyOn(test.database, 'flush').mockReturnValue(flushed);
    let released = false;
    const appended = note().then(() => {
      released = true;
    });
    await vi.waitFor(async () => expect(await rows()).toHaveLength(1));
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(released).toBe(false);
    letGo();
    await appended;
    expect(released).toBe(true);
  });

  it('when the flush fails', async () => {
    vi.spyOn(test.database, 'flush').mockRejectedValue(new Error('EIO'));
    await expect(note()).rejects.toMatchObject({ code: 'audit_unavailable', status: 503 });
  });

  it('when the database does not answer, and not sixty-four times over', async () => {
    const units = vi
      .spyOn(test.database, 'statement')
      .mockRejectedValue(new DatabaseError('08006', undefined, 'gone'));
    const outcomes = await Promise.allSettled([note(), note()]);
    for (const outcome of outcomes)
      expect(outcome).toMatchObject({ status: 'rejected', reason: { code: 'audit_unavailable' } });
    expect(units).toHaveBeenCalledTimes(1);
  });

  it('after the log is closed', async () => {
    const last = note();
    await log.close();
    expect(await last).toMatchObject({ status: 'appended' });
    await expect(note()).rejects.toMatchObject({ code: 'shutting_down' });
    expect(await rows()).toHaveLength(1);
  });
});

describe('a change that is recorded in its own transaction', () => {
  const grant = {
    ...REFUSAL,
    container: '/',
    document: null,
    principal: 'everyone',
    effect: 'allow',
    from: null,
    until: null,
  } as const;
  const change = (fail = false) =>
    test.database.unitOfWork('admin', test.admin.context, async (trx) => {
      await sql`insert into bulkhead.entry (tenant_id, class_id, principal_id, effect)
        select p.tenant_id, c.id, p.id, 'allow' from bulkhead.principal p, bulkhead.access_class c
        where p.kind = 'everyone' and c.path = '/'`.execute(trx);
      const appended = await log.appendWithin(trx, [
        { tenant: test.tenant, kind: 'entry.added', body: grant },
      ]);
      if (fail) throw new BulkheadError('conflict', 'The change was given up.');
      return appended;
    });

  it('is in the log when it is committed', async () => {
    const [appended] = await change();
    expect(await rows()).toMatchObject([{ id: appended?.id, kind: 'entry.added' }]);
  });

  it('is not in the log when it is rolled back', async () => {
    await expect(change(true)).rejects.toMatchObject({ code: 'conflict' });
    expect(await rows()).toEqual([]);
  });

  it('cannot be of another tenant than the transaction', async () => {
    const foreign = test.database.unitOfWork('admin', test.admin.context, (trx) =>
      log.appendWithin(trx, [{ tenant: tenantId(test.tenant + 1), kind: 'entry.added', body: grant }]),
    );
    await expect(foreign).rejects.toMatchObject({ code: 'audit_unavailable' });
  });

  it('does not take its transaction along into a later checkpoint', async () => {
    let due: () => void = () => {};
    const failures: unknown[] = [];
    log = test.open({
      schedule: (_, work) => {
        // a timer keeps the async context in which it was set
        due = AsyncResource.bind(work);
        return () => {};
      },
      onCheckpointFailure: (error) => failures.push(error),
    });
    due();
    await log.checkpoint();
    await change();
    due();
    await log.checkpoint();
    expect(failures).toEqual([]);
    const covered = await asSuperuser(test.database, 'select * from audit_checkpoint');
    expect(covered).toHaveLength(1);
  });
});

describe('the audit tables', () => {
  const STATEMENTS = [
    'update audit_record set body = $$x$$',
    'delete from audit_record',
    'truncate audit_record',
    'update audit_checkpoint set seq = 1',
    'delete from audit_checkpoint',
    'truncate audit_checkpoint',
    'delete from audit_chain',
    'truncate audit_chain cascade',
    'update audit_chain set last_seq = 0',
    'update audit_chain set last_seq = last_seq',
  ];
  const ROLES = ['retrieve', 'ingest', 'indexer', 'admin', 'audit'] as const satisfies readonly ProcessRole[];

  it('cannot be changed as any process role', async () => {
    await note();
    const add = `insert into audit_chain (writer, tenant_id) values ('x', ${test.tenant})`;
    for (const role of ROLES)
      for (const statement of [...STATEMENTS, add]) {
        const attempt = test.database.unitOfWork(role, test.admin.context, async (trx) => {
          await sql.raw('set local search_path = bulkhead').execute(trx);
          await sql.raw(statement).execute(trx);
        });
        await expect(attempt, `${role}: ${statement}`).rejects.toMatchObject({ sqlState: '42501' });
      }
    expect(await rows()).toHaveLength(1);
  });

  it('cannot be changed as their owner, as the ledger that adds to them or as the superuser', async () => {
    await note();
    await log.checkpoint();
    for (const role of ['bulkhead_owner', 'bulkhead_ledger', 'bulkhead_kernel', 'postgres'])
      for (const statement of STATEMENTS) {
        const attempt = asSuperuser(test.database, `set local role ${role}; ${statement}`);
        await expect(attempt, `${role}: ${statement}`).rejects.toMatchObject({
          sqlState: expect.stringMatching(/42501|55000/),
        });
      }
    expect(await rows()).toHaveLength(1);
  });

  it('let the ledger lock policy and documents, and change neither', async () => {
    await addDocument(test.database, test.tenant);
    for (const statement of ['update policy_epoch set counter = 0', 'update document set version = 9'])
      await expect(
        asSuperuser(test.database, `set local role bulkhead_ledger; ${statement}`),
      ).rejects.toMatchObject({ sqlState: '42501' });
  });

  it('show an auditor the own tenant only, and nothing without a context', async () => {
    const [other] = await asSuperuser<{ id: number }>(
      test.database,
      `insert into tenant (name) values ('other') returning id`,
    );
    await Promise.all([note(), note(tenantId(other?.id ?? -1))]);
    await log.checkpoint();
    for (const table of ['audit_chain', 'audit_record', 'audit_checkpoint']) {
      const count = (context?: TestAudit['admin']['context']) =>
        test.database.unitOfWork('audit', context, async (trx) => {
          const { rows } = await sql
            .raw<{ n: number }>(`select count(*) as n from bulkhead.${table}`)
            .execute(trx);
          return rows[0]?.n;
        });
      expect(await count(test.admin.context), table).toBe(1);
      expect(await count(), table).toBe(0);
    }
  });

  it('are closed to every process role but the auditor', async () => {
    for (const role of ROLES.filter((r) => r !== 'audit')) {
      const read = test.database.unitOfWork(role, test.admin.context, (trx) =>
        sql`select 1 from bulkhead.audit_record`.execute(trx),
      );
      await expect(read, role).rejects.toMatchObject({ sqlState: '42501' });
    }
  });

  it('are for the indexer to add to: whoever runs it works on the index of all', async () => {
    const log = test.open({ role: 'indexer', writer: 'indexer-test' });
    expect(await log.appendEvent(test.tenant, 'request.refused', REFUSAL)).toMatchObject({
      status: 'appended',
    });
  });
});
