import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { EventBodies } from '../../src/audit/audit-event.ts';
import { type AuditKey, loadAuditKey } from '../../src/audit/audit-key.ts';
import { type AuditLog, type AuditLogOptions, createAuditLog } from '../../src/audit/audit-log.ts';
import type { ReceiptBody, ReleaseGuard } from '../../src/audit/receipt.ts';
import { type AuditVerdict, verifyTenant } from '../../src/audit/verify.ts';
import type { AuditRecord } from '../../src/audit/verify-chain.ts';
import { chunkId, classId, documentId, instant, type TenantId } from '../../src/policy/ids.ts';
import type { Authority } from '../../src/store/authority.ts';
import type { Database } from '../../src/store/database.ts';
import { asSuperuser } from './policy-tables.ts';
import { openTestTenant, type TestTenant } from './tenant.ts';

export interface TestAudit extends TestTenant {
  readonly tenant: TenantId;
  readonly log: AuditLog;
  readonly key: AuditKey;
  readonly checkpointsFile: string;
  readonly open: (changes?: Partial<AuditLogOptions>) => AuditLog;
  readonly verify: () => Promise<AuditVerdict>;
  readonly close: () => Promise<void>;
}

/** A tenant, a log whose checkpoints are made only when asked for, and a folder that goes away with them. */
export async function openTestAudit(database?: Database): Promise<TestAudit> {
  const folder = await mkdtemp(join(tmpdir(), 'bulkhead-audit-'));
  const test = await openTestTenant(database);
  const key = await loadAuditKey(join(folder, 'audit-key.pem'), randomBytes);
  const checkpointsFile = join(folder, 'audit-checkpoints.ndjson');
  const open = (changes: Partial<AuditLogOptions> = {}) =>
    createAuditLog({
      database: test.database,
      role: 'retrieve',
      writer: 'test-1',
      key,
      checkpointsFile,
      now: () => instant(Date.now()),
      random: randomBytes,
      onCheckpointFailure: () => {},
      schedule: () => () => {},
      ...changes,
    });
  return {
    ...test,
    tenant: test.admin.subject.tenant,
    log: open(),
    key,
    checkpointsFile,
    open,
    verify: () =>
      verifyTenant(test.database, test.admin.context, { checkpointsFile, publicKey: key.publicKey }),
    close: async () => {
      await test.database.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

export const REFUSAL: EventBodies['request.refused'] = {
  subject: 'user:workforce|anna',
  actor: null,
  request: 'req-1',
  count: 1,
  code: 'right_missing',
  status: 403,
  route: '/v1/documents/:id',
};

export function receiptBody(authority: Authority, changes: Partial<ReceiptBody> = {}): ReceiptBody {
  return {
    v: 1,
    request: 'req-1',
    subject: authority.subject.user.name,
    actor: null,
    purpose: 'retrieve',
    question: 'ab'.repeat(32),
    filters: {},
    ceiling: { level: 'restricted', actor: null },
    policy: authority.epoch,
    model: 'test',
    now: authority.now,
    passages: [
      {
        document: documentId('00000000-0000-4000-8000-000000000001'),
        version: 1,
        chunk: chunkId(1),
        class: classId(64),
        rank: 1,
        decision: 'allow',
        redacted: ['email'],
      },
    ],
    ...changes,
  };
}

export function guardOf(authority: Authority, documents: ReleaseGuard['documents'] = []): ReleaseGuard {
  return { ...authority.epoch, revocable: authority.revocable, documents };
}

/** A live document in the tenant's root; returns its line of a guard. */
export async function addDocument(
  database: Database,
  tenant: TenantId,
): Promise<ReleaseGuard['documents'][number]> {
  const id = randomUUID();
  const rows = await asSuperuser<{ class_id: number }>(
    database,
    `insert into document (id, tenant_id, container_id, class_id, source, external_id, version, title, media_type, content_hash)
     select '${id}', tenant_id, id, id, 's', '${id}', 1, 't', 'text/plain', '\\x00' from access_class
     where tenant_id = ${tenant} and path = '/' returning class_id`,
  );
  return [id, rows[0]?.class_id ?? -1, 1];
}

/** What a superuser can do once the triggers are out of the way. */
export async function tamper(database: Database, statements: string): Promise<void> {
  await asSuperuser(database, `set local session_replication_role = replica; ${statements}`);
}

/** A sound chain, made without the code under test: the hashes are computed here. */
export function soundChain(length: number): AuditRecord[] {
  const records: AuditRecord[] = [];
  let prevHash = '0'.repeat(64);
  for (let seq = 1; seq <= length; seq += 1) {
    const record = resealed({
      seq,
      at: 1000 + seq,
      kind: 'release',
      id: `id-${seq}`,
      body: `{"n":${seq}}`,
      prevHash,
      hash: '',
    });
    records.push(record);
    prevHash = record.hash;
  }
  return records;
}

/** The record with the hash that belongs to its content. */
export function resealed(record: AuditRecord): AuditRecord {
  const { seq, at, kind, id, body } = record;
  const payload = Buffer.concat([
    Buffer.from(record.prevHash, 'hex'),
    Buffer.from([seq, at, kind, id, body].join('\n'), 'utf8'),
  ]);
  return { ...record, hash: createHash('sha256').update(payload).digest('hex') };
}
