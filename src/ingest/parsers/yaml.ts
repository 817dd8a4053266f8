import { isMap, parseDocument } from 'yaml';
import { BulkheadError } from '../../errors.ts';

const LONGEST = 64 * 1024;
/** Aliases may not multiply (the "billion laughs"). */
const MOST_ALIASES = 20;

/**
 * Reads YAML 1.2 (core schema) as plain data: no tags, no merge keys, no duplicate keys, string keys only.
 * The root must be a mapping; nothing at all is an empty one.
 * @throws BulkheadError `unparsable`
 */
export function parseYamlMapping(text: string): Readonly<Record<string, unknown>> {
  if (text.length > LONGEST) throw unparsable(`it is longer than ${LONGEST} characters`);
  try {
    return readMapping(text);
  } catch (cause) {
    if (cause instanceof BulkheadError) throw cause;
    throw unparsable(cause instanceof Error ? cause.message : 'it could not be read', cause);
  }
}

function readMapping(text: string): Readonly<Record<string, unknown>> {
  const document = parseDocument(text, {
    schema: 'core',
    resolveKnownTags: false,
    stringKeys: true,
    logLevel: 'silent',
  });
  // An unknown tag is only a warning to the library.
  const problem = document.errors[0] ?? document.warnings[0];
  if (problem !== undefined) throw unparsable(problem.message.split('\n', 1)[0] ?? '', problem);
  if (document.contents === null) return {};
  if (!isMap(document.contents)) throw unparsable('its root is not a mapping');
  return document.toJS({ maxAliasCount: MOST_ALIASES }) as Readonly<Record<string, unknown>>;
}

function unparsable(reason: string, cause?: unknown): BulkheadError {
  return new BulkheadError('unparsable', `The YAML could not be read: ${reason}.`, { cause });
}
