import { randomBytes } from 'node:crypto';
import { appendFile, readFile, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { loadAuditKey } from '../../src/audit/audit-key.ts';
import { isSigned, readCheckpoints, signCheckpoint } from '../../src/audit/checkpoint.ts';
import { openTestAudit, REFUSAL, type TestAudit, tamper } from '../helpers/audit.ts';

let test: TestAudit;

beforeEach(async () => {
  test = await openTestAudit();
});
afterEach(() => test.close());

const HEAD = { chain: 1, writer: 'w', tenant: 1, seq: 5, hash: 'ab'.repeat(32), at: 1000 };
const note = () => test.log.appendEvent(test.tenant, 'request.refused', REFUSAL);
const inFile = async () => (await readCheckpoints(test.checkpointsFile, test.tenant)).checkpoints;

describe('the audit key', () => {
  const path = () => join(test.checkpointsFile, '../another-key.pem');

  it('is made on first use, for its owner only, and is the same ever after', async () => {
    const key = await loadAuditKey(path(), randomBytes);
    expect((await stat(path())).mode & 0o777).toBe(0o600);
    const again = await loadAuditKey(path(), randomBytes);
    expect([again.id, again.questionKey]).toEqual([key.id, key.questionKey]);
  });

  it('is one key, though two ask for it at once', async () => {
    const keys = await Promise.all([loadAuditKey(path(), randomBytes), loadAuditKey(path(), randomBytes)]);
    expect(keys[0]?.id).toBe(keys[1]?.id);
  });

  it('signs as test 1 of RFC 8032 section 7.1', async () => {
    const secret = '9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60';
    const key = await loadAuditKey(path(), () => Buffer.from(secret, 'hex'));
    expect(Buffer.from(key.sign(new Uint8Array())).toString('hex')).toBe(
      'e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b',
    );
  });

  it('is refused when the file holds something else', async () => {
    await writeFile(path(), 'not a key');
    await expect(loadAuditKey(path(), randomBytes)).rejects.toMatchObject({ code: 'config_invalid' });
  });
});

describe('a checkpoint', () => {
  it('is no longer signed when any part of it is changed', async () => {
    const checkpoint = signCheckpoint(test.key, HEAD);
    const check = (changes: object) => isSigned(test.key.publicKey, { ...checkpoint, ...changes });
    expect(await check({})).toBe(true);
    const changes = [
      { chain: 2 },
      { writer: 'x' },
      { tenant: 2 },
      { seq: 6 },
      { hash: 'cd'.repeat(32) },
      { at: 1 },
      { key: 'k' },
      { signature: '' },
    ];
    for (const change of changes) expect(await check(change), JSON.stringify(change)).toBe(false);
  });

  it('goes to the file and to the database, for each chain that has grown', async () => {
    await note();
    await test.log.checkpoint();
    await test.log.checkpoint();
    await note();
    await test.log.close();
    expect((await inFile()).map(({ seq }) => seq)).toEqual([1, 2]);
    expect((await stat(test.checkpointsFile)).mode & 0o777).toBe(0o600);
    expect(await test.verify()).toEqual({ chains: 1, records: 2, problems: [], losses: [] });
  });

  it('is due after a thousand records', async () => {
    await Promise.all(Array.from({ length: 999 }, note));
    await test.log.checkpoint();
    expect(await inFile()).toHaveLength(1);
    await Promise.all(Array.from({ length: 999 }, note));
    expect(await inFile()).toHaveLength(1);
    await note();
    await expect.poll(async () => (await inFile()).map(({ seq }) => seq)).toEqual([999, 1999]);
  });

  it('is due a minute after the first record that none covers, and never while nothing is new', async () => {
    const delays: number[] = [];
    let due: () => void = () => {};
    const log = test.open({
      writer: 'w',
      schedule: (delay, work) => {
        delays.push(delay);
        due = work;
        return () => {};
      },
    });
    expect(delays).toEqual([60_000]);
    due();
    await log.checkpoint();
    expect(delays).toHaveLength(1);
    await log.appendEvent(test.tenant, 'request.refused', REFUSAL);
    await log.appendEvent(test.tenant, 'request.refused', REFUSAL);
    expect(delays).toEqual([60_000, 60_000]);
    due();
    await expect.poll(async () => (await inFile()).map(({ seq }) => seq)).toEqual([2]);
  });

  it('that failed is reported and tried again', async () => {
    const failures: unknown[] = [];
    let due: () => void = () => {};
    const schedule = (_: number, work: () => void) => {
      due = work;
      return () => {};
    };
    test.open({
      checkpointsFile: join(test.checkpointsFile, 'missing', 'file'),
      schedule,
      onCheckpointFailure: (error) => failures.push(error),
    });
    await note();
    const first = due;
    first();
    await expect.poll(() => failures).toMatchObject([{ code: 'audit_unavailable' }]);
    expect(due).not.toBe(first);
  });

  it('is not made of a chain that ends otherwise than this process left it', async () => {
    await note();
    await note();
    await tamper(
      test.database,
      'delete from audit_record where seq = 2; update audit_chain set last_seq = 1',
    );
    await expect(test.log.checkpoint()).rejects.toMatchObject({ code: 'audit_broken' });
    await expect(test.log.close()).rejects.toMatchObject({ code: 'audit_broken' });
    expect(await inFile()).toEqual([]);
  });

  it('covers what a process of the same name left uncovered when it was killed', async () => {
    await note();
    await test.open().close();
    expect((await inFile()).map(({ seq }) => seq)).toEqual([1]);
  });
});

describe('the checkpoint file', () => {
  it('loses a line that a crash left unfinished, and no other', async () => {
    await note();
    await test.log.checkpoint();
    await appendFile(test.checkpointsFile, '{"chain":1,"wri');
    await note();
    await test.log.checkpoint();
    const { checkpoints, unreadableLines } = await readCheckpoints(test.checkpointsFile, test.tenant);
    expect([checkpoints.map(({ seq }) => seq), unreadableLines]).toEqual([[1, 2], []]);
  });

  it('keeps a whole line that only its line break was taken from', async () => {
    await note();
    await test.log.checkpoint();
    await truncate(test.checkpointsFile, (await readFile(test.checkpointsFile)).length - 1);
    await note();
    await test.log.checkpoint();
    expect((await inFile()).map(({ seq }) => seq)).toEqual([1, 2]);
  });
});
