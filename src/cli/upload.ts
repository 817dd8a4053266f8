/** A document of a folder as the body that the API takes. */
import { isUtf8 } from 'node:buffer';
import { BulkheadError } from '../errors.ts';
import { joinFields } from '../ingest/join-fields.ts';
import type { AccessFields } from '../ingest/parsers/access-fields.ts';
import type { Submission } from '../ingest/submission.ts';

export interface Upload {
  /** The path in the folder, with the row's id for a row. */
  readonly name: string;
  readonly body: Readonly<Record<string, unknown>>;
}

/**
 * @param levels names, lowest first
 * @throws BulkheadError `unknown_level`; `unparsable` when what a row says of access cannot be sent
 */
export function toUpload(submission: Submission, levels: readonly string[]): Upload {
  const { container, externalId, source, mediaType, bytes, title, date } = submission;
  const access = accessOf(submission, levels);
  return {
    name: externalId,
    body: {
      container,
      external_id: externalId,
      source,
      media_type: mediaType,
      ...contentOf(bytes),
      title,
      date: instantText(date),
      ...(access && accessBody(access)),
    },
  };
}

/** Bytes that are no text go as they are: the server says what is wrong with them. */
function contentOf(bytes: Uint8Array) {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return isUtf8(buffer) ? { text: buffer.toString('utf8') } : { content_base64: buffer.toString('base64') };
}

/** The API takes one set of fields; a row and the sidecar of its file join to the tighter, as in the pipeline. */
function accessOf({ access, sidecar }: Submission, levels: readonly string[]): AccessFields | undefined {
  if (access === undefined || sidecar === undefined) return access ?? sidecar;
  const scheme = { levels: levels.map((name, rank) => ({ name, rank, safeguards: {} })) };
  const { level, compartments, inherits, entries = [], asksToAllow } = joinFields([access, sidecar], scheme);
  // sent without an allow, the document would take those of its container
  if (asksToAllow && !entries.some(({ effect }) => effect === 'allow'))
    throw new BulkheadError('unparsable', 'The row and the sidecar of its file allow nobody in common.');
  return {
    compartments,
    entries,
    ...(level !== undefined && { level }),
    ...(inherits !== undefined && { inherits }),
  };
}

/** The same of a container. */
export function accessBody({ level, compartments, inherits, entries }: AccessFields) {
  return { level, compartments, inherits, entries: entries.map(entryBody) };
}

function entryBody({ principal, effect, validFrom, validUntil }: AccessFields['entries'][number]) {
  return { [effect]: principal, from: instantText(validFrom), until: instantText(validUntil) };
}

function instantText(instant: number | undefined): string | undefined {
  return instant === undefined ? undefined : new Date(instant).toISOString();
}
