import type { Span } from '../entities.ts';
import { matches } from '../matches.ts';

const SEPARATED =
  /(?<![0-9])([0-9]{3})(?:[ \u00A0]?[.-][ \u00A0\n]?|[ \u00A0\n])([0-9]{2})(?:[ \u00A0]?[.-][ \u00A0\n]?|[ \u00A0\n])([0-9]{4})(?![0-9])/g;
const PLAIN = /(?<![0-9])([0-9]{3})([0-9]{2})([0-9]{4})(?![0-9])/g;
const CONTEXT = /\bssn\b|social[ \u00A0\n-]security/i;
const CONTEXT_REACH = 48;

/**
 * United States social security numbers by the Social Security Administration's rules: area not 000, 666 or
 * 900–999, group not 00, serial not 0000 (POMS RM 10201.035). Nine plain digits count only near their name.
 */
export function findUsSsns(text: string): Span[] {
  const separated = matches(SEPARATED, text).filter(isIssuable);
  const plain = matches(PLAIN, text).filter((match) => isIssuable(match) && isNamed(text, match.index));
  return [...separated, ...plain].map((match) => ({
    start: match.index,
    end: match.index + match[0].length,
  }));
}

function isIssuable([, area = '', group = '', serial = '']: RegExpMatchArray): boolean {
  return area !== '000' && area !== '666' && area < '900' && group !== '00' && serial !== '0000';
}

function isNamed(text: string, start: number): boolean {
  return CONTEXT.test(text.slice(Math.max(0, start - CONTEXT_REACH), start));
}
