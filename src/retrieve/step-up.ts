/** What a stronger sign-in would show (RFC 9470), said only where nothing but the sign-in is in the way. */
import type { AuditLog, ReleaseGuard } from '../audit/audit-log.ts';
import { BulkheadError } from '../errors.ts';
import { decide, type StepUpNeed, stepUpNeed } from '../policy/decide.ts';
import type { DocumentId } from '../policy/ids.ts';
import type { LabelScheme } from '../policy/label.ts';
import type { Authority } from '../store/authority.ts';
import type { Database } from '../store/database.ts';
import { ReadableDocuments } from '../store/passages.ts';
import type { VisibleSets } from './visible-sets.ts';

/**
 * The need of the highest level among the classes that this caller would see if signed in as strongly as can be, and
 * does not now. It follows from their classes alone, whatever is in them and whatever is asked.
 * @returns `null` when a stronger sign-in shows nothing more; `undefined` when the epoch has moved on
 */
export async function stepUpOf(
  visibleSets: VisibleSets,
  scheme: LabelScheme,
  authority: Authority,
): Promise<StepUpNeed | null | undefined> {
  if (!wouldHelp(authority)) return null;
  const reachable = await visibleSets.of(atFullStrength(authority));
  if (reachable === undefined) return undefined;
  const ranks = [...reachable.distinctRanks].filter((rank) => rank > authority.ceiling.authentication);
  return (
    ranks
      .sort((a, b) => b - a)
      .map((rank) => stepUpNeed(scheme, rank))
      .find(canBeMet) ?? null
  );
}

interface ChallengeParts {
  readonly database: Database;
  readonly scheme: LabelScheme;
  readonly audit: AuditLog;
}

/**
 * A second look at a document that the caller cannot read: with every rule in force but the strength of the sign-in, and
 * with no text. What is hidden for another reason and what is missing go the same way and find nothing.
 * @returns `not-needed` when a stronger sign-in would not show it; `undefined` when what the answer rests on has moved
 * @throws BulkheadError `step_up_required` with the challenge, recorded
 */
export async function challengeFor(
  parts: ChallengeParts,
  authority: Authority,
  requestId: string,
  document: DocumentId,
): Promise<'not-needed' | undefined> {
  const need = wouldHelp(authority) ? await needOf(parts, authority, document) : undefined;
  if (need === undefined) return 'not-needed';
  const { subject, epoch, revocable } = authority;
  const guard: ReleaseGuard = { ...epoch, revocable, documents: [[document, need.class, need.version]] };
  const recorded = await parts.audit.appendGuardedEvent(
    subject.tenant,
    'stepup.challenged',
    {
      subject: subject.user.name,
      actor: subject.actor?.name ?? null,
      request: requestId,
      document,
      acr: need.acr ?? null,
      maxAgeSeconds: need.maxAuthAgeSeconds ?? null,
    },
    guard,
  );
  if (recorded.status === 'moved') return undefined;
  throw stepUpRequired(need);
}

async function needOf({ database, scheme }: ChallengeParts, authority: Authority, document: DocumentId) {
  const { context } = atFullStrength(authority);
  const found = await ReadableDocuments.as(database, context).classOf(document);
  if (found === undefined) return undefined;
  const { subject, now } = authority;
  const lookup = (id: typeof found.class) => found.classes.get(id);
  const decision = decide({ subject, class: found.class, lookup, scheme, now });
  if (decision.kind !== 'stepUp' || !canBeMet(decision.need)) return undefined;
  return { ...decision.need, class: found.class, version: found.version };
}

function stepUpRequired({ acr, maxAuthAgeSeconds }: StepUpNeed): BulkheadError {
  return new BulkheadError('step_up_required', 'Sign in more strongly, or again, to read this document.', {
    challenge: {
      ...(acr !== undefined && { acr_values: acr.join(' ') }),
      ...(maxAuthAgeSeconds !== undefined && { max_age: String(maxAuthAgeSeconds) }),
    },
  });
}

/** Follows from the caller's own sign-in and directory, and from no document. */
function wouldHelp({ ceiling }: Authority): boolean {
  return ceiling.authentication < ceiling.directory;
}

/** The same caller, of whom only the strength of the sign-in is left out; a directory that is too old stays so. */
function atFullStrength(authority: Authority): Authority {
  return { ...authority, context: { ...authority.context, maxRank: authority.ceiling.directory } };
}

/** Levels that accept no class of sign-in in common are reached by none. */
function canBeMet({ acr }: StepUpNeed): boolean {
  return acr === undefined || acr.length > 0;
}
