/**
 * Folds text to the form recognizers read, so that look-alike characters cannot hide an entity: invisible
 * characters vanish, digits of any script become ASCII, compatibility forms (full-width, circled, bold) of
 * ASCII characters become ASCII, dashes and spaces become few. Every folded character knows its source.
 */
import type { Span } from './entities.ts';
import { matches } from './matches.ts';
import { lastStartingAt } from './offsets.ts';

export interface Folded {
  readonly text: string;
  /** The source stretch that a non-empty folded stretch was made of. */
  toSource(span: Span): Span;
}

/** Kept apart from the plain space: it may stand inside an e-mail address, a plain space may not. */
export const NO_BREAK_SPACE = '\u00A0';

/** Runs of what may fold to something else; all other characters are ASCII and fold to themselves, wherever they stand. */
const NOT_PLAIN = /[^\t\n\r\x20-\x7e]+/gu;
const INVISIBLE = /[\p{Default_Ignorable_Code_Point}\p{Cc}]/u;
const MARK = /\p{M}/u;
const DECIMAL_DIGIT = /\p{Nd}/u;
const SPACE = /\p{Zs}/u;
const DASH = /[\p{Pd}\u2212\u2043]/u;
const BREAK = /[\t\n\r]/;
const ASCII_DIGIT = /[0-9]/;

/** A character that does not fold to one unit from one unit: its stretch of the folded text, and of the source. */
interface Resized extends Span {
  readonly source: Span;
}

/** Folds the text; linear in its length. */
export function fold(text: string): Folded {
  const runs = matches(NOT_PLAIN, text);
  if (runs.length === 0) return { text, toSource: itself };
  const resized: Resized[] = [];
  let folded = '';
  let at = 0;
  let afterDigit = false;
  for (const { index, 0: run } of runs) {
    if (index > at) afterDigit = ASCII_DIGIT.test(text[index - 1] ?? '');
    folded += text.slice(at, index);
    at = index;
    for (const character of run) {
      const source = { start: at, end: at + character.length };
      const form = foldCharacter(character, afterDigit);
      if (form.length !== 1 || character.length !== 1)
        resized.push({ start: folded.length, end: folded.length + form.length, source });
      folded += form;
      if (form !== '') afterDigit = DECIMAL_DIGIT.test(character);
      at = source.end;
    }
  }
  folded += text.slice(at);
  return { text: folded, toSource: resized.length === 0 ? itself : (span) => toSource(span, resized) };
}

const itself = (span: Span): Span => span;

function toSource({ start, end }: Span, resized: readonly Resized[]): Span {
  return { start: sourceOf(start, resized).start, end: sourceOf(end - 1, resized).end };
}

/** The source stretch of one folded unit: between resized characters, units and their sources keep their distance. */
function sourceOf(unit: number, resized: readonly Resized[]): Span {
  const last = resized[lastStartingAt(resized, unit)];
  if (last === undefined) return { start: unit, end: unit + 1 };
  if (unit < last.end) return last.source;
  const start = last.source.end + (unit - last.end);
  return { start, end: start + 1 };
}

const cache = new Map<string, string>();

function foldCharacter(character: string, afterDigit: boolean): string {
  // Keycaps and strike-through marks are drawn over a digit; a footnote sign after one is not part of it.
  if (afterDigit && MARK.test(character)) return '';
  const known = cache.get(character);
  const form = known ?? computeForm(character);
  if (known === undefined) cache.set(character, form);
  if (afterDigit && ASCII_DIGIT.test(form) && !DECIMAL_DIGIT.test(character)) return character;
  return form;
}

function computeForm(character: string): string {
  if (character >= ' ' && character <= '~' && character.length === 1) return character;
  if (BREAK.test(character)) return character;
  if (character === '\u0085' || character === '\u2028' || character === '\u2029') return '\n';
  if (INVISIBLE.test(character)) return '';
  if (DECIMAL_DIGIT.test(character)) return String(digitValue(character));
  if (character === NO_BREAK_SPACE || character === '\u2007' || character === '\u202F') return NO_BREAK_SPACE;
  if (SPACE.test(character)) return ' ';
  if (DASH.test(character)) return '-';
  const compatible = character.normalize('NFKC');
  return /^[!-~]$/.test(compatible) ? compatible : character;
}

/** Decimal digits of a script stand in runs of ten from zero (Unicode, section 4.6). */
function digitValue(character: string): number {
  const point = character.codePointAt(0) ?? 0;
  let first = point;
  while (DECIMAL_DIGIT.test(String.fromCodePoint(first - 1))) first -= 1;
  return (point - first) % 10;
}
