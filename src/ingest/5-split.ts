import { BulkheadError } from '../errors.ts';
import type { ParsedDocument } from './parsers/document.ts';
import { type Counted, withOverlap } from './splitting/overlap.ts';
import { type Draft, pack } from './splitting/pack.ts';
import { placeOf, textOf } from './splitting/piece.ts';
import { type CountTokens, cutToFit, halveToFit } from './splitting/pieces.ts';
import { sectionsOf } from './splitting/sections.ts';

/** A passage: what is embedded, found and released as one. */
export interface Chunk {
  /** Position in the document, from 0. */
  readonly ordinal: number;
  readonly text: string;
  /** The headings above all of the passage, outermost first. */
  readonly headingPath: readonly string[];
  /** UTF-16 offsets into the decoded original, end exclusive; the original may have markup in between. */
  readonly start: number;
  readonly end: number;
  readonly tokens: number;
}

export interface SplitOptions {
  /** Longest chunk, in tokens of the embedding model, the overlap included. */
  readonly maxTokens: number;
  /** At most so many tokens of a chunk are repeated in the next of the same section; 0 by default. */
  readonly overlapTokens?: number;
  /** Counts the tokens of each text. */
  readonly countTokens: CountTokens;
}

const LEAST_TOKENS = 8;

/**
 * Splits a document into chunks of at most `maxTokens`: along headings first, then blocks, and inside a
 * block that is too long along sentences, words and graphemes. Nothing but white space is left out.
 * @throws BulkheadError `config_invalid` for limits that no text could keep
 */
export async function split(
  document: Pick<ParsedDocument, 'title' | 'segments'>,
  options: SplitOptions,
): Promise<Chunk[]> {
  const { maxTokens, overlapTokens = 0, countTokens } = options;
  const limit = maxTokens - overlapTokens;
  if (limit < LEAST_TOKENS || overlapTokens < 0 || overlapTokens > limit)
    throw new BulkheadError(
      'config_invalid',
      `Chunks need at least ${LEAST_TOKENS} tokens beside the overlap, which may be half of them.`,
    );
  const pieces = await cutToFit(document.segments, limit, countTokens, overlapTokens > 0);
  const drafts = await fit(pack(sectionsOf(pieces), limit), limit, countTokens);
  const chunks = await withOverlap(drafts, overlapTokens, maxTokens, countTokens);
  return chunks.map(chunkOf);
}

/** Counts the drafts as they are, for tokens need not add up over a join, and divides those too long. */
async function fit(drafts: readonly Draft[], limit: number, countTokens: CountTokens): Promise<Counted[]> {
  const counted = new Map<Draft, number>();
  let current = [...drafts];
  for (;;) {
    const fresh = current.filter((draft) => !counted.has(draft));
    if (fresh.length === 0)
      return current.map((draft) => ({ ...draft, tokens: counted.get(draft) ?? Infinity }));
    const counts = await countTokens(fresh.map(({ pieces }) => textOf(pieces)));
    for (const [i, draft] of fresh.entries()) counted.set(draft, counts[i] ?? Infinity);
    const divided = await Promise.all(
      current.map((draft) =>
        (counted.get(draft) ?? Infinity) > limit ? divide(draft, limit, countTokens) : [draft],
      ),
    );
    current = divided.flat();
  }
}

/** Two halves; the draft itself when it is a single code point. */
async function divide(draft: Draft, limit: number, countTokens: CountTokens): Promise<Draft[]> {
  const { pieces } = draft;
  const middle = pieces.length >> 1;
  if (middle > 0)
    return [pieces.slice(0, middle), pieces.slice(middle)].map((half) => ({ ...draft, pieces: half }));
  const halved = await halveToFit(pieces, limit, countTokens);
  return halved.length === 1 ? [draft] : halved.map((piece) => ({ ...draft, pieces: [piece] }));
}

function chunkOf({ path, pieces, tokens }: Counted, ordinal: number): Chunk {
  const places = pieces.map(placeOf);
  return {
    ordinal,
    text: textOf(pieces),
    headingPath: path,
    start: Math.min(...places.map(({ start }) => start)),
    end: Math.max(...places.map(({ end }) => end)),
    tokens,
  };
}
