import type { Piece } from './piece.ts';

/** Consecutive pieces under the same heading. */
export interface Section {
  readonly path: readonly string[];
  readonly pieces: readonly Piece[];
  readonly weight: number;
}

/** Groups pieces by heading; headings without text of their own go with the first section below them. */
export function sectionsOf(pieces: readonly Piece[]): Section[] {
  const groups: Piece[][] = [];
  for (const piece of pieces) {
    const last = groups.at(-1);
    const previous = last?.at(-1);
    if (last !== undefined && previous !== undefined && isSame(previous.path, piece.path)) last.push(piece);
    else groups.push([piece]);
  }
  const sections: Section[] = [];
  let headings: Piece[] = [];
  for (const group of groups) {
    const path = group[0]?.path ?? [];
    const above = headings.at(-1)?.path;
    if (above !== undefined && !startsWith(path, above)) {
      sections.push(section(above, headings));
      headings = [];
    }
    if (group.every(isHeading)) {
      headings.push(...group);
      continue;
    }
    sections.push(section(path, [...headings, ...group]));
    headings = [];
  }
  if (headings.length > 0) sections.push(section(headings.at(-1)?.path ?? [], headings));
  return sections;
}

/** True when both sections are under one heading, or one of them is directly under the other. */
export function areRelated(a: readonly string[], b: readonly string[]): boolean {
  const common = commonPath(a, b).length;
  return common > 0 && common >= a.length - 1 && common >= b.length - 1;
}

export function commonPath(a: readonly string[], b: readonly string[]): readonly string[] {
  const end = a.findIndex((heading, i) => heading !== b[i]);
  return end < 0 ? a : a.slice(0, end);
}

export function isHeading(piece: Piece): boolean {
  return piece.segment.text === piece.segment.headingPath.at(-1);
}

function section(path: readonly string[], pieces: readonly Piece[]): Section {
  return { path, pieces, weight: pieces.reduce((sum, piece) => sum + piece.weight, 0) };
}

function isSame(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && startsWith(a, b);
}

function startsWith(path: readonly string[], prefix: readonly string[]): boolean {
  return prefix.every((heading, i) => path[i] === heading);
}
