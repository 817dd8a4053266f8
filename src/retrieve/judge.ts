import type { Hit, SearchResult } from '../index/vector-index.ts';
import { type Decision, decide } from '../policy/decide.ts';
import type { ChunkId } from '../policy/ids.ts';
import type { Label, LabelScheme } from '../policy/label.ts';
import type { Database } from '../store/database.ts';
import type { Hydration, StoredPassage } from '../store/passages.ts';
import { fuse } from './3-search.ts';
import { hydrate } from './4-hydrate.ts';
import type { Authorized, Candidate, Hydrated, Searched } from './stages.ts';

/** A passage that all three enforcers let through, with the label it was decided on. */
interface Judged extends Candidate {
  readonly passage: StoredPassage;
  readonly label: Label;
}

export interface Judgement {
  readonly passages: readonly Judged[];
  /** Dropped by row-level security or gone since the index was read. */
  readonly missing: readonly ChunkId[];
  /** Shown by row-level security and refused by `decide`. */
  readonly refused: readonly ChunkId[];
}

/**
 * Hydrates and judges the best candidates. When one of them is dropped, the index was behind and its scores knew
 * of what the caller may not read: then all candidates are judged and only those that passed are put in order.
 */
export async function judgeBest(
  database: Database,
  scheme: LabelScheme,
  authorized: Authorized,
  { lists, candidates }: Searched,
  limit: number,
): Promise<Judgement> {
  const judgeSome = async (some: readonly Candidate[]) =>
    judgeAll(scheme, authorized, await hydrate(database, authorized, some));
  const best = await judgeSome(candidates.slice(0, limit));
  if (dropped(best).size === 0) return best;
  const rest = await judgeSome(candidates.slice(limit));
  const all = {
    missing: [...best.missing, ...rest.missing],
    refused: [...best.refused, ...rest.refused],
  };
  const passed = new Map([...best.passages, ...rest.passages].map((judged) => [judged.hit.chunkId, judged]));
  const order = fuse(without(lists, dropped(all)));
  const passages = order.flatMap(({ hit, score }) => {
    const judged = passed.get(hit.chunkId);
    return judged === undefined ? [] : [{ ...judged, score }];
  });
  return { ...all, passages: passages.slice(0, limit) };
}

function dropped({ missing, refused }: Pick<Judgement, 'missing' | 'refused'>): ReadonlySet<ChunkId> {
  return new Set([...missing, ...refused]);
}

function without({ dense, sparse }: SearchResult, chunks: ReadonlySet<ChunkId>): SearchResult {
  const keep = (hit: Hit) => !chunks.has(hit.chunkId);
  return { dense: dense.filter(keep), sparse: sparse.filter(keep) };
}

function judgeAll(scheme: LabelScheme, authorized: Authorized, hydrated: Hydrated): Judgement {
  const passages: Judged[] = [];
  const refused: ChunkId[] = [];
  for (const candidate of hydrated.candidates) {
    const decision = judgePassage(scheme, authorized, candidate.passage, hydrated.classes);
    if (decision.kind === 'allow' && decision.trace.label !== undefined)
      passages.push({ ...candidate, label: decision.trace.label });
    else refused.push(candidate.hit.chunkId);
  }
  return { passages, missing: hydrated.missing, refused };
}

/** The judge: plain code on the labels and entries just read. */
export function judgePassage(
  scheme: LabelScheme,
  { authority }: Pick<Authorized, 'authority'>,
  passage: StoredPassage,
  classes: Hydration['classes'],
): Decision {
  return decide({
    subject: authority.subject,
    class: passage.class,
    lookup: (id) => classes.get(id),
    scheme,
    now: authority.now,
  });
}
