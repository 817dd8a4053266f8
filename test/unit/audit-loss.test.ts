import { randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { loadAuditKey } from '../../src/audit/audit-key.ts';
import { declareLosses } from '../../src/audit/declare-losses.ts';
import { signLoss } from '../../src/audit/loss.ts';
import { instant } from '../../src/policy/ids.ts';
import { openTestAudit, REFUSAL, type TestAudit, tamper } from '../helpers/audit.ts';

let test: TestAudit;

beforeEach(async () => {
  test = await openTestAudit();
  await write(5);
  await putBackTo(3);
});
afterEach(() => test.close());

async function write(records: number): Promise<void> {
  for (let i = 0; i < records; i += 1) await test.log.appendEvent(test.tenant, 'request.refused', REFUSAL);
  await test.log.checkpoint();
}

/** What restoring an older backup does to a chain, and starting the process again. */
async function putBackTo(seq: number): Promise<void> {
  await tamper(
    test.database,
    `delete from audit_record where seq > ${seq}; delete from audit_checkpoint where seq > ${seq};
     update audit_chain set last_seq = ${seq}, last_hash = (select hash from audit_record where seq = ${seq})`,
  );
  test = { ...test, log: test.open() };
}

const declare = () =>
  declareLosses({
    database: test.database,
    role: 'retrieve',
    key: test.key,
    checkpointsFile: test.checkpointsFile,
    now: () => instant(Date.now()),
  });
const problems = async () => (await test.verify()).problems.map(({ what }) => what);
const addLine = async (line: object) =>
  writeFile(test.checkpointsFile, `${await readFile(test.checkpointsFile, 'utf8')}${JSON.stringify(line)}\n`);

describe('records that a restore took back', () => {
  it('are missed for as long as nobody has declared them lost', async () => {
    expect(await problems()).toEqual(['cut-off']);
    await write(4);
    expect(await problems()).toEqual(['checkpoint-mismatch']);
  });

  it('are no problem once declared, and are told of with every verdict', async () => {
    expect(await declare()).toMatchObject([{ writer: 'test-1', kept: 3, lost: 5 }]);
    await write(4);
    const verdict = await test.verify();
    expect(verdict.problems).toEqual([]);
    expect(verdict.losses).toMatchObject([{ writer: 'test-1', kept: 3, lost: 5 }]);
  });

  it('are declared once', async () => {
    await declare();
    expect(await declare()).toEqual([]);
    await write(1);
    expect(await declare()).toEqual([]);
  });

  it('excuse nothing that is gone later', async () => {
    await declare();
    await write(4);
    await putBackTo(4);
    expect(await problems()).toEqual(['cut-off']);
    expect(await declare()).toMatchObject([{ kept: 4, lost: 7 }]);
    expect(await test.verify()).toMatchObject({ problems: [], losses: [{ kept: 3 }, { kept: 4 }] });
  });

  it('excuse no change of what was kept', async () => {
    await declare();
    await tamper(test.database, `update audit_record set body = '{}' where seq = 2`);
    expect(await problems()).toContain('changed');
  });

  it('cannot be declared without the audit key', async () => {
    const other = await loadAuditKey(join(test.checkpointsFile, '../other.key'), randomBytes);
    const [loss] = await declare();
    if (loss === undefined) throw new Error('nothing was declared');
    const lines = (await readFile(test.checkpointsFile, 'utf8')).trimEnd().split('\n');
    await writeFile(test.checkpointsFile, `${lines.slice(0, -1).join('\n')}\n`);
    await addLine(signLoss(other, loss));
    expect(await problems()).toEqual(['bad-signature', 'cut-off']);
    await addLine({ ...loss, kept: 2 });
    expect(await problems()).toEqual(['bad-signature', 'bad-signature', 'cut-off']);
  });
});
