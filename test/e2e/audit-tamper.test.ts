import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PGlite } from '@electric-sql/pglite';
import { vector } from '@electric-sql/pglite-pgvector';
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest';
import { verifyTenant } from '../../src/audit/verify.ts';
import { instant } from '../../src/policy/ids.ts';
import { openEmbedded } from '../../src/store/open-embedded.ts';
import { guardOf, openTestAudit, REFUSAL, receiptBody, type TestAudit, tamper } from '../helpers/audit.ts';

let test: TestAudit;

beforeEach(async () => {
  test = await openTestAudit();
  await note(4);
  await test.log.checkpoint();
  await note(2);
  await test.log.close();
});
afterEach(() => test.close());

async function note(times: number): Promise<void> {
  for (let i = 0; i < times; i += 1) await test.log.appendEvent(test.tenant, 'request.refused', REFUSAL);
}

async function problems(): Promise<readonly string[]> {
  return (await test.verify()).problems.map(({ writer, seq, what }) => `${writer} ${what} ${seq}`);
}

/** What `append_audit` would have written, for a superuser who forges whole chains. */
const RESEAL = `
do $$ declare r record; h bytea := decode(repeat('00', 32), 'hex'); begin
  for r in select * from audit_record order by seq loop
    update audit_record set prev_hash = h, hash = audit_hash(h, seq, at, kind, id, body) where seq = r.seq;
    select hash into h from audit_record where seq = r.seq;
  end loop;
  update audit_chain set last_seq = (select max(seq) from audit_record), last_hash = h;
end $$;`;

describe('a superuser who gets past the triggers is found out', () => {
  it('not when nothing was touched', async () => {
    expect(await test.verify()).toEqual({ chains: 1, records: 6, problems: [], losses: [] });
  });

  it.each([
    ['changes the body of a record', `update audit_record set body = '{}' where seq = 3`, ['changed 3']],
    ['antedates a record', `update audit_record set at = at - interval '1 day' where seq = 3`, ['changed 3']],
    ['deletes a record', 'delete from audit_record where seq = 3', ['missing 3']],
    [
      'swaps two records',
      'update audit_record set seq = 100 where seq = 2; update audit_record set seq = 2 where seq = 5; update audit_record set seq = 5 where seq = 100',
      ['reordered 2', 'reordered 5'],
    ],
    [
      'cuts off the end and sets the head back',
      'delete from audit_checkpoint where seq = 6; delete from audit_record where seq > 4; update audit_chain c set last_seq = 4, last_hash = r.hash from audit_record r where r.seq = 4',
      ['cut-off 5'],
    ],
    ['cuts off the end and forgets the head', 'delete from audit_record where seq > 4', ['cut-off 5']],
    [
      'changes a record and forges every hash after it',
      `update audit_record set body = '{}' where seq = 3; ${RESEAL}`,
      ['checkpoint-mismatch 4', 'checkpoint-mismatch 6'],
    ],
    ['deletes the chain', 'truncate audit_checkpoint, audit_record; delete from audit_chain', ['cut-off 1']],
    [
      'gives the chain to another writer',
      `update audit_chain set writer = 'other'`,
      ['bad-signature 4', 'bad-signature 6', 'cut-off 1'],
    ],
    [
      'forges a checkpoint in the database',
      `update audit_checkpoint set signature = decode(repeat('00', 64), 'hex') where seq = 4`,
      ['bad-signature 4'],
    ],
  ])('who %s', async (_, statements, expected) => {
    await tamper(test.database, statements);
    expect((await problems()).map((problem) => problem.replace(/^\S+ /, ''))).toEqual(expected);
  });
});

describe('the checkpoint file tells when it was', () => {
  const lines = async () => (await readFile(test.checkpointsFile, 'utf8')).trimEnd().split('\n');
  const rewrite = (kept: readonly string[]) =>
    writeFile(test.checkpointsFile, kept.map((line) => `${line}\n`).join(''));

  it('cut short', async () => {
    await rewrite((await lines()).slice(0, 1));
    expect(await problems()).toEqual(['test-1 checkpoints-missing 6']);
  });

  it('deleted', async () => {
    await rm(test.checkpointsFile);
    expect(await problems()).toEqual(['test-1 checkpoints-missing 6']);
  });

  it('deleted together with the database’s own checkpoints, once the first is overdue', async () => {
    await rm(test.checkpointsFile);
    await tamper(test.database, 'delete from audit_checkpoint');
    expect(await problems()).toEqual([]);
    const later = { ...test.admin.context, now: instant(Date.now() + 6 * 60_000) };
    const options = { checkpointsFile: test.checkpointsFile, publicKey: test.key.publicKey };
    const { problems: found } = await verifyTenant(test.database, later, options);
    expect(found.map(({ what }) => what)).toEqual(['checkpoints-missing']);
  });

  it('altered', async () => {
    await rewrite((await lines()).map((line) => line.replace('"seq":6', '"seq":5')));
    expect(await problems()).toEqual(['test-1 bad-signature 5', 'test-1 checkpoints-missing 6']);
  });

  it('filled with something else', async () => {
    await rewrite([...(await lines()), 'not a checkpoint']);
    expect(await problems()).toEqual([' bad-signature 0']);
  });
});

it('a log on disk, tampered with while the service was stopped, is found out when it starts again', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'bulkhead-tamper-'));
  const template = new Blob([new Uint8Array(await readFile(inject('databaseTemplate')))]);
  const disk = await openTestAudit(await openEmbedded({ folder: join(folder, 'pg'), template }));
  const append = () =>
    disk.log.appendReceipt(disk.tenant, 'release', receiptBody(disk.admin), guardOf(disk.admin));
  await Promise.all([append(), append(), append()]);
  await disk.log.close();
  expect((await disk.verify()).problems).toEqual([]);
  await disk.database.close();

  const raw = await PGlite.create({ dataDir: join(folder, 'pg'), extensions: { vector } });
  await raw.exec(`alter table bulkhead.audit_record disable trigger all;
    update bulkhead.audit_record set body = replace(body, 'user:workforce|root', 'user:workforce|anna') where seq = 2;
    alter table bulkhead.audit_record enable trigger all`);
  await raw.close();

  const database = await openEmbedded({ folder: join(folder, 'pg') });
  const options = { checkpointsFile: disk.checkpointsFile, publicKey: disk.key.publicKey };
  const verdict = await verifyTenant(database, disk.admin.context, options);
  expect(verdict.problems).toMatchObject([{ writer: 'test-1', seq: 2, what: 'changed' }]);
  await database.close();
  await rm(folder, { recursive: true, force: true });
});
