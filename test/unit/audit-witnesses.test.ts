import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { appendFile, copyFile, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { loadAuditKey } from '../../src/audit/audit-key.ts';
import { verifyTenant } from '../../src/audit/verify.ts';
import { readWitnesses } from '../../src/audit/witnesses.ts';
import { openTestAudit, REFUSAL, type TestAudit } from '../helpers/audit.ts';
import { PROJECT } from '../helpers/compose.ts';

describe('Of two processes with chains of their own', () => {
  let test: TestAudit;
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'bulkhead-witnesses-'));
    test = await openTestAudit();
    for (const writer of ['honest-1', 'taken-1']) await write(writer);
  });
  afterEach(async () => {
    await test.close();
    await rm(folder, { recursive: true });
  });

  const fileOf = (writer: string, name = 'audit-checkpoints.ndjson') => join(folder, writer, name);
  async function write(writer: string): Promise<void> {
    await mkdir(join(folder, writer));
    const key = await loadAuditKey(fileOf(writer, 'key.pem'), randomBytes);
    await writeFile(
      fileOf(writer, 'audit.pub'),
      key.publicKey.export({ type: 'spki', format: 'pem' }) as string,
    );
    const log = test.open({ writer, key, checkpointsFile: fileOf(writer) });
    for (let i = 0; i < 3; i += 1) await log.appendEvent(test.tenant, 'request.refused', REFUSAL);
    await log.checkpoint();
  }
  const verdict = async () =>
    (
      await verifyTenant(test.database, test.admin.context, {
        checkpointsFile: test.checkpointsFile,
        publicKey: test.key.publicKey,
        others: await readWitnesses(folder),
      })
    ).problems;

  it('both are vouched for by what they kept', async () => {
    expect(await verdict()).toEqual([]);
  });

  const ofTaken = { writer: 'taken-1', what: 'bad-witness' };

  it.each(['/dev/zero', '/etc/passwd'])(
    'one whose checkpoints are a link to %s is without proof, and the other is verified',
    async (target) => {
      await rm(fileOf('taken-1'));
      await symlink(target, fileOf('taken-1'));
      const problems = await verdict();
      expect(problems).toContainEqual(expect.objectContaining(ofTaken));
      expect(problems.map(({ writer }) => writer)).not.toContain('honest-1');
    },
  );

  it('one whose key is a link, a pipe or no key is without proof, and the other is verified', async () => {
    const key = fileOf('taken-1', 'audit.pub');
    const replacements = [
      () => symlink(fileOf('honest-1', 'audit.pub'), key),
      () => symlink('/dev/zero', key),
      async () => void execFileSync('sh', ['-c', 'mkfifo "$1"', 'sh', key]),
      () => writeFile(key, 'no key'),
    ];
    for (const replace of replacements) {
      await rm(key);
      await replace();
      const problems = await verdict();
      expect(problems).toContainEqual(expect.objectContaining(ofTaken));
      expect(problems.map(({ writer }) => writer)).not.toContain('honest-1');
    }
  });

  it('one whose file is a single line without end, or of empty lines only, does not fill the memory', async () => {
    for (const content of ['x'.repeat(2 ** 20), '\n'.repeat(2 ** 20)]) {
      await writeFile(fileOf('taken-1'), content);
      const problems = await verdict();
      expect(problems.length).toBeLessThan(1_100);
      expect(problems.map(({ what }) => what)).toContain('bad-signature');
    }
  });
});

describe('deploy/compose/collect-witnesses.sh', () => {
  let folder: string;
  const roles = ['retrieve', 'ingest', 'admin'];
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'bulkhead-collect-'));
    // runs here what it is asked to run in a service, on a folder of the service
    const docker = `#!/bin/bash
      shift 5; service=$1; shift
      exec "\${@//\\/var\\/lib\\/bulkhead/${folder.replaceAll('/', '\\/')}\\/$service}"`;
    await writeFile(join(folder, 'docker'), docker, { mode: 0o755 });
    for (const role of [...roles, 'audit']) await mkdir(join(folder, role));
    for (const role of roles) {
      await writeFile(join(folder, role, 'audit.pub'), `key of ${role}\n`);
      await writeFile(join(folder, role, 'audit-checkpoints.ndjson'), '{"first":1}\n');
    }
  });
  afterEach(() => rm(folder, { recursive: true }));

  const collect = () => {
    try {
      const env = { ...process.env, PATH: `${folder}:${process.env.PATH}` };
      execFileSync(join(PROJECT, 'deploy/compose/collect-witnesses.sh'), {
        env,
        stdio: 'pipe',
        timeout: 30_000,
      });
      return '';
    } catch (error) {
      return String((error as { stderr?: unknown }).stderr);
    }
  };
  const of = (role: string, name: string) => join(folder, role, name);
  const copied = (name: string) => readFile(join(folder, 'audit/witnesses/ingest-1', name), 'utf8');

  it('copies what each role has, and later what was added, whole lines only', async () => {
    expect(collect()).toBe('');
    expect(await copied('audit.pub')).toBe('key of ingest\n');
    await appendFile(of('ingest', 'audit-checkpoints.ndjson'), '{"second":2}\n{"thi');
    expect(collect()).toBe('');
    expect(await copied('audit-checkpoints.ndjson')).toBe('{"first":1}\n{"second":2}\n');
  });

  it('does not follow a link of a role, and copies what the others have', async () => {
    await rm(of('retrieve', 'audit-checkpoints.ndjson'));
    await symlink('/dev/zero', of('retrieve', 'audit-checkpoints.ndjson'));
    expect(collect()).toBe(
      'retrieve: audit-checkpoints.ndjson is missing, or no plain file, and was not copied\n',
    );
    expect(await copied('audit-checkpoints.ndjson')).toBe('{"first":1}\n');
  });

  it('keeps the key that it has, and puts another one beside it', async () => {
    collect();
    await copyFile(of('admin', 'audit.pub'), of('ingest', 'audit.pub'));
    expect(collect()).toMatch(/^ingest: audit\.pub is another than the one copied before; the old one stays/);
    expect(await copied('audit.pub')).toBe('key of ingest\n');
    expect(await copied('audit.pub.refused')).toBe('key of admin\n');
  });

  it.each(['{"other":1}\n{"more":2}\n', ''])(
    'keeps the checkpoints that it has when %j comes',
    async (now) => {
      collect();
      await writeFile(of('ingest', 'audit-checkpoints.ndjson'), now);
      expect(collect()).toMatch(
        /^ingest: audit-checkpoints\.ndjson does not go on from the one copied before/,
      );
      expect(await copied('audit-checkpoints.ndjson')).toBe('{"first":1}\n');
      expect(await copied('audit-checkpoints.ndjson.refused')).toBe(now);
    },
  );
});
