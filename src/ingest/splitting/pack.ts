import type { Piece } from './piece.ts';
import { areRelated, commonPath, isHeading, type Section } from './sections.ts';

/** Pieces that will be one chunk. */
export interface Draft {
  readonly path: readonly string[];
  readonly pieces: readonly Piece[];
  /** Drafts of the same section, or of sections joined into one, have the same number. */
  readonly section: number;
}

/** A section below this share of the limit says too little alone. */
const TINY = 1 / 4;

/**
 * Fills drafts with pieces up to the limit, section by section. Tiny neighbours under the same heading
 * share a draft; a heading never ends one that more of its section follows.
 */
export function pack(sections: readonly Section[], limit: number): Draft[] {
  return joinTiny(sections, limit).flatMap(({ path, pieces }, section) =>
    packPieces(pieces, limit).map((packed) => ({ path, pieces: packed, section })),
  );
}

function joinTiny(sections: readonly Section[], limit: number): Section[] {
  const joined: (Section & { readonly isTiny: boolean })[] = [];
  for (const section of sections) {
    const last = joined.at(-1);
    const isTiny = section.weight <= limit * TINY;
    const fits = last !== undefined && last.weight + section.weight <= limit;
    if (last !== undefined && fits && isTiny && last.isTiny && areRelated(last.path, section.path))
      joined[joined.length - 1] = {
        path: commonPath(last.path, section.path),
        pieces: [...last.pieces, ...section.pieces],
        weight: last.weight + section.weight,
        isTiny: true,
      };
    else joined.push({ ...section, isTiny });
  }
  return joined;
}

function packPieces(pieces: readonly Piece[], limit: number): Piece[][] {
  const packed: Piece[][] = [];
  let current: Piece[] = [];
  let weight = 0;
  for (const piece of pieces) {
    if (current.length > 0 && weight + piece.weight > limit) {
      const moved = trailingHeadings(current);
      packed.push(current.slice(0, current.length - moved.length));
      current = moved;
      weight = moved.reduce((sum, heading) => sum + heading.weight, 0);
    }
    current.push(piece);
    weight += piece.weight;
  }
  if (current.length > 0) packed.push(current);
  return packed;
}

/** Headings at the end, which belong to what follows; none when there is nothing but headings. */
function trailingHeadings(pieces: readonly Piece[]): Piece[] {
  const last = pieces.findLastIndex((piece) => !isHeading(piece));
  return last < 0 ? [] : pieces.slice(last + 1);
}
