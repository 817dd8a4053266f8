import { getCountrySpecifications, isValidIBAN } from 'ibantools';
import type { Span } from '../entities.ts';
import { matches } from '../matches.ts';

const SPECIFICATIONS = getCountrySpecifications();
/** Country and check digits; what is glued to the left of them does not matter. */
const BEGINNING = /[A-Za-z]{2}[ \u00A0-]?[0-9][ \u00A0]?[0-9]/g;
const SEPARATORS = /[ \u00A0\t\r\n.-]/;
const ALPHANUMERIC = /[A-Za-z0-9]/;
const LONGEST_GAP = 3;

/** IBANs in any case and grouping, with valid country format and check digits (ISO 13616, ISO 7064). */
export function findIbans(text: string): Span[] {
  const found: Span[] = [];
  for (const match of matches(BEGINNING, text)) {
    const country = match[0].slice(0, 2).toUpperCase();
    const length = Object.hasOwn(SPECIFICATIONS, country) ? SPECIFICATIONS[country]?.chars : undefined;
    if (!length) continue;
    const candidate = read(text, match.index, length);
    if (candidate !== undefined && isValidIBAN(candidate.compact))
      found.push({ start: match.index, end: candidate.end });
  }
  return found;
}

/** Reads `length` letters and digits, stepping over short separators. */
function read(text: string, start: number, length: number): { compact: string; end: number } | undefined {
  let compact = '';
  let gap = 0;
  let at = start;
  for (; at < text.length && compact.length < length && gap <= LONGEST_GAP; at += 1) {
    const character = text[at] ?? '';
    if (ALPHANUMERIC.test(character)) {
      compact += character.toUpperCase();
      gap = 0;
    } else if (SEPARATORS.test(character)) gap += 1;
    else return undefined;
  }
  return compact.length === length ? { compact, end: at } : undefined;
}
