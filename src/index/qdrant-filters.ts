/** Which points a request may touch. Every search names the tenant and the visible classes. */
import type { Schemas } from '@qdrant/js-client-rest';
import { BulkheadError } from '../errors.ts';
import type { ChunkId, DocumentId, TenantId } from '../policy/ids.ts';
import { classesIn, type VisibilityFilter } from '../policy/visibility-filter.ts';
import type { FilterForm } from './planner.ts';
import type { SearchTarget, VisibleClasses } from './vector-index.ts';

type Filter = Schemas['Filter'];
type Condition = Schemas['FieldCondition'] | Filter;

/** Where no plan says otherwise; more ranges cost more than a list of ids (docs/decisions). */
const MOST_RANGES = 100;
/** That cost less than any list of ids: exact search with 100 ranges took 54 ms where a list took 6. */
const FEW_RANGES = 8;

export function tenantFilter(tenant: TenantId): { must: Condition[] } {
  return { must: [ofTenant(tenant)] };
}

/** @throws BulkheadError as `requireClasses` does */
export function visibleFilter(tenant: TenantId, visible: VisibleClasses): { must: Condition[] } {
  requireClasses(visible);
  const form = visible.ranges.length <= MOST_RANGES ? 'ranges' : 'any';
  return { must: [ofTenant(tenant), ofClasses(visible, form)] };
}

/**
 * What a search may touch, in JSON.
 * @throws BulkheadError as `requireClasses` does
 */
export function searchFilterText(request: SearchTarget, form: FilterForm): string {
  const { tenant, visible, span, documents } = request;
  requireClasses(visible);
  const most = form === 'ranges' ? visible.ranges.length : FEW_RANGES;
  const classes =
    span !== undefined && span.ranges.length <= most
      ? classesText(span, 'ranges')
      : classesText(visible, form);
  const must = [JSON.stringify(ofTenant(tenant)), classes];
  if (documents !== undefined) must.push(JSON.stringify({ key: 'document', match: { any: documents } }));
  return `{"must":[${must.join()}]}`;
}

/** @param before only points of older versions */
export function documentFilter(tenant: TenantId, document: DocumentId, before?: number): Filter {
  const must: Condition[] = [ofTenant(tenant), { key: 'document', match: { value: document } }];
  if (before !== undefined) must.push({ key: 'version', range: { lt: before } });
  return { must };
}

export function chunksFilter(tenant: TenantId, chunks: readonly ChunkId[]): Filter {
  return { must: [ofTenant(tenant), { has_id: [...chunks] }] };
}

/** @throws BulkheadError `internal` for `nothing`, which the type excludes: a search without classes is never made */
export function requireClasses(visible: VisibilityFilter): void {
  if (visible.kind === 'nothing' || visible.ranges.length === 0)
    throw new BulkheadError('internal', 'A search was asked for a caller who may read nothing.');
}

function ofTenant(tenant: TenantId): Condition {
  return { key: 'tenant', match: { value: String(tenant) } };
}

const written: Readonly<Record<FilterForm, WeakMap<VisibleClasses, string>>> = {
  ranges: new WeakMap(),
  any: new WeakMap(),
};

/** Written once for each set: callers keep theirs from search to search, and ten thousand ids take milliseconds. */
function classesText(visible: VisibleClasses, form: FilterForm): string {
  const known = written[form].get(visible);
  if (known !== undefined) return known;
  const text = JSON.stringify(ofClasses(visible, form));
  written[form].set(visible, text);
  return text;
}

function ofClasses(visible: VisibleClasses, form: FilterForm): Condition {
  return form === 'ranges' ? inRanges(visible) : inList(visible);
}

function inRanges({ ranges }: VisibleClasses): Condition {
  const conditions = ranges.map(({ from, to }) => ({ key: 'class', range: { gte: from, lte: to } }));
  const [only] = conditions;
  return conditions.length === 1 && only !== undefined ? only : { should: conditions };
}

function inList(visible: VisibleClasses): Condition {
  return { key: 'class', match: { any: [...classesIn(visible)] } };
}
