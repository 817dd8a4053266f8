import type { Draft } from './pack.ts';
import { type Piece, textOf } from './piece.ts';
import type { CountTokens } from './pieces.ts';
import { isHeading } from './sections.ts';

/** A draft whose tokens are known. */
export interface Counted extends Draft {
  readonly tokens: number;
}

/**
 * Repeats the last pieces of each draft at the beginning of the next of its section, where that stays
 * under the limit. It comes last, so that no division can part what was repeated from what it leads to.
 */
export async function withOverlap(
  drafts: readonly Counted[],
  overlap: number,
  maxTokens: number,
  countTokens: CountTokens,
): Promise<Counted[]> {
  const longer = new Map<Counted, Draft>();
  for (const [i, draft] of drafts.entries()) {
    const repeated = tailFor(draft, drafts[i - 1], overlap);
    if (repeated.length > 0) longer.set(draft, { ...draft, pieces: [...repeated, ...draft.pieces] });
  }
  if (longer.size === 0) return [...drafts];
  const counts = await countTokens([...longer.values()].map(({ pieces }) => textOf(pieces)));
  const tokens = new Map([...longer.keys()].map((draft, i) => [draft, counts[i] ?? Infinity]));
  return drafts.map((draft) => {
    const size = tokens.get(draft) ?? Infinity;
    const candidate = longer.get(draft);
    return candidate !== undefined && size <= maxTokens ? { ...candidate, tokens: size } : draft;
  });
}

/** The last pieces of the draft before that weigh no more than the overlap, and never all of it. */
function tailFor(draft: Draft, before: Draft | undefined, overlap: number): readonly Piece[] {
  const [first] = draft.pieces;
  if (before === undefined || before.section !== draft.section || first === undefined || isHeading(first))
    return [];
  let weight = 0;
  let start = before.pieces.length;
  while (start > 1) {
    weight += before.pieces[start - 1]?.weight ?? Infinity;
    if (weight > overlap) break;
    start -= 1;
  }
  return before.pieces.slice(start);
}
