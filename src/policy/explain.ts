/** A decision in sentences, from its trace alone. */

import type { Decision, DenyReason, StepUpNeed, TracedEntry } from './decide.ts';
import type { ClassId, PrincipalId } from './ids.ts';
import type { Label } from './label.ts';

/** How the things of a trace are called, for the person who reads about them. */
export interface Names {
  /** The subject's own principal: what it holds itself is not held through anything. */
  readonly subject: PrincipalId;
  /** The subject's display name; `undefined` when it is the reader. */
  readonly name: string | undefined;
  /** The acting service's display name. */
  readonly actor: string | undefined;
  readonly principal: (id: PrincipalId) => string;
  /** As in "The folder /hr" or "The document itself". */
  readonly place: (id: ClassId) => string;
  readonly level: (rank: number) => string;
}

/** One sentence for each fact the decision rests on, the label first. */
export function describeDecision(decision: Decision, names: Names): readonly string[] {
  const { label, clearance, allow, deny } = decision.trace;
  if (label === undefined) return [withoutLabel(decision)];
  const steps = [
    clearance === undefined
      ? `None of ${possessive(names)} clearances alone covers the label ${labelText(label, names)}.`
      : `${capital(possessive(names))} clearance ${labelText(clearance, names)}${through(clearance.principal, names)} covers the label ${labelText(label, names)}.`,
    allow === undefined
      ? `No entry here or above allows ${object(names)} or a group that ${holds(names)}.`
      : entryText(allow, 'allows', names),
    deny === undefined
      ? `No entry denies ${object(names)} or a group that ${holds(names)}.`
      : entryText(deny, 'denies', names),
  ];
  return [...steps, ...actorSteps(decision, names), ...assuranceSteps(decision, names)];
}

function withoutLabel(decision: Decision): string {
  return decision.kind === 'deny' && decision.reason === 'no-label'
    ? 'Neither the document nor a folder above it has a level, so nobody may read it.'
    : 'The folders above the document could not be walked to the top, so nobody may read it.';
}

const ACTOR_REASONS: Partial<Record<DenyReason, string>> = {
  'actor-no-ceiling': 'has no limits set by an administrator, and so may read nothing',
  'actor-denied': 'is denied by an entry',
  'actor-label': 'is not admitted to this label by its limits',
  'actor-container': 'is not admitted to this folder by its limits',
};

/** An acting service is looked at only when the user alone may read. */
function actorSteps(decision: Decision, names: Names): readonly string[] {
  if (names.actor === undefined) return [];
  const reason = decision.kind === 'deny' ? ACTOR_REASONS[decision.reason] : undefined;
  if (reason !== undefined) return [`${names.actor}, acting for ${object(names)}, ${reason}.`];
  const isReached = decision.kind !== 'deny' || decision.reason === 'directory-stale';
  return isReached ? [`${names.actor}, acting for ${object(names)}, is admitted by its limits.`] : [];
}

function assuranceSteps(decision: Decision, names: Names): readonly string[] {
  if (decision.kind === 'stepUp') return [`The level asks for ${needText(decision.need)}.`];
  if (decision.kind === 'deny' && decision.reason === 'directory-stale')
    return [`The directory that knows ${object(names)} was last current too long ago for this level.`];
  return [];
}

function needText({ acr, maxAuthAgeSeconds }: StepUpNeed): string {
  const strength = acr === undefined ? 'a sign-in' : `a sign-in by ${acr.join(' or ')}`;
  return maxAuthAgeSeconds === undefined
    ? strength
    : `${strength} at most ${maxAuthAgeSeconds / 60} minutes old`;
}

function entryText({ class: id, entry }: TracedEntry, verb: string, names: Names): string {
  const who = entry.principal === names.subject ? object(names) : names.principal(entry.principal);
  return `${names.place(id)} ${verb} ${who}.`;
}

function labelText({ rank, compartments }: Label, names: Names): string {
  return [names.level(rank), ...[...compartments].sort()].join(' + ');
}

function through(principal: PrincipalId, names: Names): string {
  return principal === names.subject ? '' : ` (through ${names.principal(principal)})`;
}

const object = ({ name }: Names): string => name ?? 'you';
const possessive = ({ name }: Names): string => (name === undefined ? 'your' : `${name}'s`);
const holds = ({ name }: Names): string => (name === undefined ? 'you are in' : `${name} is in`);
const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);
