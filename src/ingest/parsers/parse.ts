import { BulkheadError, isBulkheadError } from '../../errors.ts';
import type { ParsedDocument } from './document.ts';
import { parseHtml } from './html.ts';
import { parseMarkdown } from './markdown.ts';
import { essence } from './media-type.ts';
import { parsePlainText } from './plain-text.ts';

const PARSERS: Readonly<Record<string, (text: string) => ParsedDocument>> = {
  'text/markdown': parseMarkdown,
  'text/plain': parsePlainText,
  'text/html': parseHtml,
};

/**
 * Parses one decoded document by its media type. Files of many documents are read by `parseRows`.
 * @throws BulkheadError `unsupported_media_type`, `unparsable` or, when no text is left, `empty_document`
 */
export function parse(text: string, mediaType: string): ParsedDocument {
  const type = essence(mediaType);
  const parser = Object.hasOwn(PARSERS, type) ? PARSERS[type] : undefined;
  if (parser === undefined)
    throw new BulkheadError(
      'unsupported_media_type',
      `Documents are accepted as ${Object.keys(PARSERS).join(', ')}.`,
    );
  const document = run(parser, text);
  if (document.segments.length === 0)
    throw new BulkheadError('empty_document', 'The document holds no text.');
  return document;
}

/** A library that gives up, on nesting that exhausts the stack for one, must not look like our own failure. */
function run(parser: (text: string) => ParsedDocument, text: string): ParsedDocument {
  try {
    return parser(text);
  } catch (cause) {
    if (isBulkheadError(cause)) throw cause;
    throw new BulkheadError('unparsable', 'The document could not be read.', { cause });
  }
}
