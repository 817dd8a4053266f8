/**
 * The policy decision point (AuthZEN Authorization API 1.0): what a subject may do, for applications that enforce it.
 * The answers are `decide()`'s and the database's own; the rule of who may ask is that of explanations.
 */
import type { EventBodies } from '../audit/audit-event.ts';
import type { StepUpNeed } from '../policy/decide.ts';
import { authorize } from '../store/authority.ts';
import { requireCredentialRight } from '../store/rights.ts';
import { untilSettled } from '../store/until-settled.ts';
import { type AdminCaller, type AdminParts, byWhom } from './change.ts';
import { type Finding, Inquiry, type Place, UNTOLD } from './decision-inquiry.ts';
import { type Entity, principalOf, targetOf, type Vocabulary } from './decision-vocabulary.ts';

export interface DecisionParts extends AdminParts {
  readonly vocabulary: Vocabulary;
}

/** A question in the words of whoever asks. */
export interface Evaluation {
  readonly subject: Entity;
  readonly action: string;
  readonly resource: Entity;
}

/** What is answered. Of a denial that the asker may not know more of, there is nothing but the denial. */
export interface ToldDecision {
  readonly decision: boolean;
  /** Why not, for an asker who oversees the resource. */
  readonly reason?: string;
  /** What a stronger or fresher sign-in would have to be for the answer to change. */
  readonly need?: StepUpNeed;
}

/** When to stop: never, after the first denial, after the first permit. */
export type Semantic = 'execute_all' | 'deny_on_first_deny' | 'permit_on_first_permit';

type Told = EventBodies['decisions.told'];

/**
 * Decides each in order, until the semantic says to stop, and records who was told before anybody is. An absent
 * evaluation, of which something was missing, is denied.
 * @throws BulkheadError as `authorize` does; `insufficient_scope`, `authority_moved`, `audit_unavailable`
 */
export function evaluate(
  parts: DecisionParts,
  caller: AdminCaller,
  asked: readonly (Evaluation | undefined)[],
  semantic: Semantic,
): Promise<readonly ToldDecision[]> {
  return inquire(parts, caller, async (inquiry) => {
    const told: ToldDecision[] = [];
    const places: Place[] = [];
    for (const evaluation of asked) {
      const decision = toTold(evaluation && (await evaluateOne(parts, inquiry, evaluation, places)));
      told.push(decision);
      if (stopsAfter(semantic, decision)) break;
    }
    const record: Pick<Told, 'endpoint' | 'asked' | 'found'> = {
      endpoint: 'evaluation',
      asked: told.map(({ decision }, i) => ({ ...wordsOf(asked[i]), decision })),
      found: [],
    };
    return { answer: told, places, record };
  });
}

async function evaluateOne(
  { vocabulary }: DecisionParts,
  inquiry: Inquiry,
  { subject, action, resource }: Evaluation,
  places: Place[],
): Promise<Finding> {
  const principal = principalOf(vocabulary, subject);
  const target = targetOf(vocabulary, resource, action);
  if (principal === undefined || target === undefined) return UNTOLD;
  const finding = await inquiry.ask(principal, target);
  const place = await inquiry.place(target);
  if (finding.kind !== 'untold' && place !== undefined) places.push(place);
  return finding;
}

function stopsAfter(semantic: Semantic, { decision }: ToldDecision): boolean {
  return semantic === (decision ? 'permit_on_first_permit' : 'deny_on_first_deny');
}

function toTold(finding: Finding | undefined): ToldDecision {
  switch (finding?.kind) {
    case 'allow':
      return { decision: true };
    case 'deny':
      return { decision: false, reason: finding.reason };
    case 'stepUp':
      return { decision: false, reason: 'step-up', need: finding.need };
    default:
      return { decision: false };
  }
}

/** An answer with what it rests on and what is recorded of it. */
export interface Outcome<T> {
  readonly answer: T;
  readonly places: readonly Place[];
  readonly record: Pick<Told, 'endpoint' | 'asked' | 'found'>;
}

/** Asks again from the start when the policy, a document or the caller's credential moved before it was recorded. */
export function inquire<T>(
  parts: DecisionParts,
  { identity, requestId }: AdminCaller,
  ask: (inquiry: Inquiry) => Promise<Outcome<T>>,
): Promise<T> {
  return untilSettled(async () => {
    const authority = await authorize(parts.database, 'admin', parts.scheme, identity);
    requireCredentialRight(identity, 'read');
    const { answer, places, record } = await ask(new Inquiry(parts, identity, authority));
    const documents = new Map(places.flatMap(({ document }) => (document ? [[document[0], document]] : [])));
    const { status } = await parts.audit.appendGuardedEvent(
      authority.subject.tenant,
      'decisions.told',
      { ...byWhom(authority, requestId), ...record },
      { ...authority.epoch, revocable: authority.revocable, documents: [...documents.values()] },
    );
    return status === 'moved' ? undefined : answer;
  });
}

const MAX_WORD = 400;

/** As it was asked, each word cut to what a record has room for. */
export function wordsOf(
  asked: { readonly subject?: Entity; readonly action?: string; readonly resource?: Entity } | undefined,
): Pick<Told['asked'][number], 'subject' | 'action' | 'resource'> {
  const word = (text: string | undefined) => text?.slice(0, MAX_WORD) ?? null;
  const entity = (one: Entity | undefined) => word(one && `${one.type}:${one.id}`);
  return {
    subject: entity(asked?.subject),
    action: word(asked?.action),
    resource: entity(asked?.resource),
  };
}
