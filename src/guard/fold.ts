/**
 * Folds text to the form recognizers read, so that look-alike characters cannot hide an entity: invisible
 * characters vanish, digits of any script become ASCII, compatibility forms (full-width, circled, bold) of
 * ASCII characters become ASCII, dashes and spaces become few. Every folded character knows its source.
 */
import type { Span } from './entities.ts';

export interface Folded {
  readonly text: string;
  /** The source stretch that a non-empty folded stretch was made of. */
  toSource(span: Span): Span;
}

/** Kept apart from the plain space: it may stand inside an e-mail address, a plain space may not. */
export const NO_BREAK_SPACE = '\u00A0';

const PLAIN = /^[\t\n\r\x20-\x7e]*$/;
const INVISIBLE = /[\p{Default_Ignorable_Code_Point}\p{Cc}]/u;
const MARK = /\p{M}/u;
const DECIMAL_DIGIT = /\p{Nd}/u;
const SPACE = /\p{Zs}/u;
const DASH = /[\p{Pd}\u2212\u2043]/u;
const BREAK = /[\t\n\r]/;
const ASCII_DIGIT = /[0-9]/;

/** Folds the text; linear in its length. */
export function fold(text: string): Folded {
  if (PLAIN.test(text)) return { text, toSource: (span) => span };
  const starts: number[] = [];
  const ends: number[] = [];
  let folded = '';
  let afterDigit = false;
  for (let at = 0; at < text.length; ) {
    const character = String.fromCodePoint(text.codePointAt(at) ?? 0);
    const end = at + character.length;
    const form = foldCharacter(character, afterDigit);
    for (let unit = 0; unit < form.length; unit += 1) {
      starts.push(at);
      ends.push(end);
    }
    folded += form;
    if (form !== '') afterDigit = DECIMAL_DIGIT.test(character);
    at = end;
  }
  return {
    text: folded,
    toSource: (span) => ({
      start: starts[span.start] ?? text.length,
      end: ends[span.end - 1] ?? text.length,
    }),
  };
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
