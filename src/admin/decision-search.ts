/** Who may do this, what may they do it to, and what may they do: searches of the decision point, page by page. */
import type { ClassId } from '../policy/ids.ts';
import type { Authority } from '../store/authority.ts';
import type { Work } from '../store/database.ts';
import { accountsAfter, containersWithRight, documentsIn } from '../store/decision-search.ts';
import type { AdminCaller } from './change.ts';
import type { Inquiry, Place } from './decision-inquiry.ts';
import { afterDocument, afterNumber, afterText, type Page, tokenFor } from './decision-pages.ts';
import { type DecisionParts, type Evaluation, inquire, wordsOf } from './decision-point.ts';
import {
  actionsOn,
  type Deed,
  type Entity,
  idFrom,
  isSubjectType,
  meaningOf,
  principalOf,
  subjectEntity,
  targetOf,
} from './decision-vocabulary.ts';

export interface Found<T> {
  readonly results: readonly T[];
  /** Empty on the last page. */
  readonly nextToken: string;
}

/** What was found, and after which of it the next page begins; `undefined` on the last. */
interface Matches<T, A> {
  readonly found: readonly T[];
  readonly next: A | undefined;
}

/** Accounts looked at for one page: it may hold fewer than asked for and not be the last. */
const MAX_LOOKED_AT = 200;
const ACCOUNTS_AT_ONCE = 100;

/**
 * Subjects of a type that may do it, for whoever oversees the resource; anybody else finds themselves at most.
 * @throws BulkheadError as `evaluate` does; `invalid_request` for a token of another search
 */
export function searchSubjects(
  parts: DecisionParts,
  caller: AdminCaller,
  asked: Omit<Evaluation, 'subject'> & { readonly subjectType: string },
  page: Page,
): Promise<Found<Entity>> {
  const { action, resource, subjectType } = asked;
  const after = afterNumber(page, asked);
  return inquire(parts, caller, async (inquiry) => {
    const target = targetOf(parts.vocabulary, resource, action);
    const place = target && (await inquiry.place(target));
    const isOverseen = place !== undefined && (await inquiry.oversees(place.class));
    const { found, next } =
      target !== undefined && isOverseen && isSubjectType(subjectType)
        ? await accountsWhoMay(
            parts,
            inquiry,
            { kind: subjectType, place, deed: target.deed },
            after,
            page.limit,
          )
        : { found: await oneself(inquiry, caller, subjectType, target), next: undefined };
    return {
      answer: {
        results: found.flatMap((key) => subjectEntity(parts.vocabulary, key) ?? []),
        nextToken: tokenFor(next, page, asked),
      },
      places: place !== undefined && found.length > 0 ? [place] : [],
      record: recordOf('search/subject', { action, resource }, found),
    };
  });
}

async function accountsWhoMay(
  parts: DecisionParts,
  inquiry: Inquiry,
  { kind, place, deed }: { readonly kind: 'user' | 'service'; readonly place: Place; readonly deed: Deed },
  after: number,
  limit: number,
): Promise<Matches<string, number>> {
  const found: string[] = [];
  let at = after;
  for (let looked = 0; looked < MAX_LOOKED_AT; looked += ACCOUNTS_AT_ONCE) {
    const from = at;
    const accounts = await within(parts, inquiry.authority, (trx) =>
      accountsAfter(trx, kind, from, ACCOUNTS_AT_ONCE),
    );
    for (const { id, key } of accounts) {
      if (found.length === limit) return { found, next: at };
      at = id;
      const about = await inquiry.subject(key);
      if (about === undefined || about === 'disabled') continue;
      if ((await inquiry.finding(about, place, deed)).kind === 'allow') found.push(key);
    }
    if (accounts.length < ACCOUNTS_AT_ONCE) return { found, next: undefined };
  }
  return { found, next: at };
}

async function oneself(
  inquiry: Inquiry,
  { identity: { user } }: AdminCaller,
  type: string,
  target: ReturnType<typeof targetOf>,
): Promise<readonly string[]> {
  if (target === undefined || !user.startsWith(`${type}:`)) return [];
  return (await inquiry.ask(user, target)).kind === 'allow' ? [user] : [];
}

/**
 * Resources of a type to which the subject may do it, among those that the caller may know of.
 * @throws as `searchSubjects` does
 */
export function searchResources(
  parts: DecisionParts,
  caller: AdminCaller,
  asked: Omit<Evaluation, 'resource'> & { readonly resourceType: string },
  page: Page,
): Promise<Found<Entity>> {
  const { subject, action, resourceType } = asked;
  const isDocuments = resourceType === 'document';
  const afterId = isDocuments ? afterDocument(page, asked) : undefined;
  const afterPath = isDocuments ? '' : afterText(page, asked);
  return inquire(parts, caller, async (inquiry) => {
    const principal = principalOf(parts.vocabulary, subject);
    const { found, next } = isDocuments
      ? await documentsFor(parts, inquiry, action === 'read' ? principal : undefined, afterId, page.limit)
      : await containersFor(parts, inquiry, principal, { resourceType, action }, afterPath, page.limit);
    const ids = found.map(({ id }) => id);
    return {
      answer: {
        results: ids.map((id) => ({ type: resourceType, id })),
        nextToken: tokenFor(next, page, asked),
      },
      places: found.flatMap(({ place }) => place ?? []),
      record: recordOf('search/resource', { subject, action }, ids),
    };
  });
}

interface FoundResource {
  readonly id: string;
  readonly place?: Place;
}

async function documentsFor(
  parts: DecisionParts,
  inquiry: Inquiry,
  principal: string | undefined,
  after: ReturnType<typeof afterDocument>,
  limit: number,
): Promise<Matches<FoundResource, string>> {
  const classes = await classesFor(parts, inquiry, principal, 'read');
  const rows = await within(parts, inquiry.authority, (trx) => documentsIn(trx, classes, after, limit + 1));
  const found = rows.slice(0, limit).map(({ id, class: cls, version }): FoundResource => {
    return { id, place: { class: cls, document: [id, cls, version], isLive: true } };
  });
  return { found, next: rows.length > limit ? (found.at(-1)?.id ?? after) : undefined };
}

async function containersFor(
  parts: DecisionParts,
  inquiry: Inquiry,
  principal: string | undefined,
  { resourceType, action }: { readonly resourceType: string; readonly action: string },
  after: string,
  limit: number,
): Promise<Matches<FoundResource, string>> {
  const meaning = meaningOf(parts.vocabulary, resourceType, action);
  if (meaning === undefined) return { found: [], next: undefined };
  const classes = await classesFor(parts, inquiry, principal, meaning.right);
  const ids = classes
    .flatMap((id) => inquiry.pathOf(id) ?? [])
    .flatMap((path) => idFrom(meaning.container, path) ?? [])
    .filter((id) => id > after)
    .sort();
  const found = ids.slice(0, limit).map((id): FoundResource => ({ id }));
  return { found, next: ids.length > limit ? (found.at(-1)?.id ?? after) : undefined };
}

/** The classes on which the subject may do it and of which the caller may know that, loaded. */
async function classesFor(
  parts: DecisionParts,
  inquiry: Inquiry,
  principal: string | undefined,
  deed: Deed,
): Promise<readonly ClassId[]> {
  const about = principal === undefined ? undefined : await inquiry.subject(principal);
  if (principal === undefined || about === undefined || about === 'disabled') return [];
  const candidates =
    deed === 'read'
      ? [...(await inquiry.visible(about)).keys()]
      : await within(parts, about, (trx) => containersWithRight(trx, deed));
  if (inquiry.isCaller(principal)) await inquiry.load(candidates);
  const known = inquiry.isCaller(principal) ? candidates : [...(await inquiry.overseen(candidates))];
  return deed === 'read' ? known.filter((id) => inquiry.decide(about, id).kind === 'allow') : known;
}

/**
 * What the subject may do to the resource, of what the caller may know.
 * @throws as `searchSubjects` does
 */
export function searchActions(
  parts: DecisionParts,
  caller: AdminCaller,
  asked: Omit<Evaluation, 'action'>,
  page: Page,
): Promise<Found<string>> {
  const { subject, resource } = asked;
  const after = afterNumber(page, asked);
  return inquire(parts, caller, async (inquiry) => {
    const principal = principalOf(parts.vocabulary, subject);
    const actions: string[] = [];
    const places: Place[] = [];
    for (const action of principal === undefined ? [] : actionsOn(parts.vocabulary, resource.type)) {
      const target = targetOf(parts.vocabulary, resource, action);
      if (principal === undefined || target === undefined) continue;
      if ((await inquiry.ask(principal, target)).kind !== 'allow') continue;
      actions.push(action);
      places.push((await inquiry.place(target)) as Place);
    }
    const found = actions.slice(after, after + page.limit);
    const next = actions.length > after + page.limit ? after + page.limit : undefined;
    return {
      answer: { results: found, nextToken: tokenFor(next, page, asked) },
      places,
      record: recordOf('search/action', { subject, resource }, found),
    };
  });
}

function recordOf(
  endpoint: 'search/subject' | 'search/resource' | 'search/action',
  asked: Parameters<typeof wordsOf>[0],
  found: readonly string[],
) {
  return { endpoint, asked: [{ ...wordsOf(asked), decision: null }], found };
}

function within<T>(parts: DecisionParts, about: Authority, work: (trx: Work) => Promise<T>): Promise<T> {
  return parts.database.unitOfWork('admin', about.context, work);
}
