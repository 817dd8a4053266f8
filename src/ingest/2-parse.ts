import { type Instant, instant } from '../policy/ids.ts';
import type { Received } from './1-receive.ts';
import { type AccessFields, readAccessFields } from './parsers/access-fields.ts';
import type { ParsedDocument } from './parsers/document.ts';
import { essence } from './parsers/media-type.ts';
import type { DocumentParser } from './parsers/parse-pool.ts';

/** A submission with its text in blocks. */
export interface Parsed extends Received {
  readonly title: string;
  readonly date: Instant | undefined;
  /** Without the parameters. */
  readonly mediaType: string;
  readonly parser: string;
  readonly segments: ParsedDocument['segments'];
  /** What request, sidecar and front matter each say, for stage 4 to join. */
  readonly access: readonly AccessFields[];
}

/** Raised when a parser reads the same bytes differently; kept as lineage. */
const PARSER_VERSION = 1;
const LONGEST_TITLE = 500;

/** @throws BulkheadError of the parser or the access fields */
export async function parseSubmission(received: Received, parser: DocumentParser): Promise<Parsed> {
  const { submission } = received;
  const document = await parser.parse(submission.bytes, submission.mediaType);
  const mediaType = essence(submission.mediaType);
  const title = submission.title ?? document.title ?? submission.name ?? submission.externalId;
  return {
    ...received,
    title: plain(title) || plain(submission.externalId),
    date: submission.date ?? dateOf(document.frontMatter),
    mediaType,
    parser: `${mediaType.split('/').at(-1)}@${PARSER_VERSION}`,
    segments: document.segments,
    access: accessOf(received, document.frontMatter),
  };
}

/**
 * What is said about access, the document itself not parsed: enough to tell whether a submission of the same bytes
 * changes anything. Front matter alone can be made to take seconds, so that the parser reads it, too.
 * @throws BulkheadError of the parser or the access fields
 */
export async function readAccess(
  received: Received,
  parser: DocumentParser,
): Promise<readonly AccessFields[]> {
  const { bytes, mediaType } = received.submission;
  const hasFrontMatter = essence(mediaType) === 'text/markdown' && bytes[0] !== 0;
  return accessOf(received, hasFrontMatter ? await parser.readFrontMatter(bytes) : undefined);
}

function accessOf({ submission }: Received, frontMatter: unknown): readonly AccessFields[] {
  const own = frontMatter === undefined ? undefined : readAccessFields(frontMatter);
  return [submission.access, submission.sidecar, own].filter((fields) => fields !== undefined);
}

const ISO_DATE = /^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:\d{2}))?$/;

/** A date of its own in ISO 8601, a plain day meaning its first moment in UTC; anything else is none. */
function dateOf(frontMatter: unknown): Instant | undefined {
  return readDate((frontMatter as { date?: unknown } | undefined)?.date);
}

export function readDate(value: unknown): Instant | undefined {
  if (typeof value !== 'string' || !ISO_DATE.test(value.trim())) return undefined;
  const ms = Date.parse(value.trim());
  return Number.isNaN(ms) ? undefined : instant(ms);
}

/** One line, without control characters, that a text column and a list of results can take. */
function plain(title: string): string {
  return title
    .replace(/[\p{Cc}\p{Zl}\p{Zp}]+/gu, ' ')
    .trim()
    .slice(0, LONGEST_TITLE);
}
