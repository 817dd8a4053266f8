import type { Span } from '../entities.ts';
import { matches } from '../matches.ts';

const SHORTEST = 13;
const LONGEST = 19;

/** Issuer ranges (ISO/IEC 7812): first and last prefix, shortest and longest number. */
const ISSUERS: readonly (readonly [first: string, last: string, shortest: number, longest: number])[] = [
  ['4', '4', 13, 19], // Visa
  ['51', '55', 16, 16], // Mastercard
  ['2221', '2720', 16, 16],
  ['34', '34', 15, 15], // American Express
  ['37', '37', 15, 15],
  ['300', '305', 14, 19], // Diners Club
  ['3095', '3095', 14, 19],
  ['36', '36', 14, 19],
  ['38', '39', 14, 19],
  ['3528', '3589', 16, 19], // JCB
  ['50', '50', 13, 19], // Maestro, Verve, RuPay
  ['56', '58', 13, 19],
  ['60', '69', 13, 19], // Maestro, Discover, UnionPay, RuPay
  ['81', '82', 16, 19], // UnionPay, RuPay
  ['2200', '2205', 16, 19], // Mir
  ['9792', '9792', 16, 16], // Troy
];

const DIGITS = /[0-9]+/g;
const LOOSE_SEPARATOR = /^[ \u00A0\t-]{1,3}$/;
const LINE_BREAK = /^[ \u00A0\t-]?\r?\n[ \u00A0\t]{0,2}$/;
const STRICT_SEPARATOR = /^ ?[.·_/*] ?$/;
/** The groupings printed on cards; dots and slashes occur in too many other numbers to allow more. */
const PRINTED_GROUPS = /^4,4,4,4(,[1-4])?$|^4,6,[45]$/;

type Link = 'none' | 'loose' | 'line' | 'strict';

interface Group extends Span {
  readonly digits: string;
  /** How the group hangs on the one before it. */
  readonly link: Link;
}

/**
 * Payment card numbers: 13 to 19 digits, alone or in groups, of a known issuer range, with a valid check
 * digit (ISO/IEC 7812-1, annex B). Several windows over one row of groups may be reported.
 */
export function findCards(text: string): Span[] {
  const groups = digitGroups(text);
  const found: Span[] = [];
  for (const [first, group] of groups.entries()) {
    if (group.digits.length > LONGEST || isFractionOfOne(text, group.start)) continue;
    for (const last of windowEnds(groups, first)) {
      const window = groups.slice(first, last + 1);
      if (
        isPlausibleGrouping(window, groups[first - 1], groups[last + 1]) &&
        isCardNumber(window.map((g) => g.digits).join(''))
      )
        found.push({ start: group.start, end: window.at(-1)?.end ?? group.end });
    }
  }
  return found;
}

function digitGroups(text: string): Group[] {
  const groups: Group[] = [];
  let previousEnd = -1;
  for (const match of matches(DIGITS, text)) {
    const link = previousEnd < 0 ? 'none' : linkOf(text, previousEnd, match.index);
    previousEnd = match.index + match[0].length;
    groups.push({ start: match.index, end: previousEnd, digits: match[0], link });
  }
  return groups;
}

function linkOf(text: string, from: number, to: number): Link {
  if (to - from > 5) return 'none';
  const separator = text.slice(from, to);
  if (LOOSE_SEPARATOR.test(separator)) return 'loose';
  if (LINE_BREAK.test(separator)) return 'line';
  return STRICT_SEPARATOR.test(separator) ? 'strict' : 'none';
}

/** Indices of the last groups of all windows that start at `first` and hold 13 to 19 digits: at most seven. */
function* windowEnds(groups: readonly Group[], first: number): Iterable<number> {
  let length = 0;
  let lines = 0;
  for (let last = first; last < groups.length; last += 1) {
    const group = groups[last];
    if (group === undefined || (last > first && group.link === 'none')) return;
    // A card may wrap onto a second line; more line breaks make a column of numbers.
    if (last > first && group.link === 'line') lines += 1;
    length += group.digits.length;
    if (length > LONGEST || lines > 1) return;
    if (length >= SHORTEST) yield last;
  }
}

/**
 * A whole row of groups may be cut in any way. A part of a longer row must look like a card's groups, or
 * any row of small numbers would hold a card by chance.
 */
function isPlausibleGrouping(
  window: readonly Group[],
  before: Group | undefined,
  after: Group | undefined,
): boolean {
  const sizes = window.map((group) => group.digits.length);
  if (window.slice(1).some((group) => group.link === 'strict')) return PRINTED_GROUPS.test(sizes.join(','));
  const startsRow = window[0]?.link === 'none';
  const endsRow = after === undefined || after.link === 'none';
  if (startsRow && endsRow) return true;
  if (sizes.slice(1, -1).every((size) => size >= 3)) return true;
  // Equal groups, as many as there are: digits spaced one by one, before or after other numbers.
  const size = sizes[0];
  const startsEven = startsRow || before?.digits.length !== size;
  const endsEven = endsRow || after.digits.length !== size;
  return startsEven && endsEven && sizes.every((other) => other === size);
}

/** True for digits after `0.`: a measured value, not a number of a thing. */
function isFractionOfOne(text: string, start: number): boolean {
  return text[start - 1] === '.' && text[start - 2] === '0' && !/[0-9]/.test(text[start - 3] ?? '');
}

function isCardNumber(digits: string): boolean {
  return hasKnownIssuer(digits) && passesLuhn(digits);
}

function hasKnownIssuer(digits: string): boolean {
  return ISSUERS.some(([first, last, shortest, longest]) => {
    const prefix = digits.slice(0, first.length);
    return prefix >= first && prefix <= last && digits.length >= shortest && digits.length <= longest;
  });
}

function passesLuhn(digits: string): boolean {
  let sum = 0;
  for (let i = 0; i < digits.length; i += 1) {
    const digit = Number(digits[digits.length - 1 - i]);
    const doubled = i % 2 === 0 ? digit : digit * 2;
    sum += doubled > 9 ? doubled - 9 : doubled;
  }
  return sum % 10 === 0;
}
