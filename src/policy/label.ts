/**
 * Labels and their order (Denning, "A lattice model of secure information flow", 1976): a level from an
 * ordered scheme and a set of compartments.
 */
import type { Instant } from './ids.ts';

/** What a level asks of the caller's session before anything so labelled is released. */
interface Safeguards {
  /** Accepted authentication context classes; absent = any. */
  readonly acr?: readonly string[] | undefined;
  /** Longest time since the caller last authenticated. */
  readonly maxAuthAgeSeconds?: number | undefined;
  /** Longest time since the directory source was last known current. */
  readonly maxDirectoryAgeSeconds?: number | undefined;
}

interface Level {
  readonly name: string;
  /** Position in the scheme: 0 is the lowest. */
  readonly rank: number;
  readonly safeguards: Safeguards;
  /** Never searched through a graph that other documents shaped; absent = it may be. */
  readonly silent?: boolean | undefined;
}

export interface LabelScheme {
  /** Ordered, lowest first; `levels[i].rank === i`. */
  readonly levels: readonly Level[];
  readonly compartments: ReadonlySet<string>;
  /**
   * SHA-256, hexadecimal, of all that the configuration says about levels and compartments. Processes whose schemes
   * have the same digest mean the same by a rank.
   */
  readonly digest: string;
}

/** A label as it applies: it always has a level. */
export interface Label {
  readonly rank: number;
  readonly compartments: ReadonlySet<string>;
}

/** What a class says itself; `rank` is absent when it leaves the level to its ancestors. */
export interface OwnLabel {
  readonly rank?: number | undefined;
  readonly compartments: ReadonlySet<string>;
}

/** True when one of these ranks is of a level that is searched exactly. */
export function isSilent({ levels }: LabelScheme, ranks: ReadonlySet<number>): boolean {
  return levels.some(({ silent, rank }) => silent === true && ranks.has(rank));
}

/** True when `high` is at least `low` in level and holds every compartment of `low`. */
export function dominates(high: Label, low: Label): boolean {
  return high.rank >= low.rank && isSubset(low.compartments, high.compartments);
}

/** The least upper bound of own labels: highest level, union of compartments; no level at all = no label. */
export function joinLabels(labels: Iterable<OwnLabel>): Label | undefined {
  let rank: number | undefined;
  const compartments = new Set<string>();
  for (const label of labels) {
    if (label.rank !== undefined) rank = Math.max(rank ?? label.rank, label.rank);
    for (const compartment of label.compartments) compartments.add(compartment);
  }
  return rank === undefined ? undefined : { rank, compartments };
}

function isSubset<T>(small: ReadonlySet<T>, large: ReadonlySet<T>): boolean {
  for (const item of small) if (!large.has(item)) return false;
  return true;
}

/** How strongly and how freshly the caller is known. */
export interface Assurance {
  readonly acr?: string | undefined;
  readonly authTime?: Instant | undefined;
  /** When the directory source of this caller was last known current. */
  readonly directoryAsOf: Instant;
}

/**
 * The highest rank each kind of safeguard admits, −1 for none. Safeguards accumulate upward: a level also
 * asks what the levels below it ask, so one integer says it and SQL can compare it (docs/decisions/0003).
 */
export interface AssuranceCeiling {
  readonly authentication: number;
  readonly directory: number;
}

export function assuranceCeiling(scheme: LabelScheme, assurance: Assurance, now: Instant): AssuranceCeiling {
  return {
    authentication: highestAdmitted(scheme, (s) => isStrongEnough(s, assurance, now)),
    directory: highestAdmitted(scheme, (s) =>
      isFresh(s.maxDirectoryAgeSeconds, assurance.directoryAsOf, now),
    ),
  };
}

function highestAdmitted(scheme: LabelScheme, meets: (safeguards: Safeguards) => boolean): number {
  const firstUnmet = scheme.levels.find((level) => !meets(level.safeguards));
  return (firstUnmet?.rank ?? scheme.levels.length) - 1;
}

function isStrongEnough(safeguards: Safeguards, assurance: Assurance, now: Instant): boolean {
  if (
    safeguards.acr !== undefined &&
    (assurance.acr === undefined || !safeguards.acr.includes(assurance.acr))
  )
    return false;
  return isFresh(safeguards.maxAuthAgeSeconds, assurance.authTime, now);
}

/** The age itself still counts as fresh: `max_age` is exceeded, not reached (OpenID Connect Core 1.0, §3.1.2.1). */
function isFresh(maxAgeSeconds: number | undefined, since: Instant | undefined, now: Instant): boolean {
  if (maxAgeSeconds === undefined) return true;
  return since !== undefined && now <= since + maxAgeSeconds * 1000;
}
