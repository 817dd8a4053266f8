import { type CountryCode, parsePhoneNumberFromString } from 'libphonenumber-js';
import type { Span } from '../entities.ts';
import { matches } from '../matches.ts';

/** Plus, or 00 as dialled from most of the world; a 00 after other digits is a group of a longer number. */
const INTERNATIONAL = /(?<![0-9])\+|(?<![0-9][ \u00A0.-]?)00(?=[1-9 (\u00A0])/g;
/** North American form, 3-3-4 with area and exchange codes that exist in the plan. */
const NORTH_AMERICAN =
  /(?<![\w.-])(?:1[ .\u00A0-])?(?:\([2-9][0-9]{2}\)[ \u00A0-]?|[2-9][0-9]{2}[.-])[2-9][0-9]{2}[ .\u00A0-][0-9]{4}(?![0-9]|[.-][0-9])/g;
/** Trunk zero with the area code set off by brackets or a slash, as in (040) 66969 100 or 040/66969-100. */
const AREA_SET_OFF =
  /(?<![\w./-])(?:\(0[1-9][0-9]{1,4}\)[ \u00A0]?|0[1-9][0-9]{1,4}[ \u00A0]?\/[ \u00A0]?)[1-9](?=[0-9])/g;
/**
 * The beginning of a number that a word announces; it needs no other mark. Read from the digit or bracket back to the
 * word: digits are rarer than letters, and no two of these words can share one.
 */
const ANNOUNCED =
  /[(0-9](?<=(?:(?<!\p{L})(?:tel|telefon|telephone|téléphone|phone|fon|mobile?|mobil|handy|cell|fax|durchwahl|hotline|ring|dial|call)\b[.:]{0,2}[ \u00A0]{0,2}|[☎✆📞][ \u00A0]?)[(0-9])/giu;

const SEPARATOR = /[ \u00A0()./-]/;
const LONGEST_GAP = 3;
const FEWEST_DIGITS = 7;
/** E.164 allows 15; two more for the trunk zero in brackets and the 00. */
const MOST_DIGITS = 18;
/** Countries whose national form begins with a trunk zero, for the offices' and their neighbours' numbers. */
const TRUNK_ZERO: readonly CountryCode[] = ['DE', 'GB', 'FR'];

/**
 * Telephone numbers: international form, or national form where the writing leaves no doubt. Where it ends
 * is decided by the numbering plan: the longest run of digit groups that it admits.
 */
export function findPhones(text: string): Span[] {
  return [
    ...longestFrom(text, INTERNATIONAL, isInternational),
    ...longestFrom(text, AREA_SET_OFF, isNational),
    ...longestFrom(text, ANNOUNCED, isNational),
    ...matches(NORTH_AMERICAN, text).map((m) => ({ start: m.index, end: m.index + m[0].length })),
  ];
}

function longestFrom(text: string, beginning: RegExp, admits: (digits: string) => boolean): Span[] {
  return matches(beginning, text).flatMap((match) => longest(text, match.index, admits));
}

function longest(text: string, start: number, admits: (digits: string) => boolean): Span[] {
  const end = groupEnds(text, start).findLast((candidate) => admits(text.slice(start, candidate)));
  return end === undefined ? [] : [{ start, end }];
}

/** Where the number may end: after each group of digits, once there are enough of them. */
function groupEnds(text: string, start: number): number[] {
  const ends: number[] = [];
  let digits = 0;
  let gap = 0;
  for (let at = text[start] === '+' ? start + 1 : start; at < text.length; at += 1) {
    const character = text[at] ?? '';
    const isDigit = character >= '0' && character <= '9';
    if (!isDigit && !SEPARATOR.test(character)) break;
    gap = isDigit ? 0 : gap + 1;
    digits += isDigit ? 1 : 0;
    if (gap > LONGEST_GAP || digits > MOST_DIGITS) break;
    const endsGroup = isDigit && !/[0-9]/.test(text[at + 1] ?? '');
    if (endsGroup && digits >= FEWEST_DIGITS) ends.push(at + 1);
  }
  return ends;
}

function isInternational(written: string): boolean {
  const number = parsePhoneNumberFromString(written.replace(/^00/, '+').replace('(0)', ''));
  if (number === undefined) return false;
  // Reserved and fictitious numbers are not valid but are numbers; a round sum of money is neither.
  return number.isValid() || (number.isPossible() && !number.number.endsWith('000000'));
}

function isNational(written: string): boolean {
  const countries: readonly CountryCode[] = /^\(?0/.test(written) ? TRUNK_ZERO : ['US'];
  return countries.some((country) => parsePhoneNumberFromString(written, country)?.isValid() ?? false);
}
