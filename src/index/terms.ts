/**
 * Text to term ids and BM25 weights (Robertson and Zaragoza, "The Probabilistic Relevance Framework", 2009).
 * Only the document side is computed here; the index multiplies it by the IDF of what the caller may see.
 */
import { stem } from './stem.ts';
import { STOP_WORDS } from './stop-words.ts';
import type { SparseVector } from './vector-index.ts';

/**
 * Kept with the index and never computed from it: an average over all chunks would let hidden ones move the
 * scores of visible ones. `averageLength` is in terms.
 */
export const BM25 = Object.freeze({ k1: 1.2, b: 0.75, averageLength: 120 });

/** Longer tokens (encoded data, mostly) are cut to this many UTF-16 units. */
const LONGEST_TOKEN = 64;

// words, and words joined by single connectors as in ORD-1041, tcp/8883, max_connections or 10.0.0.1
const COMPOUND = /[\p{L}\p{M}\p{N}]+(?:[-_/.:][\p{L}\p{M}\p{N}]+)*/gu;
const CONNECTOR = /[-_/.:]/;
const IDENTIFIER = /[\p{N}_]/u;
const ENGLISH = /^[a-z]+$/;

/** Gives a word its id: 32 bits, signed. */
export type TermId = (term: string) => number;

/**
 * BM25 weights of a chunk: tf·(k1+1) / (tf + k1·(1−b+b·length/averageLength)), by ascending term id.
 * @param idOf another id for each word, where a level asks that its words do not show
 */
export function documentTerms(text: string, heading = '', idOf: TermId = termId): SparseVector {
  const frequencies = new Map<number, number>();
  let length = 0;
  for (const term of terms(`${heading}\n${text}`)) {
    const id = idOf(term);
    frequencies.set(id, (frequencies.get(id) ?? 0) + 1);
    length += 1;
  }
  const { k1, b, averageLength } = BM25;
  const saturation = k1 * (1 - b + (b * length) / averageLength);
  const ids = Int32Array.from(frequencies.keys()).sort();
  const weights = Float32Array.from(ids, (id) => {
    const frequency = frequencies.get(id) ?? 0;
    return (frequency * (k1 + 1)) / (frequency + saturation);
  });
  return { ids, weights };
}

/**
 * The distinct term ids of a query, in the order of their first use.
 * @param idsOf what each word may stand under in the index
 */
export function queryTerms(text: string, idsOf: readonly TermId[] = [termId]): readonly number[] {
  const words = [...new Set(terms(text))];
  return [...new Set(idsOf.flatMap((idOf) => words.map((word) => idOf(word))))];
}

/** Stems of the words (Porter, 1980), stop words left out, and identifiers whole beside their parts. */
export function* terms(text: string): Iterable<string> {
  for (const [compound] of text.normalize('NFKC').toLowerCase().matchAll(COMPOUND)) {
    const parts = compound.split(CONNECTOR);
    if (parts.length > 1 && IDENTIFIER.test(compound)) yield compound.slice(0, LONGEST_TOKEN);
    for (const part of parts) {
      const word = part.slice(0, LONGEST_TOKEN);
      if (!STOP_WORDS.has(word)) yield ENGLISH.test(word) ? stem(word) : word;
    }
  }
}

/** 32-bit FNV-1a of the UTF-8 bytes, as a signed integer. Two terms in four thousand million share an id. */
export function termId(term: string): number {
  let hash = 0x811c9dc5;
  for (const byte of encoder.encode(term)) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash | 0;
}

const encoder = new TextEncoder();
