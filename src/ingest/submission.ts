/** What goes into the pipeline and what comes out of it. */
import type { AuditLog } from '../audit/audit-log.ts';
import type { Sealer } from '../crypto/sealer.ts';
import type { Embedder } from '../embed/embedder.ts';
import { BulkheadError, type ErrorCode, type FieldIssue, toBulkheadError } from '../errors.ts';
import type { RedactionPolicy } from '../guard/redaction-policy.ts';
import type { DocumentId, Instant } from '../policy/ids.ts';
import type { LabelScheme } from '../policy/label.ts';
import type { Authority } from '../store/authority.ts';
import type { Database } from '../store/database.ts';
import type { Indexer } from './indexer.ts';
import type { AccessFields } from './parsers/access-fields.ts';
import type { DocumentParser } from './parsers/parse-pool.ts';

export interface Submission {
  /** Names where the document comes from, such as `folder` or `order-sync`. */
  readonly source: string;
  /** Path of a container, such as `/hr/payroll`. */
  readonly container: string;
  /** The source's own name for the document, unique within source and container. */
  readonly externalId: string;
  /** Shown where a document has no title; the external id by default. */
  readonly name?: string | undefined;
  readonly mediaType: string;
  readonly bytes: Uint8Array;
  /** What the submitter asks for. */
  readonly access?: AccessFields | undefined;
  /** What stands beside the document, in a sidecar file. Front matter is read from the document itself. */
  readonly sidecar?: AccessFields | undefined;
  readonly title?: string | undefined;
  readonly date?: Instant | undefined;
  /** Lineage: what was submitted together. */
  readonly batch?: string | undefined;
  /** The line it stands on, in a file of many. */
  readonly line?: number | undefined;
}

/** What a source could not even read. */
export interface Unreadable {
  readonly externalId: string;
  readonly unreadable: BulkheadError;
  readonly line?: number | undefined;
}

export interface IngestResult {
  readonly externalId: string;
  /** `relabelled`: the same content, another label or other entries. */
  readonly status: 'created' | 'replaced' | 'unchanged' | 'relabelled' | 'failed';
  readonly documentId?: DocumentId | undefined;
  readonly version?: number | undefined;
  readonly chunks?: number | undefined;
  /** Stored, and not in the index yet: another process brings it there. */
  readonly isPending?: boolean | undefined;
  readonly error?:
    | { readonly code: ErrorCode; readonly detail: string; readonly issues: readonly FieldIssue[] }
    | undefined;
  readonly line?: number | undefined;
}

/** What the pipeline works with. */
export interface IngestParts {
  readonly database: Database;
  readonly scheme: LabelScheme;
  readonly redaction: Pick<RedactionPolicy, 'indexedWithout'>;
  readonly parser: DocumentParser;
  readonly embedder: Pick<Embedder, 'fingerprint' | 'maxTokens' | 'embedPassages' | 'countTokens'>;
  /** Absent: another process drains the outbox, and results say what it has not reached yet. */
  readonly indexer?: Pick<Indexer, 'drain' | 'pending'> | undefined;
  readonly audit: Pick<AuditLog, 'appendWithin'>;
  /** Of the role `ingest`; absent = no level asks for encryption. */
  readonly sealer?: Sealer | undefined;
  /** Random, version 4. */
  readonly newDocumentId: () => DocumentId;
}

/** Who submits, resolved in the role `ingest`, and in which request. */
export interface Submitter {
  readonly authority: Authority;
  /** Resolves who submits anew: a batch may take an hour, and rights end meanwhile. */
  readonly renew?: (() => Promise<Authority>) | undefined;
  readonly request?: string | undefined;
}

/** Either there is work left to do, or the result is known already. */
export type Step<T> =
  | { readonly kind: 'work'; readonly work: T }
  | { readonly kind: 'result'; readonly result: IngestResult };

export function failed(of: Pick<IngestResult, 'externalId' | 'line'>, error: unknown): IngestResult {
  const { code, detail, issues } = toBulkheadError(error);
  return { externalId: of.externalId, line: of.line, status: 'failed', error: { code, detail, issues } };
}

export function invalid(path: string, message: string): BulkheadError {
  return new BulkheadError('invalid_request', `The submission is not valid: ${path} ${message}.`, {
    issues: [{ path, message }],
  });
}
