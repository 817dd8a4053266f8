/** Reading and verifying the log as its auditor, which is itself recorded. */
import { sql } from 'kysely';
import { BulkheadError } from '../errors.ts';
import type { LabelScheme } from '../policy/label.ts';
import { type Authority, authorize, type CallerIdentity } from '../store/authority.ts';
import type { Database } from '../store/database.ts';
import { rightsOn, rootContainer } from '../store/rights.ts';
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
  { cursor, limit, kind }: RecordQuery,
): Promise<{ readonly items: readonly ListedRecord[]; readonly next: string | undefined }> {
  const before = cursor === undefined ? undefined : parseCursor(cursor);
  const authority = await authorizeAuditor(parts, auditor);
  const rows = await parts.database.unitOfWork('audit', authority.context, async (trx) => {
    const result = await sql<Row>`${recordsBefore(before, kind, limit + 1)}`.execute(trx);
    return result.rows;
  });
  const page = rows.slice(0, limit);
  const last = page.at(-1);
  await parts.audit.appendEvent(authority.subject.tenant, 'audit.queried', {
    ...byWhom(authority, auditor),
    records: page.length,
  });
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
  const authority = await authorize(database, 'admin', scheme, identity);
  const rights = await database.unitOfWork('admin', authority.context, async (trx) =>
    rightsOn(trx, await rootContainer(trx)),
  );
  if (!rights.has('audit')) throw new BulkheadError('right_missing', 'This needs the right audit on /.');
  return authority;
}

function byWhom({ subject }: Authority, { requestId }: Auditor) {
  return { subject: subject.user.name, actor: subject.actor?.name ?? null, request: requestId };
}

/** The newest of each chain, read backwards along its key, then the newest of all. */
function recordsBefore(before: Position | undefined, kind: string | undefined, limit: number) {
  const older =
    before === undefined
      ? sql`true`
      : sql`(r.at, r.chain_id, r.seq) < (to_timestamp(${before.at}::float8 / 1000), ${before.chain}, ${before.seq})`;
  const ofKind = kind === undefined ? sql`true` : sql`r.kind = ${kind}`;
  return sql`
    select r.* from bulkhead.audit_chain c cross join lateral (
      select c.writer, r.chain_id as chain, r.seq, bulkhead.ms(r.at) as at, r.kind, r.id, r.body,
        encode(r.hash, 'hex') as hash
      from bulkhead.audit_record r where r.chain_id = c.id and ${older} and ${ofKind}
      order by r.seq desc limit ${limit}) r
    order by r.at desc, r.chain desc, r.seq desc limit ${limit}`;
}

function parseCursor(text: string): Position {
  const [at, chain, seq] = (/^(\d{1,15})\.(\d{1,9})\.(\d{1,15})$/.exec(text) ?? []).slice(1).map(Number);
  if (at === undefined || chain === undefined || seq === undefined)
    throw new BulkheadError('invalid_request', 'This cursor did not come from an earlier page.');
  return { at, chain, seq };
}
