import type { Verdict } from './verdict.ts';

/** The parts of `bench/retrieve.ts`, each of which gives sections of the report. */
export type Part = 'contest' | 'steps' | 'recall' | 'growth' | 'groups' | 'revocation';

export interface Section {
  readonly title: string;
  readonly text: string;
  readonly verdicts: readonly Verdict[];
  /** For programs. */
  readonly figures: unknown;
}

export interface Sizes {
  readonly chunks: number;
  readonly maxChunks: number;
  readonly questions: number;
  /** One turn of one contestant at saturation. */
  readonly turnMs: number;
  readonly fresh: boolean;
}
