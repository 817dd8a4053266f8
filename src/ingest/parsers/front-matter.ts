import { BulkheadError } from '../../errors.ts';
import { parseYamlMapping } from './yaml.ts';

export interface FrontMatter {
  readonly data: Readonly<Record<string, unknown>> | undefined;
  /** Where the document proper begins, in UTF-16 offsets. */
  readonly bodyStart: number;
}

const OPENING = /^---[ \t]*(?:\r?\n|$)/;
const CLOSING = /^(?:---|\.\.\.)[ \t]*\r?$/;

/**
 * Reads a block of YAML between `---` lines at the very beginning. It may carry a label, so what begins
 * like one and cannot be read is an error, never body text; a `---` followed by an empty line is a rule.
 * @throws BulkheadError `unparsable`
 */
export function readFrontMatter(text: string): FrontMatter {
  const opening = OPENING.exec(text)?.[0];
  if (opening === undefined) return { data: undefined, bodyStart: 0 };
  const block = blockFrom(text, opening.length);
  const isRule = /^[ \t]*(?:\r?\n|$)/.test(text.slice(opening.length));
  if (block === undefined) {
    if (isRule) return { data: undefined, bodyStart: 0 };
    throw new BulkheadError('unparsable', 'The front matter is not closed by a line of three dashes.');
  }
  try {
    return { data: parseYamlMapping(text.slice(opening.length, block.end)), bodyStart: block.bodyStart };
  } catch (error) {
    if (isRule) return { data: undefined, bodyStart: 0 };
    throw error;
  }
}

function blockFrom(text: string, start: number): { end: number; bodyStart: number } | undefined {
  for (let at = start; at < text.length; ) {
    const newline = text.indexOf('\n', at);
    const lineEnd = newline < 0 ? text.length : newline;
    if (CLOSING.test(text.slice(at, lineEnd)))
      return { end: at, bodyStart: Math.min(text.length, lineEnd + 1) };
    at = lineEnd + 1;
  }
  return undefined;
}
