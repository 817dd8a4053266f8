import type { Hit } from '../index/vector-index.ts';
import { type Decision, decide } from '../policy/decide.ts';
import type { Label, LabelScheme } from '../policy/label.ts';
import type { Database } from '../store/database.ts';
import type { Hydration, StoredPassage } from '../store/passages.ts';
import { hydrate } from './4-hydrate.ts';
import type { Authorized, Candidate, Hydrated, Searched } from './stages.ts';

/** A passage that all three enforcers let through, with the label it was decided on. */
export interface Judged extends Candidate {
  readonly passage: StoredPassage;
  readonly label: Label;
}

export interface Judgement {
  readonly passages: readonly Judged[];
  /** Dropped by row-level security or gone since the index was read. */
  readonly missing: readonly Hit[];
  /** Shown by row-level security and refused by `decide`. */
  readonly refused: readonly Hit[];
}

/** Candidates hydrated beyond the limit, so that a few drops cost no second round. */
const MARGIN = 10;
const REFILLS = 2;

/**
 * Hydrates and judges the best candidates until the limit is reached. The number of rounds depends on drops
 * only, and what is dropped was never visible to count.
 */
export async function judgeBest(
  database: Database,
  scheme: LabelScheme,
  authorized: Authorized,
  searched: Searched,
  limit: number,
): Promise<Judgement> {
  const passages: Judged[] = [];
  const missing: Hit[] = [];
  const refused: Hit[] = [];
  let next = 0;
  for (let round = 0; round <= REFILLS && passages.length < limit && next < searched.length; round += 1) {
    const window = searched.slice(next, next + limit - passages.length + MARGIN);
    next += window.length;
    const hydrated = await hydrate(database, authorized, window);
    missing.push(...hydrated.missing);
    judgeAll(scheme, authorized, hydrated, passages, refused);
  }
  return { passages: passages.slice(0, limit), missing, refused };
}

function judgeAll(
  scheme: LabelScheme,
  authorized: Authorized,
  hydrated: Hydrated,
  passages: Judged[],
  refused: Hit[],
): void {
  for (const candidate of hydrated.candidates) {
    const decision = judgePassage(scheme, authorized, candidate.passage, hydrated.classes);
    if (decision.kind === 'allow' && decision.trace.label !== undefined)
      passages.push({ ...candidate, label: decision.trace.label });
    else refused.push(candidate.hit);
  }
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
