import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openTestAudit, REFUSAL, type TestAudit, tamper } from '../helpers/audit.ts';
import { asSuperuser } from '../helpers/policy-tables.ts';

const SIZE = 16_777_216;

describe('The audit log in partitions', () => {
  let test: TestAudit;
  beforeAll(async () => {
    test = await openTestAudit();
  });
  afterAll(() => test.close());

  const append = () => test.log.appendEvent(test.tenant, 'request.refused', REFUSAL);
  const partitionsOf = () =>
    asSuperuser<{ seq: number; partition: string }>(
      test.database,
      'select seq, tableoid::regclass::text as partition from audit_record order by seq',
    );
  /** As if so many records had been written: the chain's end alone is moved, so the chain does not verify. */
  const pretend = (seq: number) => tamper(test.database, `update audit_chain set last_seq = ${seq}`);
  const partitions = async () =>
    (
      await asSuperuser<{ name: string }>(
        test.database,
        "select inhrelid::regclass::text as name from pg_inherits where inhparent = 'audit_record'::regclass order by length(inhrelid::regclass::text), 1",
      )
    ).map(({ name }) => name);

  it('verifies as before, and is refused to everybody but through the whole', async () => {
    await append();
    await test.log.checkpoint();
    expect(await test.verify()).toMatchObject({ records: 1, problems: [] });
    for (const name of await partitions()) {
      for (const role of ['retrieve', 'audit', 'ledger', 'admin'])
        await expect(
          asSuperuser(test.database, `set local role bulkhead_${role}; select * from ${name}`),
        ).rejects.toMatchObject({ sqlState: '42501' });
      expect(
        await asSuperuser(test.database, `set local role bulkhead_owner; select * from ${name}`),
      ).toEqual([]);
      for (const change of [`delete from ${name}`, `update ${name} set body = ''`, `truncate ${name}`])
        await expect(asSuperuser(test.database, change), change).rejects.toMatchObject({ sqlState: '55000' });
    }
    await expect(asSuperuser(test.database, 'delete from audit_record')).rejects.toMatchObject({
      sqlState: '55000',
    });
  });

  it('goes over to the next partition where one ends', async () => {
    await pretend(SIZE - 3);
    for (let i = 0; i < 4; i += 1) await append();
    expect(await partitionsOf()).toEqual([
      { seq: 1, partition: 'audit_record_0' },
      { seq: SIZE - 2, partition: 'audit_record_0' },
      { seq: SIZE - 1, partition: 'audit_record_0' },
      { seq: SIZE, partition: `audit_record_${SIZE}` },
      { seq: SIZE + 1, partition: `audit_record_${SIZE}` },
    ]);
  });

  it('has two partitions ready ahead of its longest chain after every checkpoint', async () => {
    expect(await partitions()).toHaveLength(3);
    // the log that knows the real end would take this one for a forgery
    const log = test.open({ writer: 'test-1' });
    await log.checkpoint();
    expect(await partitions()).toEqual([
      'audit_record_0',
      ...[1, 2, 3].map((n) => `audit_record_${n * SIZE}`),
    ]);
    await log.checkpoint();
    expect(await partitions()).toHaveLength(4);
  });

  it('takes nothing that has no partition, so that nothing is released without a record', async () => {
    await pretend(10 * SIZE);
    await expect(append()).rejects.toMatchObject({ code: 'audit_unavailable' });
  });
});
