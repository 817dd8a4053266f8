import type { Segment } from '../parsers/document.ts';
import { halves, sentences, words } from './boundaries.ts';
import { type Cut, type Piece, weightOf } from './piece.ts';

export type CountTokens = (texts: readonly string[]) => Promise<readonly number[]>;

type Uncounted = Omit<Piece, 'weight'>;

/** Counts all at once: the counter lives in a worker, and each call is a crossing. */
async function weigh(pieces: readonly Uncounted[], countTokens: CountTokens): Promise<Piece[]> {
  if (pieces.length === 0) return [];
  const counts = await countTokens(pieces.map(({ segment, from, to }) => segment.text.slice(from, to)));
  return pieces.map((piece, i) => ({
    ...piece,
    weight: weightOf(piece.to - piece.from, counts[i] ?? Infinity),
  }));
}

/**
 * Cuts the segments into pieces that each fit under the limit: whole where they fit, else by sentence, by
 * word, and by halves until they do. One count for each of these steps.
 * @param always cuts every segment into sentences, so that an overlap can take some of them
 */
export async function cutToFit(
  segments: readonly Segment[],
  limit: number,
  countTokens: CountTokens,
  always: boolean,
): Promise<Piece[]> {
  const whole = segments.map((segment) => ({
    segment,
    from: 0,
    to: segment.text.length,
    path: segment.headingPath,
  }));
  let pieces = await weigh(
    recut(whole, (text, cut) => trimmedWhole(text, cut)),
    countTokens,
  );
  pieces = await recutHeavy(pieces, sentences, always ? -1 : limitBesideHeading(limit), countTokens);
  pieces = await recutHeavy(pieces, words, limit, countTokens);
  return halveToFit(pieces, limit, countTokens);
}

/** Halves what is over the limit until nothing is, or nothing can be cut further. */
export async function halveToFit(
  pieces: readonly Piece[],
  limit: number,
  countTokens: CountTokens,
): Promise<Piece[]> {
  let current = [...pieces];
  for (;;) {
    const next = await recutHeavy(current, halves, limit, countTokens);
    if (next.length === current.length) return next;
    current = next;
  }
}

/** A paragraph leaves a quarter of the chunk to the headings above it, or else it goes by sentences. */
function limitBesideHeading(limit: number): number {
  return limit - Math.floor(limit / 4);
}

async function recutHeavy(
  pieces: readonly Piece[],
  cutter: (text: string, cut: Cut) => Cut[],
  limit: number,
  countTokens: CountTokens,
): Promise<Piece[]> {
  const heavy = pieces.filter((piece) => piece.weight > limit);
  const recutByPiece = new Map(heavy.map((piece) => [piece, recut([piece], cutter)]));
  const divided = [...recutByPiece].filter(([, parts]) => parts.length > 1);
  const weighed = await weigh(
    divided.flatMap(([, parts]) => parts),
    countTokens,
  );
  let taken = 0;
  const replacement = new Map(
    divided.map(([piece, parts]) => {
      taken += parts.length;
      return [piece, weighed.slice(taken - parts.length, taken)];
    }),
  );
  return pieces.flatMap((piece) => replacement.get(piece) ?? [piece]);
}

function recut(pieces: readonly Uncounted[], cutter: (text: string, cut: Cut) => Cut[]): Uncounted[] {
  return pieces.flatMap(({ segment, from, to, path }) =>
    cutter(segment.text, [from, to]).map(([start, end]) => ({ segment, from: start, to: end, path })),
  );
}

function trimmedWhole(text: string, [from, to]: Cut): Cut[] {
  const start = from + (text.length - text.trimStart().length);
  return text.trim() === '' ? [] : [[start, to - (text.length - text.trimEnd().length)]];
}
