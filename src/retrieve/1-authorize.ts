import type { StepUpNeed } from '../policy/decide.ts';
import type { DocumentId } from '../policy/ids.ts';
import { isSilent, type LabelScheme } from '../policy/label.ts';
import { narrow, type VisibilityFilter } from '../policy/visibility-filter.ts';
import type { Authority, CallerIdentity } from '../store/authority.ts';
import type { ClassCounts } from '../store/class-counts.ts';
import type { GivenClassIds } from '../store/class-ids.ts';
import type { Database } from '../store/database.ts';
import type { KnownCallers } from '../store/known-callers.ts';
import { type DocumentFilter, ReadableDocuments } from '../store/passages.ts';
import { requireCredentialRight } from '../store/rights.ts';
import { untilSettled } from '../store/until-settled.ts';
import { spanUnused } from './span.ts';
import type { Authorized, RetrieveFilters } from './stages.ts';
import { stepUpOf } from './step-up.ts';
import type { VisibleClasses, VisibleSets } from './visible-sets.ts';

export interface AuthorizeParts {
  readonly database: Database;
  readonly scheme: LabelScheme;
  readonly callers: KnownCallers;
  readonly visibleSets: VisibleSets;
  /** Absent where the index searches everything exactly and plans nothing. */
  readonly classCounts?: ClassCounts | undefined;
  /** Absent where the index does not filter by spans: they would be read for nothing. */
  readonly givenClassIds?: GivenClassIds | undefined;
}

/**
 * Stage 1: who asks, and what they may see now. One short round trip while nothing has moved since the caller was read.
 * @throws BulkheadError as `authorize` of the store does; `insufficient_scope`; `authority_moved` when the epoch will
 *   not stand still
 */
export async function authorizeQuery(
  parts: AuthorizeParts,
  identity: CallerIdentity,
  filters: RetrieveFilters,
): Promise<Authorized> {
  const { authority, classes, stepUp } = await currentAuthority(parts, identity);
  const readable = ReadableDocuments.as(parts.database, authority.context);
  const searched = await narrowClasses(readable, classes, filters);
  return {
    identity,
    authority,
    visible: classes.filter,
    ranks: classes.ranks,
    distinctRanks: classes.distinctRanks,
    searched,
    span: await spanOf(parts.givenClassIds, authority, searched),
    searchedChunks: parts.classCounts?.chunksOf(authority.subject.tenant, searched),
    exact: isSilent(parts.scheme, classes.distinctRanks),
    stepUp,
    documents: await narrowDocuments(readable, filters),
  };
}

/** The visible set is read after the authority; if the epoch moved in between, both are read again. */
function currentAuthority(
  parts: AuthorizeParts,
  identity: CallerIdentity,
): Promise<{ authority: Authority; classes: VisibleClasses; stepUp: StepUpNeed | null }> {
  return untilSettled(async () => {
    const authority = await parts.callers.authorize(parts, identity);
    requireCredentialRight(identity, 'read');
    const classes = await parts.visibleSets.of(authority);
    if (classes === undefined) return undefined;
    const stepUp = await stepUpOf(parts.visibleSets, parts.scheme, authority);
    return stepUp === undefined ? undefined : { authority, classes, stepUp };
  });
}

async function spanOf(
  ids: GivenClassIds | undefined,
  authority: Authority,
  searched: VisibilityFilter,
): Promise<VisibilityFilter> {
  if (ids === undefined || searched.kind === 'nothing' || searched.ranges.length === 1) return searched;
  return spanUnused(searched, await ids.of(authority));
}

/** An unknown container and a hidden one leave the same: nothing. */
async function narrowClasses(
  readable: ReadableDocuments,
  { filter, ranks }: VisibleClasses,
  { container, maxRank }: RetrieveFilters,
): Promise<VisibilityFilter> {
  if (filter.kind === 'nothing' || (container === undefined && maxRank === undefined)) return filter;
  const below = container === undefined ? undefined : new Set(await readable.classesBelow(container));
  return narrow(
    filter,
    (id) => (below?.has(id) ?? true) && (maxRank === undefined || (ranks.get(id) ?? maxRank + 1) <= maxRank),
  );
}

async function narrowDocuments(
  readable: ReadableDocuments,
  filters: RetrieveFilters,
): Promise<readonly DocumentId[] | undefined> {
  const filter = documentFilter(filters);
  return Object.values(filter).every((value) => value === undefined) ? undefined : readable.matching(filter);
}

/** The filters that only a document's own row can answer. */
export function documentFilter({ source, mediaType, from, until }: RetrieveFilters): DocumentFilter {
  return { source, mediaType, from, until };
}
