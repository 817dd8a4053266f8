/**
 * Replaces personal data and secrets by the name of their kind. Nothing leaves Bulkhead unredacted, so any
 * failure here fails the whole answer.
 */
import { BulkheadError } from '../errors.ts';
import { ENTITY_KINDS, type EntityKind, type Finding, type Span } from './entities.ts';
import { findEntities } from './find-entities.ts';
import { lastStartingAt } from './offsets.ts';

export interface Redaction {
  readonly text: string;
  /** The kinds that were found, sorted, each once. */
  readonly kinds: readonly EntityKind[];
  /** Where the replacements stand, in UTF-16 offsets into the redacted text, ascending. */
  readonly spans: readonly Finding[];
  /** Where a source offset went; one inside an entity goes to the beginning of its replacement. */
  toRedacted(sourceOffset: number): number;
}

/** Covering one entity can bring another to light at its edge; more rounds than this are made on purpose. */
const MOST_ROUNDS = 12;

/**
 * Replaces every entity of the kinds by `[kind]`. Overlapping entities become one replacement that covers
 * all of them and carries the kind of the longest. Redacting the result again changes nothing. A text made
 * to need round after round is covered whole: it hides itself, and fails no answer that it is part of.
 * @throws BulkheadError `redaction_failed`, whatever went wrong
 */
export function redact(text: string, kinds: ReadonlySet<EntityKind>): Redaction {
  try {
    return redactToFixedPoint(text, kinds);
  } catch (cause) {
    throw new BulkheadError('redaction_failed', 'The text could not be redacted and is withheld.', { cause });
  }
}

function redactToFixedPoint(text: string, kinds: ReadonlySet<EntityKind>): Redaction {
  if (typeof text !== 'string') throw new Error('not a text');
  assertKnown(kinds);
  let edits: Finding[] = [];
  let spans: Finding[] = [];
  let redacted = text;
  for (let round = 0; ; round += 1) {
    const found = findEntities(redacted, kinds);
    const [first] = found;
    if (first === undefined) return redaction(redacted, edits, spans);
    if (round > MOST_ROUNDS) throw new Error('a replacement was taken for an entity');
    edits =
      round === MOST_ROUNDS
        ? [{ kind: first.kind, start: 0, end: text.length }]
        : merge([...edits, ...found.map((finding) => toSource(finding, edits, spans))]);
    spans = spansOf(edits);
    redacted = replaceAll(text, edits);
  }
}

function redaction(text: string, edits: readonly Finding[], spans: readonly Finding[]): Redaction {
  return {
    text,
    kinds: [...new Set(edits.map((edit) => edit.kind))].sort(),
    spans,
    toRedacted(offset) {
      return Math.min(text.length, shift(offset, edits, spans));
    },
  };
}

const KNOWN: ReadonlySet<string> = new Set(ENTITY_KINDS);

function assertKnown(kinds: ReadonlySet<EntityKind>): void {
  for (const kind of kinds) if (!KNOWN.has(kind)) throw new Error('unknown entity kind');
}

const replacement = (kind: EntityKind): string => `[${kind}]`;

/** Joins overlapping findings; the longest gives the kind, the earliest where two are as long. */
function merge(findings: readonly Finding[]): Finding[] {
  const ordered = [...findings].sort((a, b) => a.start - b.start || b.end - a.end);
  const merged: Finding[] = [];
  let widest = 0;
  for (const finding of ordered) {
    const last = merged.at(-1);
    const width = finding.end - finding.start;
    if (last === undefined || finding.start >= last.end) {
      merged.push(finding);
      widest = width;
      continue;
    }
    const kind = width > widest ? finding.kind : last.kind;
    widest = Math.max(widest, width);
    merged[merged.length - 1] = { kind, start: last.start, end: Math.max(last.end, finding.end) };
  }
  return merged;
}

function spansOf(edits: readonly Finding[]): Finding[] {
  let moved = 0;
  return edits.map(({ kind, start, end }) => {
    const from = start + moved;
    const to = from + replacement(kind).length;
    moved = to - end;
    return { kind, start: from, end: to };
  });
}

function replaceAll(text: string, edits: readonly Finding[]): string {
  const parts: string[] = [];
  let at = 0;
  for (const { kind, start, end } of edits) {
    parts.push(text.slice(at, start), replacement(kind));
    at = end;
  }
  return parts.join('') + text.slice(at);
}

/** A finding in redacted text, in source offsets; a replacement that it touches is covered whole. */
function toSource(finding: Finding, edits: readonly Finding[], spans: readonly Finding[]): Finding {
  const last = finding.end - 1;
  const before = lastStartingAt(spans, last);
  const span = spans[before];
  const edit = edits[before];
  const isInside = span !== undefined && last < span.end;
  const end = isInside && edit ? edit.end : shift(last, spans, edits) + 1;
  return { kind: finding.kind, start: shift(finding.start, spans, edits), end };
}

/** Carries an offset from one side to the other; inside a span it goes to the start of its counterpart. */
function shift(offset: number, from: readonly Span[], to: readonly Span[]): number {
  const index = lastStartingAt(from, offset);
  const [here, there] = [from[index], to[index]];
  if (here === undefined || there === undefined) return Math.max(0, offset);
  return offset < here.end ? there.start : offset - here.end + there.end;
}
