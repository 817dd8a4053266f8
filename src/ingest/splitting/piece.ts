import type { Segment } from '../parsers/document.ts';

/** A stretch of one segment that goes into a chunk undivided. */
export interface Piece {
  readonly segment: Segment;
  /** UTF-16 offsets into the segment's text, end exclusive; white space at both ends is left out. */
  readonly from: number;
  readonly to: number;
  readonly path: readonly string[];
  /** Tokens; more where a token would stand for very many characters. */
  readonly weight: number;
}

export type Cut = readonly [from: number, to: number];

/**
 * A token may stand for a run of any length (an unknown word is one), but a chunk of a megabyte serves
 * nobody: every 32 characters weigh at least one token.
 */
const CHARACTERS_PER_TOKEN = 32;

export function weightOf(length: number, tokens: number): number {
  return Math.max(tokens, Math.ceil(length / CHARACTERS_PER_TOKEN));
}

/** The pieces' text: of one segment as it stood there, segments apart by an empty line. */
export function textOf(pieces: readonly Piece[]): string {
  const parts: string[] = [];
  for (let first = 0; first < pieces.length; ) {
    const { segment, from } = pieces[first] as Piece;
    let next = first + 1;
    while (pieces[next]?.segment === segment) next += 1;
    parts.push(segment.text.slice(from, pieces[next - 1]?.to));
    first = next;
  }
  return parts.join('\n\n');
}

/** Where the piece stands in the original; the whole segment where text and original are not alike. */
export function placeOf({ segment, from, to }: Piece): { start: number; end: number } {
  return segment.verbatim === true
    ? { start: segment.start + from, end: segment.start + to }
    : { start: segment.start, end: segment.end };
}
