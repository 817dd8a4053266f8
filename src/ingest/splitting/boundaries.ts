/** Where text may be cut, from the gentlest way to the last. Every cut keeps all but white space. */
import type { Cut } from './piece.ts';

const SENTENCES = new Intl.Segmenter('und', { granularity: 'sentence' });
const GRAPHEMES = new Intl.Segmenter('und', { granularity: 'grapheme' });

/** Sentences and lines (UAX #29). */
export function sentences(text: string, [from, to]: Cut): Cut[] {
  const cuts: Cut[] = [];
  for (const { index, segment } of SENTENCES.segment(text.slice(from, to)))
    cuts.push([from + index, from + index + segment.length]);
  return trimmed(text, cuts);
}

/** Words between white space. */
export function words(text: string, [from, to]: Cut): Cut[] {
  return [...text.slice(from, to).matchAll(/\S+/g)].map(({ index, 0: word }) => [
    from + index,
    from + index + word.length,
  ]);
}

/**
 * Two halves at a grapheme boundary near the middle; a single grapheme that must be cut all the same (a
 * letter under a thousand accents) is cut between code points. A single code point stays whole.
 */
export function halves(text: string, [from, to]: Cut): Cut[] {
  const middle = nearestGrapheme(text.slice(from, to)) ?? nearestCodePoint(text.slice(from, to));
  if (middle === undefined) return [[from, to]];
  return trimmed(text, [
    [from, from + middle],
    [from + middle, to],
  ]);
}

/** Reading the text up to its middle is enough: the boundary is the first at or after it, else the last before. */
function nearestGrapheme(text: string): number | undefined {
  let best: number | undefined;
  for (const { index } of GRAPHEMES.segment(text)) {
    if (index > 0) best = index;
    if (index >= text.length / 2) break;
  }
  return best;
}

function nearestCodePoint(text: string): number | undefined {
  const middle = Math.max(1, text.length >> 1);
  const isInsidePair =
    /[\uDC00-\uDFFF]/.test(text[middle] ?? '') && /[\uD800-\uDBFF]/.test(text[middle - 1] ?? '');
  const cut = isInsidePair ? middle + 1 : middle;
  return cut < text.length ? cut : undefined;
}

function trimmed(text: string, cuts: readonly Cut[]): Cut[] {
  return cuts.flatMap(([from, to]): Cut[] => {
    const own = text.slice(from, to);
    const start = from + (own.length - own.trimStart().length);
    const end = from + own.trimEnd().length;
    return start < end ? [[start, end]] : [];
  });
}
