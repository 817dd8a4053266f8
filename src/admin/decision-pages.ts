/** Where a page of a search begins: after what its token names, which the page before showed or counted. */
import { createHash } from 'node:crypto';
import { BulkheadError } from '../errors.ts';
import { type DocumentId, documentId } from '../policy/ids.ts';
import { isUuid } from './reach.ts';

export interface Page {
  readonly limit: number;
  /** From the page before. */
  readonly token?: string | undefined;
}

type After = string | number;

/** Opaque to whoever gets it, and bound to what was asked: it holds no right and nothing that they may not know. */
export function tokenFor(next: After | undefined, page: Page, asked: object): string {
  if (next === undefined) return '';
  return Buffer.from(JSON.stringify([next, digestOf(page, asked)])).toString('base64url');
}

/** @throws BulkheadError `invalid_request` */
export function afterNumber(page: Page, asked: object): number {
  const after = read(page, asked) ?? 0;
  if (typeof after !== 'number' || !Number.isSafeInteger(after) || after < 0) throw notOfThisSearch();
  return after;
}

/** @throws BulkheadError `invalid_request` */
export function afterText(page: Page, asked: object): string {
  const after = read(page, asked) ?? '';
  if (typeof after !== 'string') throw notOfThisSearch();
  return after;
}

/** @throws BulkheadError `invalid_request` */
export function afterDocument(page: Page, asked: object): DocumentId | undefined {
  const after = afterText(page, asked);
  if (after === '') return undefined;
  if (!isUuid(after)) throw notOfThisSearch();
  return documentId(after);
}

function read(page: Page, asked: object): After | undefined {
  const { token } = page;
  if (token === undefined || token === '') return undefined;
  try {
    const parsed: unknown = JSON.parse(Buffer.from(token, 'base64url').toString('utf8'));
    if (Array.isArray(parsed) && parsed[1] === digestOf(page, asked)) return parsed[0] as After;
  } catch {
    // no token of ours
  }
  throw notOfThisSearch();
}

/** A page of the same size, of the same search: else the token means nothing. */
function digestOf({ limit }: Page, asked: object): string {
  return createHash('sha256')
    .update(JSON.stringify([limit, asked]))
    .digest('base64url')
    .slice(0, 16);
}

function notOfThisSearch(): BulkheadError {
  return new BulkheadError('invalid_request', 'The token did not come from an earlier page of this search.', {
    issues: [{ path: 'page.token', message: 'is of another search, or of another page size' }],
  });
}
