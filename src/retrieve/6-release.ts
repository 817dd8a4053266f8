import type { AuditLog, ReleaseGuard } from '../audit/audit-log.ts';
import type { ReceiptBody } from '../audit/receipt.ts';
import type { ClassId, DocumentId } from '../policy/ids.ts';
import type { Authority } from '../store/authority.ts';

declare const RELEASED: unique symbol;

/**
 * Content that was decided, redacted and receipted. Only this file makes one, and pages, routes and commands
 * can show document content in no other type.
 */
export interface Released<T> {
  readonly [RELEASED]: true;
  readonly content: T;
  readonly receipt: { readonly id: string; readonly hash: string };
}

/** What one document of a release was when it was decided. */
export interface GuardedDocument {
  readonly document: DocumentId;
  readonly class: ClassId;
  readonly version: number;
}

/**
 * Stage 6, last step: the receipt, durable, in the transaction that compares epoch and documents with what the
 * decision saw, and looks once more whether the caller's credentials are revoked. Nothing leaves when anything moved.
 * @returns `undefined` when it did: the query starts again, and says then why it is refused
 * @throws BulkheadError `audit_unavailable`; the content is then not released
 */
export async function releaseWithReceipt<T>(
  audit: AuditLog,
  authority: Authority,
  body: ReceiptBody,
  documents: readonly GuardedDocument[],
  content: T,
): Promise<Released<T> | undefined> {
  const guard: ReleaseGuard = {
    ...authority.epoch,
    revocable: authority.revocable,
    documents: distinct(documents).map((d) => [d.document, d.class, d.version] as const),
  };
  const appended = await audit.appendReceipt(authority.subject.tenant, 'release', body, guard);
  if (appended.status === 'moved') return undefined;
  const { id, hash } = appended;
  return { content, receipt: { id, hash } } as Released<T>;
}

function distinct(documents: readonly GuardedDocument[]): readonly GuardedDocument[] {
  return [...new Map(documents.map((d) => [d.document, d])).values()];
}
