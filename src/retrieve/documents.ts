/** Reading documents by id and listing them: the same enforcers, the same judge, the same receipt as a question. */
import type { AuditLog } from '../audit/audit-log.ts';
import { BulkheadError } from '../errors.ts';
import type { RedactionPolicy } from '../guard/redaction-policy.ts';
import { type DocumentId, documentId } from '../policy/ids.ts';
import type { Label, LabelScheme } from '../policy/label.ts';
import { type Authority, authorize, type CallerIdentity } from '../store/authority.ts';
import type { Database } from '../store/database.ts';
import { type Hydration, ReadableDocuments, type StoredPassage } from '../store/passages.ts';
import { requireCredentialRight } from '../store/rights.ts';
import { untilSettled } from '../store/until-settled.ts';
import { type GuardedDocument, type Released, releaseWithReceipt } from './6-release.ts';
import { receiptHead } from './answer.ts';
import { judgePassage } from './judge.ts';
import { type PassageView, present } from './present.ts';
import { challengeFor } from './step-up.ts';
import { type UnsealParts, unseal } from './unseal.ts';

export interface DocumentParts extends UnsealParts {
  readonly database: Database;
  readonly scheme: LabelScheme;
  readonly redaction: RedactionPolicy;
  readonly audit: AuditLog;
}

export interface DocumentView extends Omit<PassageView, 'passage' | 'heading_path' | 'text' | 'redactions'> {
  readonly request_id: string;
  readonly passages: readonly Pick<PassageView, 'passage' | 'heading_path' | 'text' | 'redactions'>[];
}

export interface DocumentList {
  readonly request_id: string;
  readonly documents: readonly Omit<PassageView, 'passage' | 'heading_path' | 'text' | 'redactions'>[];
  /** Pass as `cursor` for the next page; `null` on the last. */
  readonly next_cursor: string | null;
}

interface Allowed {
  readonly passage: StoredPassage;
  readonly label: Label;
}

/**
 * One document, whole.
 * @throws BulkheadError `not_found`, alike for a hidden and a missing one; `step_up_required` where a stronger sign-in
 *   would do; `insufficient_scope`; `decryption_failed` when a part of it does not open
 */
export function readDocument(
  parts: DocumentParts,
  identity: CallerIdentity,
  request: { readonly requestId: string; readonly document: string },
): Promise<Released<DocumentView>> {
  return untilSettled(async () => {
    const authority = await authorize(parts.database, 'retrieve', parts.scheme, identity);
    requireCredentialRight(identity, 'read');
    const readable = ReadableDocuments.as(parts.database, authority.context);
    const id = parseDocumentId(request.document);
    const judged = judge(parts.scheme, authority, await readable.hydrateDocument(id));
    const allowed = await unseal(parts, authority.subject.tenant, judged);
    if (allowed.length < judged.length)
      throw new BulkheadError('decryption_failed', 'A part of the document did not open.');
    const views = allowed.map(({ passage, label }) => present(parts.scheme, parts.redaction, passage, label));
    const [first] = views;
    if (first === undefined) {
      if ((await challengeFor(parts, authority, request.requestId, id)) === undefined) return undefined;
      throw documentNotFound();
    }
    return release(parts, authority, request.requestId, 'read', allowed, views, {
      ...withoutPassage(first),
      request_id: request.requestId,
      redacted: [...new Set(views.flatMap((view) => view.redacted))].sort(),
      passages: views.map(({ passage, heading_path, text, redactions }) => ({
        passage,
        heading_path,
        text,
        redactions,
      })),
    });
  });
}

export interface ListRequest {
  readonly requestId: string;
  readonly container?: string | undefined;
  readonly cursor?: string | undefined;
  readonly limit: number;
}

/** A page of the documents the caller may read, in a stable order. A hidden and an unknown container are both empty. */
export function listDocuments(
  parts: DocumentParts,
  identity: CallerIdentity,
  request: ListRequest,
): Promise<Released<DocumentList>> {
  return untilSettled(async () => {
    const authority = await authorize(parts.database, 'retrieve', parts.scheme, identity);
    requireCredentialRight(identity, 'read');
    const readable = ReadableDocuments.as(parts.database, authority.context);
    const after = request.cursor === undefined ? undefined : parseCursor(request.cursor);
    const page = await readable.hydratePage({ containerPath: request.container }, after, request.limit);
    const judged = judge(parts.scheme, authority, page);
    const allowed = await unseal(parts, authority.subject.tenant, judged);
    const views = allowed.map(({ passage, label }) => present(parts.scheme, parts.redaction, passage, label));
    const last = page.passages.at(-1)?.document ?? null;
    return release(parts, authority, request.requestId, 'list', allowed, views, {
      request_id: request.requestId,
      documents: views.map(withoutPassage),
      next_cursor: page.passages.length < request.limit ? null : last,
    });
  });
}

/** The answer for a document that is not there, or not there for this caller. */
function documentNotFound(): BulkheadError {
  return new BulkheadError('not_found', 'There is no such document, or you may not see it.');
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** What is no id at all names no document either. */
function parseDocumentId(text: string): DocumentId {
  if (!UUID.test(text)) throw documentNotFound();
  return documentId(text);
}

function parseCursor(text: string): DocumentId {
  if (!UUID.test(text))
    throw new BulkheadError('invalid_request', 'This cursor did not come from an earlier page.');
  return documentId(text);
}

function judge(
  scheme: LabelScheme,
  authority: Authority,
  { passages, classes }: Hydration,
): readonly Allowed[] {
  return passages.flatMap((passage) => {
    const decision = judgePassage(scheme, { authority }, passage, classes);
    const { label } = decision.trace;
    return decision.kind === 'allow' && label !== undefined ? [{ passage, label }] : [];
  });
}

function withoutPassage(
  view: PassageView,
): Omit<PassageView, 'passage' | 'heading_path' | 'text' | 'redactions'> {
  const { passage: _passage, heading_path: _path, text: _text, redactions: _redactions, ...document } = view;
  return document;
}

function release<T>(
  parts: DocumentParts,
  authority: Authority,
  requestId: string,
  purpose: 'read' | 'list',
  allowed: readonly Allowed[],
  views: readonly PassageView[],
  content: T,
): Promise<Released<T> | undefined> {
  const receipt = {
    ...receiptHead(parts.scheme, authority, requestId, purpose),
    question: null,
    filters: {},
    model: null,
    passages: allowed.map(({ passage }, i) => ({
      document: passage.document,
      version: passage.version,
      chunk: passage.chunk,
      class: passage.class,
      rank: i + 1,
      decision: 'allow' as const,
      redacted: views[i]?.redacted ?? [],
    })),
  };
  const guarded: readonly GuardedDocument[] = allowed.map(({ passage }) => passage);
  return releaseWithReceipt(parts.audit, authority, receipt, guarded, content);
}
