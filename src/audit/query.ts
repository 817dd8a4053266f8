/** Reading and verifying the log as its auditor, which is itself recorded. */
import { BulkheadError } from '../errors.ts';
import type { LabelScheme } from '../policy/label.ts';
import { type Authority, authorize, type CallerIdentity } from '../store/authority.ts';
import type { Database, Work } from '../store/database.ts';
import { requireRootRight } from '../store/rights.ts';
import { untilSettled } from '../store/until-settled.ts';
import type { AuditLog } from './audit-log.ts';
import { type AuditVerdict, type VerifyOptions, verifyTenant } from './verify.ts';

export interface AuditParts extends VerifyOptions {
  readonly database: Database;
  readonly scheme: LabelScheme;
  readonly audit: AuditLog;
}

interface Auditor {
  readonly identity: CallerIdentity;
  readonly requestId: string;
}

interface RecordQuery {
  /** `next` of the page before. */
  readonly cursor?: string | undefined;
  /** At least 1. */
  readonly limit: number;
  readonly kind?: string | undefined;
}

export interface ListedRecord {
  readonly writer: string;
  readonly seq: number;
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly kind: string;
  readonly id: string;
  readonly body: unknown;
  /** SHA-256, hex. */
  readonly hash: string;
}

interface Row extends Omit<ListedRecord, 'body'> {
  readonly chain: number;
  readonly body: string;
}

type Tables = {
  audit_chain: { id: number; writer: string };
  audit_record: {
    chain_id: number;
    seq: number;
    at: Date;
    kind: string;
    id: string;
    body: string;
    hash: Uint8Array;
  };
};

interface RecordPage {
  readonly items: readonly ListedRecord[];
  readonly next: string | undefined;
}

/** Where a page ended. */
interface Position {
  readonly at: number;
  readonly chain: number;
  readonly seq: number;
}

/**
 * Records of the caller's tenant, newest first. Needs `audit` at the root.
 * @throws BulkheadError `right_missing`, `invalid_request` for a cursor that is none, `audit_unavailable`
 */
export async function queryAudit(
  parts: AuditParts,
  auditor: Auditor,
  query: RecordQuery,
): Promise<RecordPage> {
  const before = query.cursor === undefined ? undefined : parseCursor(query.cursor);
  return untilSettled(() => queryOnce(parts, auditor, query, before));
}

/** `undefined` when the auditor's rights or credentials moved before it was recorded what they were shown. */
async function queryOnce(
  parts: AuditParts,
  auditor: Auditor,
  { limit, kind }: RecordQuery,
  before: Position | undefined,
): Promise<RecordPage | undefined> {
  const authority = await authorizeAuditor(parts, auditor);
  const rows = await parts.database.unitOfWork('audit', authority.context, (trx) =>
    newestRecords(trx, before, kind, limit + 1),
  );
  const page = rows.slice(0, limit);
  const last = page.at(-1);
  const { tenant } = authority.subject;
  const body = { ...byWhom(authority, auditor), records: page.length };
  const guard = { ...authority.epoch, documents: [], revocable: authority.revocable };
  const { status } = await parts.audit.appendGuardedEvent(tenant, 'audit.queried', body, guard);
  if (status === 'moved') return undefined;
  return {
    items: page.map(({ chain: _, body, ...row }) => ({ ...row, body: JSON.parse(body) })),
    next: rows.length > limit && last !== undefined ? `${last.at}.${last.chain}.${last.seq}` : undefined,
  };
}

/**
 * Verifies the chains of the caller's tenant. Needs `audit` at the root.
 * @throws BulkheadError `right_missing`, `audit_unavailable`
 */
export async function verifyAudit(parts: AuditParts, auditor: Auditor): Promise<AuditVerdict> {
  const authority = await authorizeAuditor(parts, auditor);
  const verdict = await verifyTenant(parts.database, authority.context, parts);
  const { records, problems } = verdict;
  await parts.audit.appendEvent(authority.subject.tenant, 'audit.verified', {
    ...byWhom(authority, auditor),
    records,
    problems: problems.length,
  });
  return verdict;
}

async function authorizeAuditor({ database, scheme }: AuditParts, { identity }: Auditor): Promise<Authority> {
  const authority = await authorize(database, 'audit', scheme, identity);
  await requireRootRight(database, 'audit', authority, 'audit');
  return authority;
}

function byWhom({ subject }: Authority, { requestId }: Auditor) {
  return { subject: subject.user.name, actor: subject.actor?.name ?? null, request: requestId };
}

/** The newest of each chain, read backwards along its key, and of those the newest. Chains are few. */
async function newestRecords(
  trx: Work,
  before: Position | undefined,
  kind: string | undefined,
  limit: number,
): Promise<readonly Row[]> {
  const tables = trx.withTables<Tables>().withSchema('bulkhead');
  const rows: Row[] = [];
  for (const { id: chain, writer } of await tables
    .selectFrom('audit_chain')
    .select(['id', 'writer'])
    .execute()) {
    let query = tables.selectFrom('audit_record').selectAll().where('chain_id', '=', chain);
    if (kind !== undefined) query = query.where('kind', '=', kind);
    // within a chain no record is older than the one before it
    if (before?.chain === chain) query = query.where('seq', '<', before.seq);
    else if (before !== undefined)
      query = query.where('at', chain < before.chain ? '<=' : '<', new Date(before.at));
    const found = await query.orderBy('seq', 'desc').limit(limit).execute();
    for (const { seq, at, kind, id, body, hash } of found)
      rows.push({
        chain,
        writer,
        seq,
        at: at.getTime(),
        kind,
        id,
        body,
        hash: Buffer.from(hash).toString('hex'),
      });
  }
  return rows.sort((a, b) => b.at - a.at || b.chain - a.chain || b.seq - a.seq).slice(0, limit);
}

function parseCursor(text: string): Position {
  const [at, chain, seq] = (/^(\d{1,15})\.(\d{1,9})\.(\d{1,15})$/.exec(text) ?? []).slice(1).map(Number);
  if (at === undefined || chain === undefined || seq === undefined)
    throw new BulkheadError('invalid_request', 'This cursor did not come from an earlier page.');
  return { at, chain, seq };
}
