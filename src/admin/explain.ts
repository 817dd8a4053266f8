/**
 * Why may, or can't, somebody read a document? Told to the subject itself about what it may read, and to whoever
 * oversees the document and could read its label. Every other question is about a document that does not exist.
 */
import { type ErrorCode, isBulkheadError } from '../errors.ts';
import { redact } from '../guard/output-redactor.ts';
import type { RedactionPolicy } from '../guard/redaction-policy.ts';
import type { AccessClass } from '../policy/access-class.ts';
import { dominatingClearance } from '../policy/clearance.ts';
import { type Decision, type DenyReason, decide } from '../policy/decide.ts';
import { describeDecision, type Names } from '../policy/explain.ts';
import { type ClassId, type DocumentId, documentId, type PrincipalId } from '../policy/ids.ts';
import { dominates, joinLabels, type Label, type LabelScheme } from '../policy/label.ts';
import type { Subject } from '../policy/subject.ts';
import { classesAbove, type StoredClass } from '../store/access-classes.ts';
import { type Authority, authorize, type CallerIdentity } from '../store/authority.ts';
import { type DocumentPlace, findDocumentPlace } from '../store/document-access.ts';
import { Principals } from '../store/principals.ts';
import { newlyIssued } from '../store/revocable.ts';
import { requireCredentialRight, rightsOn } from '../store/rights.ts';
import { untilSettled } from '../store/until-settled.ts';
import { type AdminCaller, type AdminParts, byWhom } from './change.ts';
import { lookupIn } from './own-reach.ts';
import { isUuid, noDocument, readerView } from './reach.ts';
import { withoutSafeguards } from './separation-of-duties.ts';

export interface ExplainParts extends AdminParts {
  readonly redaction: RedactionPolicy;
}

export interface Question {
  /** A document's id; anything else is a document that does not exist. */
  readonly document: string;
  /** A user or a service in text form; absent is the caller. */
  readonly subject?: string | undefined;
  /** A service acting for the subject. Absent: whoever acts for the caller, when asked about the caller. */
  readonly actor?: string | undefined;
}

export interface Explanation {
  readonly decision: Decision['kind'];
  /** Of a `deny`. */
  readonly reason?: DenyReason | 'account-disabled';
  /** `null` when the document has none, and then nobody may read it. */
  readonly label: { readonly level: string; readonly compartments: readonly string[] } | null;
  /** Sentences for a person, without a word of the document. */
  readonly steps: readonly string[];
}

/**
 * Explains the decision, after it was recorded who was told.
 * @throws BulkheadError `not_found` for a document that does not exist and for every question that the caller may
 *   not ask; `insufficient_scope`, `audit_unavailable`, `redaction_failed`
 */
export function explain(parts: ExplainParts, caller: AdminCaller, question: Question): Promise<Explanation> {
  return untilSettled(() => explainOnce(parts, caller, question));
}

/** `undefined` when the policy or the document moved before it was recorded that somebody is told. */
async function explainOnce(
  parts: ExplainParts,
  { identity, requestId }: AdminCaller,
  question: Question,
): Promise<Explanation | undefined> {
  const authority = await authorize(parts.database, 'admin', parts.scheme, identity);
  requireCredentialRight(identity, 'read');
  if (!isUuid(question.document)) throw noDocument();
  const document = documentId(question.document);
  const place = await parts.database.unitOfWork('admin', authority.context, (trx) =>
    findDocumentPlace(trx, document),
  );
  if (place === undefined) throw noDocument();
  const isAboutCaller = question.actor === undefined && (question.subject ?? identity.user) === identity.user;
  const explanation = isAboutCaller
    ? await explainToReader(parts, authority, place)
    : await explainToOverseer(parts, authority, identity, { ...question, document });
  const body = {
    ...byWhom(authority, requestId),
    document,
    about: question.subject ?? identity.user,
    aboutActor: isAboutCaller ? (identity.actor ?? null) : (question.actor ?? null),
    decision: explanation.decision,
  };
  const { status } = await parts.audit.appendGuardedEvent(authority.subject.tenant, 'explained', body, {
    ...authority.epoch,
    revocable: authority.revocable,
    documents: [[document, place.class, place.version]],
  });
  return status === 'moved' ? undefined : explanation;
}

/** The reader's own entries only take part, so nothing about others is in the trace. */
async function explainToReader(
  parts: ExplainParts,
  authority: Authority,
  place: DocumentPlace,
): Promise<Explanation> {
  const view = await readerView(parts, authority, place);
  if (view === undefined) throw noDocument();
  const { decision, classes } = view;
  return describe(
    parts,
    decision,
    await namesFor(parts, authority, authority.subject, decision, pathsOf(classes), true),
  );
}

async function explainToOverseer(
  parts: ExplainParts,
  authority: Authority,
  identity: CallerIdentity,
  question: Question & { readonly document: DocumentId },
): Promise<Explanation> {
  const { cls, classes } = await overseen(parts, authority, question.document);
  const subjectKey = question.subject ?? identity.user;
  const about = await subjectOf(parts, identity, subjectKey, question.actor);
  if (about === 'disabled') return disabled(parts, classes);
  const scheme = withoutSafeguards(parts.scheme);
  const decision = decide({
    subject: about,
    class: cls,
    lookup: lookupIn(classes),
    scheme,
    now: authority.now,
  });
  const names = await namesFor(parts, authority, about, decision, pathsOf(classes), false);
  const { steps, ...rest } = describe(parts, decision, names);
  return { ...rest, steps: [...steps, ASSUMPTION] };
}

const ASSUMPTION =
  'This assumes the strongest and freshest sign-in, and counts no group that only their token would name.';

/**
 * The document's classes, for somebody who holds `audit` on its container and one clearance that alone covers its
 * label, is signed in strongly enough for it, and is kept from it by no acting service's limits.
 */
async function overseen(
  { database }: ExplainParts,
  { subject, context, now }: Authority,
  document: DocumentId,
): Promise<{ cls: ClassId; classes: ReadonlyMap<ClassId, StoredClass> }> {
  const found = await database.unitOfWork('admin', context, async (trx) => {
    const place = await findDocumentPlace(trx, document);
    if (place === undefined || !(await rightsOn(trx, place.container)).has('audit')) return undefined;
    return { cls: place.class, classes: await classesAbove(trx, place.class) };
  });
  const label = found && labelOf(found.classes);
  if (found === undefined || label === undefined) throw noDocument();
  const isCleared = dominatingClearance(subject.user.clearances, label, now) !== undefined;
  const ceiling = subject.actor?.ceiling;
  const isAdmitted = subject.actor === undefined || (ceiling !== undefined && dominates(ceiling, label));
  if (!isCleared || !isAdmitted || label.rank > context.maxRank) throw noDocument();
  return found;
}

/** What is no account has no credentials either, which counts as revoked ones. */
const NO_ACCOUNT: ReadonlySet<ErrorCode> = new Set(['subject_unknown', 'credential_revoked']);

/** The subject as it would be now, by the directory alone. An unknown one is no different from a missing document. */
async function subjectOf(
  { database, scheme }: ExplainParts,
  { tenant }: CallerIdentity,
  user: string,
  actor: string | undefined,
): Promise<Subject | 'disabled'> {
  try {
    const revocable = newlyIssued([user, actor]);
    const identity = { tenant, user, actor, tokenGroups: [], acr: undefined, authTime: undefined, revocable };
    return (await authorize(database, 'admin', scheme, identity)).subject;
  } catch (error) {
    if (isBulkheadError(error) && error.code === 'subject_disabled') return 'disabled';
    if (isBulkheadError(error) && NO_ACCOUNT.has(error.code)) throw noDocument();
    throw error;
  }
}

function disabled(parts: ExplainParts, classes: ReadonlyMap<ClassId, StoredClass>): Explanation {
  const label = labelOf(classes);
  return {
    decision: 'deny',
    reason: 'account-disabled',
    label: label === undefined ? null : labelView(parts.scheme, label),
    steps: ['The account, or the service acting for it, is disabled and may read nothing.'],
  };
}

function describe(parts: ExplainParts, decision: Decision, names: Names): Explanation {
  const { label } = decision.trace;
  // folder and group names are written by people: what a level keeps out of texts is kept out of them
  const kinds = parts.redaction.shownWithout(label?.rank ?? Number.POSITIVE_INFINITY);
  return {
    decision: decision.kind,
    ...(decision.kind === 'deny' && { reason: decision.reason }),
    label: label === undefined ? null : labelView(parts.scheme, label),
    steps: describeDecision(decision, names).map((step) => redact(step, kinds).text),
  };
}

/** Container paths by class; `undefined` for the interned class of single documents. */
type Paths = ReadonlyMap<ClassId, string | undefined>;

function pathsOf(classes: ReadonlyMap<ClassId, StoredClass>): Paths {
  return new Map([...classes].map(([id, { path }]) => [id, path]));
}

/** Looks up only the names that the trace will use. */
async function namesFor(
  { database, scheme }: ExplainParts,
  { context }: Authority,
  { user, actor }: Subject,
  { trace }: Decision,
  paths: Paths,
  isReader: boolean,
): Promise<Names> {
  const used = [
    user.principal,
    actor?.principal,
    trace.clearance?.principal,
    trace.allow?.entry.principal,
    trace.deny?.entry.principal,
  ];
  const rows = await database.unitOfWork('admin', context, (trx) =>
    Principals.within(trx).byIds(used.filter((id): id is PrincipalId => id !== undefined)),
  );
  const byId = new Map(rows.map((row) => [row.id, row]));
  const nameOf = (id: PrincipalId) => byId.get(id)?.displayName ?? 'somebody';
  return {
    subject: user.principal,
    name: isReader ? undefined : nameOf(user.principal),
    actor: actor && nameOf(actor.principal),
    principal: (id) => (byId.get(id)?.kind === 'group' ? `the group ${nameOf(id)}` : nameOf(id)),
    place: (id) => (paths.get(id) === undefined ? 'The document itself' : `The folder ${paths.get(id)}`),
    level: (rank) => scheme.levels[rank]?.name ?? 'unknown',
  };
}

function labelOf(classes: ReadonlyMap<ClassId, AccessClass>): Label | undefined {
  return joinLabels([...classes.values()].map((cls) => cls.label));
}

function labelView(scheme: LabelScheme, { rank, compartments }: Label) {
  return { level: scheme.levels[rank]?.name ?? 'unknown', compartments: [...compartments].sort() };
}
