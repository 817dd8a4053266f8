/** A document as a request sends it: the body of one, and each line of a batch. */
import { z } from '@hono/zod-openapi';
import { BulkheadError, type FieldIssue } from '../errors.ts';
import type { IngestResult, Submission } from '../ingest/submission.ts';
import { instant } from '../policy/ids.ts';
import {
  compartments,
  containerPath,
  entries,
  instantText,
  issuesOf,
  isWellFormed,
  labelName,
  plainText,
  present,
} from './validation.ts';

const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/;

export const uploadBody = z
  .strictObject({
    container: containerPath,
    external_id: plainText(1_000).describe('the sender’s id; unique with source and container'),
    source: plainText(200).default('api'),
    media_type: plainText(200).describe(
      'text/markdown, text/plain, text/html, text/csv or application/jsonl',
    ),
    text: z.string().refine(isWellFormed, { message: 'must not hold a lone surrogate' }).optional(),
    content_base64: z
      .string()
      .refine((text) => text.length % 4 === 0 && BASE64.test(text), { message: 'must be base64' })
      .optional(),
    title: plainText(500).optional(),
    date: instantText.optional().describe('of the content'),
    level: labelName.optional(),
    compartments: compartments.optional(),
    inherits: z.boolean().optional().describe('false cuts the allows that come from above'),
    entries: entries.optional(),
  })
  .refine(({ text, content_base64 }) => (text === undefined) !== (content_base64 === undefined), {
    message: 'give either text or content_base64',
    path: ['text'],
  })
  .openapi('Upload', {
    example: {
      container: '/hr',
      external_id: 'holidays-2027.md',
      media_type: 'text/markdown',
      text: '# Holidays 2027\n\nThe office is closed on 24 December.',
      level: 'internal',
      entries: [{ allow: 'everyone' }],
    },
  });

export function toSubmission(body: z.output<typeof uploadBody>, line?: number): Submission {
  const { container, external_id: externalId, source, media_type: mediaType, title, date } = body;
  const { level, inherits } = body;
  const says = [level, inherits, body.compartments, body.entries].some((field) => field !== undefined);
  return present({
    container,
    externalId,
    source,
    mediaType,
    title,
    date: date === undefined ? undefined : instant(date),
    line,
    bytes: Buffer.from(body.text ?? body.content_base64 ?? '', body.text === undefined ? 'base64' : 'utf8'),
    access: says
      ? {
          ...present({ level, inherits }),
          compartments: body.compartments ?? [],
          entries: body.entries ?? [],
        }
      : undefined,
  });
}

/**
 * Reads one line of a batch.
 * @throws BulkheadError `malformed_json`, `invalid_request`
 */
export function parseSubmission(bytes: Uint8Array, line: number): Submission {
  const result = uploadBody.safeParse(parseJson(bytes));
  if (result.success) return toSubmission(result.data, line);
  const issues: readonly FieldIssue[] = issuesOf(result.error);
  throw new BulkheadError('invalid_request', `Line ${line} did not validate.`, { issues });
}

function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    // the reason would quote the line
    throw new BulkheadError('malformed_json', 'The line is not valid JSON in UTF-8.');
  }
}

/** What is known of a document after it was taken in. */
export function uploadView({ externalId, status, documentId, version, chunks, isPending }: IngestResult) {
  const pending = isPending === true ? true : undefined;
  return {
    external_id: externalId,
    status,
    ...present({ document_id: documentId, version, passages: chunks, pending }),
  };
}
