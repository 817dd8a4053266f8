import type { Span } from '../entities.ts';
import { matches } from '../matches.ts';

/**
 * Published shapes of issued keys. A pattern whose body is unbounded, or holds its own beginning, has a
 * look-behind so that one run of characters is read once.
 */
const SHAPES: readonly RegExp[] = [
  /A(?:KIA|SIA)[A-Z0-9]{16}/g, // AWS
  /gh[pousr]_[A-Za-z0-9]{20,255}/g, // GitHub
  /(?<![A-Za-z0-9_])github_pat_[A-Za-z0-9_]{20,}/g,
  /(?<![A-Za-z0-9-])xox[a-z]-[A-Za-z0-9-]{10,}/g, // Slack
  /(?<![A-Za-z0-9-])xapp-[A-Za-z0-9-]{10,}/g,
  /(?<![A-Za-z0-9_-])AIza[A-Za-z0-9_-]{35}/g, // Google
  /(?<![A-Za-z0-9])(?:sk|rk)_(?:live|test)_[A-Za-z0-9]{8,}/g, // Stripe
  /(?<![A-Za-z0-9_-])sk-ant-[A-Za-z0-9_-]{8,}/g, // Anthropic
  /(?<![A-Za-z0-9_-])sk-(?!ant-)(?=[A-Za-z_-]*[0-9])[A-Za-z0-9_-]{12,}/g, // OpenAI; a digit tells it from a compound
  /(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]*){1,3}/g, // JWT, RFC 7519
];

const PEM_BEGIN = /-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----/g;
const PEM_END = /-----END [A-Z0-9 ]{0,40}-----/g;
const PEM_BODY = /[A-Za-z0-9+/=:,\s-]*/y;

const NAMED =
  /(?:api|access|secret|private|signing|encryption|account)[_ -]?key(?:[_ -]id)?|secret|token|passwor[dt]|passwd|passphrase/gi;
const ASSIGNMENT = /["'`*]{0,3}[ \u00A0\t]{0,4}(?::=|=>|[:=])[ \u00A0\t]{0,4}["'`]{0,3}/y;
const VALUE = /[A-Za-z0-9_+/=.~!@#$%^&*:-]+/y;
const SHORTEST_VALUE = 16;
const LEAST_BITS_PER_CHARACTER = 3;
/** Enough of a value to tell whether it is random. */
const SAMPLE = 256;

/** Keys, tokens and passwords: by their issuer's shape, as PEM private keys, or as random named values. */
export function findApiKeys(text: string): Span[] {
  const shaped = SHAPES.flatMap((shape) => matches(shape, text));
  return [
    ...shaped.map((match) => ({ start: match.index, end: match.index + match[0].length })),
    ...privateKeys(text),
    ...namedValues(text),
  ];
}

/** From the first line to the last; without a last line, as far as the text still looks like a key. */
function privateKeys(text: string): Span[] {
  const found: Span[] = [];
  const ends = matches(PEM_END, text);
  let covered = 0;
  let nextEnd = 0;
  for (const begin of matches(PEM_BEGIN, text)) {
    if (begin.index < covered) continue;
    const bodyStart = begin.index + begin[0].length;
    while (nextEnd < ends.length && (ends[nextEnd]?.index ?? 0) < bodyStart) nextEnd += 1;
    const last = ends[nextEnd];
    covered = last === undefined ? endOfRun(PEM_BODY, text, bodyStart) : last.index + last[0].length;
    found.push({ start: begin.index, end: covered });
  }
  return found;
}

function namedValues(text: string): Span[] {
  const found: Span[] = [];
  let runEnd = 0;
  for (const name of matches(NAMED, text)) {
    const start = endOfMatch(ASSIGNMENT, text, name.index + name[0].length);
    if (start === undefined) continue;
    // A run that a former name already read to its end is not read again: work stays linear.
    if (start >= runEnd) runEnd = endOfRun(VALUE, text, start);
    if (isRandom(text.slice(start, Math.min(runEnd, start + SAMPLE)))) found.push({ start, end: runEnd });
  }
  return found;
}

function endOfRun(run: RegExp, text: string, start: number): number {
  return endOfMatch(run, text, start) ?? start;
}

function endOfMatch(sticky: RegExp, text: string, start: number): number | undefined {
  sticky.lastIndex = start;
  return sticky.test(text) ? sticky.lastIndex : undefined;
}

function isRandom(value: string): boolean {
  if (value.length < SHORTEST_VALUE || !/[0-9]/.test(value) || !/[A-Za-z]/.test(value)) return false;
  return bitsPerCharacter(value) >= LEAST_BITS_PER_CHARACTER;
}

/** Shannon entropy of the value's character frequencies, in bits. */
function bitsPerCharacter(value: string): number {
  const counts = new Map<string, number>();
  for (const character of value) counts.set(character, (counts.get(character) ?? 0) + 1);
  let bits = 0;
  for (const count of counts.values()) bits -= (count / value.length) * Math.log2(count / value.length);
  return bits;
}
