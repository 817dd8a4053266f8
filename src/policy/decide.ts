/**
 * The definition of who may read what. Pure: time is an argument and nothing is fetched. The visible set and
 * row-level security are SQL built to agree with this file; property tests compare the three.
 */
import { type AccessClass, type ClassLookup, type Entry, lineage } from './access-class.ts';
import { type Clearance, dominatingClearance } from './clearance.ts';
import type { ClassId, Instant, PrincipalId } from './ids.ts';
import { assuranceCeiling, dominates, joinLabels, type Label, type LabelScheme } from './label.ts';
import type { ActorPart, Subject, UserPart } from './subject.ts';
import { isValidAt } from './validity.ts';

export type DenyReason =
  | 'no-path'
  | 'no-label'
  | 'no-entries'
  | 'denied'
  | 'no-allow'
  | 'no-clearance'
  | 'actor-no-ceiling'
  | 'actor-denied'
  | 'actor-label'
  | 'actor-container'
  | 'directory-stale';

/** What would have to be met for the answer to become `allow`. */
export interface StepUpNeed {
  readonly acr: readonly string[] | undefined;
  readonly maxAuthAgeSeconds: number | undefined;
}

/** Facts the decision rests on, nearest class first; a person reads them through `explainTrace`. */
export interface Trace {
  readonly lineage: readonly ClassId[];
  readonly label: Label | undefined;
  readonly allow: TracedEntry | undefined;
  readonly deny: TracedEntry | undefined;
  readonly clearance: Clearance | undefined;
}

export interface TracedEntry {
  readonly class: ClassId;
  readonly entry: Entry;
}

export type Decision =
  | { readonly kind: 'allow'; readonly trace: Trace }
  | { readonly kind: 'deny'; readonly reason: DenyReason; readonly trace: Trace }
  | { readonly kind: 'stepUp'; readonly need: StepUpNeed; readonly trace: Trace };

export interface Request {
  readonly subject: Subject;
  readonly class: ClassId;
  readonly lookup: ClassLookup;
  readonly scheme: LabelScheme;
  readonly now: Instant;
}

/** Decides whether the subject may read documents of the class, now. */
export function decide(request: Request): Decision {
  const { subject, now, scheme } = request;
  const path = lineage(request.class, request.lookup);
  if (path === undefined) return deny('no-path', EMPTY_TRACE);

  const trace = traceOf(path, subject.user, now);
  const userDenial = denialOfUser(path, trace);
  if (userDenial !== undefined) return deny(userDenial, trace);

  const label = trace.label as Label;
  const actorDenial = subject.actor && denialOfActor(subject.actor, path, label, now);
  if (actorDenial !== undefined) return deny(actorDenial, trace);

  const ceiling = assuranceCeiling(scheme, subject.user.assurance, now);
  if (label.rank > ceiling.directory) return deny('directory-stale', trace);
  if (label.rank > ceiling.authentication)
    return { kind: 'stepUp', need: stepUpNeed(scheme, label.rank), trace };
  return { kind: 'allow', trace };
}

const EMPTY_TRACE: Trace = {
  lineage: [],
  label: undefined,
  allow: undefined,
  deny: undefined,
  clearance: undefined,
};

function deny(reason: DenyReason, trace: Trace): Decision {
  return { kind: 'deny', reason, trace };
}

function traceOf(path: readonly AccessClass[], user: UserPart, now: Instant): Trace {
  const label = joinLabels(path.map((cls) => cls.label));
  return {
    lineage: path.map((cls) => cls.id),
    label,
    allow: findEntry(allowPath(path), 'allow', user.principals, now),
    deny: findEntry(path, 'deny', user.principals, now),
    clearance: label && dominatingClearance(user.clearances, label, now),
  };
}

function denialOfUser(path: readonly AccessClass[], trace: Trace): DenyReason | undefined {
  if (trace.label === undefined) return 'no-label';
  if (!hasEffectiveEntries(path)) return 'no-entries';
  if (trace.deny !== undefined) return 'denied';
  if (trace.allow === undefined) return 'no-allow';
  return trace.clearance === undefined ? 'no-clearance' : undefined;
}

/** Whether anybody is named at all: by a deny anywhere on the path, or by an allow that gets here. */
function hasEffectiveEntries(path: readonly AccessClass[]): boolean {
  const names = (effect: Entry['effect']) => (cls: AccessClass) =>
    cls.entries.some((entry) => entry.effect === effect);
  return path.some(names('deny')) || allowPath(path).some(names('allow'));
}

function denialOfActor(
  actor: ActorPart,
  path: readonly AccessClass[],
  label: Label,
  now: Instant,
): DenyReason | undefined {
  const { ceiling } = actor;
  if (ceiling === undefined) return 'actor-no-ceiling';
  if (findEntry(path, 'deny', actor.principals, now) !== undefined) return 'actor-denied';
  if (!dominates(ceiling, label)) return 'actor-label';
  return path.some((cls) => ceiling.containers.has(cls.id)) ? undefined : 'actor-container';
}

/** The classes whose allows reach the first: up to and including the first that does not inherit. */
function allowPath(path: readonly AccessClass[]): readonly AccessClass[] {
  const cut = path.findIndex((cls) => !cls.inherits);
  return cut === -1 ? path : path.slice(0, cut + 1);
}

function findEntry(
  path: readonly AccessClass[],
  effect: Entry['effect'],
  principals: ReadonlySet<PrincipalId>,
  now: Instant,
): TracedEntry | undefined {
  for (const cls of path) {
    const entry = cls.entries.find(
      (candidate) =>
        candidate.effect === effect && principals.has(candidate.principal) && isValidAt(candidate, now),
    );
    if (entry !== undefined) return { class: cls.id, entry };
  }
  return undefined;
}

/** The strictest authentication demanded by this level and those below it (safeguards accumulate upward). */
export function stepUpNeed(scheme: LabelScheme, rank: number): StepUpNeed {
  const demanded = scheme.levels.filter((level) => level.rank <= rank).map((level) => level.safeguards);
  const lists = demanded.flatMap((safeguards) => (safeguards.acr ? [safeguards.acr] : []));
  const ages = demanded.flatMap((safeguards) => safeguards.maxAuthAgeSeconds ?? []);
  const accepted = lists.reduce<readonly string[] | undefined>(
    (common, list) => (common ? common.filter((acr) => list.includes(acr)) : list),
    undefined,
  );
  return { acr: accepted, maxAuthAgeSeconds: ages.length > 0 ? Math.min(...ages) : undefined };
}
