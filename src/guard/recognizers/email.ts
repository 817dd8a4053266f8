import type { Span } from '../entities.ts';
import { NO_BREAK_SPACE } from '../fold.ts';
import { matches } from '../matches.ts';

/** The at sign as text, in a URL and in HTML. */
const AT_SIGN = /@|%40|&(?:#64|#x40|commat);/gi;
/** RFC 5322 `atext` and the dot, with letters of any script (RFC 6531). */
const LOCAL = /[\p{L}\p{N}\p{M}\p{Cs}!#$%&'*+/=?^_`{|}~.-]/u;
const DOMAIN = /[\p{L}\p{N}\p{M}\p{Cs}._-]/u;
const TOP_LEVEL = /^(?:xn--|\p{L}[\p{L}\p{M}])/u;
/** Punctuation that begins an address more often in prose than in addresses. */
const LEADING = /^['`*{|.]+(?=.)/su;
const LONGEST_LOCAL = 128;
const LONGEST_DOMAIN = 255;

/**
 * E-mail addresses, in any script, quoted local parts included. A single no-break space is read through,
 * because it is invisible in an address; where it was a real space one word too many is covered.
 */
export function findEmails(text: string): Span[] {
  const found: Span[] = [];
  for (const match of matches(AT_SIGN, text)) {
    const start = startOfLocal(text, match.index);
    const end = endOfDomain(text, match.index + match[0].length);
    if (start < match.index && end !== undefined) found.push({ start, end });
  }
  return found;
}

function startOfLocal(text: string, at: number): number {
  const quoted = startOfQuoted(text, at);
  if (quoted !== undefined) return quoted;
  let start = at;
  while (start > 0 && at - start < LONGEST_LOCAL) {
    const character = text[start - 1] ?? '';
    const readsThrough = character === NO_BREAK_SPACE && LOCAL.test(text[start - 2] ?? '');
    if (!LOCAL.test(character) && !readsThrough) break;
    start -= 1;
  }
  return start + (LEADING.exec(text.slice(start, at))?.[0].length ?? 0);
}

function startOfQuoted(text: string, at: number): number | undefined {
  if (text[at - 1] !== '"') return undefined;
  for (let start = at - 2; start >= 0 && at - start <= LONGEST_LOCAL; start -= 1) {
    if (text[start] === '\n') return undefined;
    if (text[start] === '"') return start;
  }
  return undefined;
}

/** The end of the longest valid domain that begins here. */
function endOfDomain(text: string, from: number): number | undefined {
  let end = from;
  while (end < text.length && end - from < LONGEST_DOMAIN) {
    const character = text[end] ?? '';
    const readsThrough = character === NO_BREAK_SPACE && continuesAfterSpace(text, from, end);
    if (!DOMAIN.test(character) && !readsThrough) break;
    end += 1;
  }
  return shortenToDomain(text.slice(from, end), from);
}

function continuesAfterSpace(text: string, from: number, at: number): boolean {
  const next = text[at + 1] ?? '';
  if (!DOMAIN.test(next)) return false;
  return next === '.' || text[at - 1] === '.' || shortenToDomain(text.slice(from, at), from) === undefined;
}

function shortenToDomain(candidate: string, from: number): number | undefined {
  let domain = candidate.split('..', 1)[0] ?? '';
  for (;;) {
    domain = trimEnd(domain);
    const dot = domain.lastIndexOf('.');
    if (dot <= 0) return undefined;
    if (TOP_LEVEL.test(domain.slice(dot + 1).replaceAll(NO_BREAK_SPACE, ''))) return from + domain.length;
    domain = domain.slice(0, dot);
  }
}

function trimEnd(domain: string): string {
  let end = domain.length;
  while (end > 0 && '.-_\u00A0'.includes(domain[end - 1] ?? '')) end -= 1;
  return domain.slice(0, end);
}
