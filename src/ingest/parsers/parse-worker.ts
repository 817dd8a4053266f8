/** The thread that parses: one request after another. It can be ended at any moment. */
import { parentPort } from 'node:worker_threads';
import { BulkheadError, toBulkheadError } from '../../errors.ts';
import { decode } from './decode.ts';
import type { ParsedDocument } from './document.ts';
import { readFrontMatter } from './front-matter.ts';
import { parse } from './parse.ts';
import { type ParseReply, type ParseRequest, pack } from './parse-protocol.ts';

/** Marks and indents make a text longer than its source, in honest documents never so much. */
const MOST_GROWTH = 8;
const FORGIVEN_GROWTH = 64 * 1024;

const port = parentPort;
if (port === null) throw new BulkheadError('internal', 'The parser was started outside a worker thread.');

port.on('message', (request: ParseRequest) => port.postMessage(answer(request)));
port.postMessage({ kind: 'ready' } satisfies ParseReply);

function answer({ kind, bytes, mediaType }: ParseRequest): ParseReply {
  try {
    const text = decode(bytes);
    if (kind === 'front matter') return { kind, data: readFrontMatter(text).data };
    const document = parse(text, mediaType);
    refuseGrowth(document, text.length);
    return { kind, document: pack(document) };
  } catch (error) {
    const { code, detail, issues } = toBulkheadError(error);
    return { kind: 'refused', code, detail, issues };
  }
}

/** What a small document swells to would be a load on all that follows. */
function refuseGrowth({ segments }: ParsedDocument, sourceLength: number): void {
  const length = segments.reduce((sum, { text }) => sum + text.length, 0);
  if (length > FORGIVEN_GROWTH + MOST_GROWTH * sourceLength)
    throw new BulkheadError('unparsable', `The document's text is over ${MOST_GROWTH} times its own length.`);
}
