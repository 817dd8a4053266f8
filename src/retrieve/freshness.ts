import { createHash } from 'node:crypto';
import type { VisibilityFilter } from '../policy/visibility-filter.ts';
import type { Authority } from '../store/authority.ts';

/** How far behind the index is, in steps too coarse to tell of one document. */
export type IndexLag = 'current' | 'minutes' | 'hours';

export interface Freshness {
  /** Changes when, and only when, what this caller may see changes. */
  readonly policy: string;
  /** When the caller's directory source was last known current; `null` = never. */
  readonly directory_as_of: string | null;
  readonly index: IndexLag;
}

export function freshness(authority: Authority, visible: VisibilityFilter, index: IndexLag): Freshness {
  const { directoryAsOf } = authority.subject.user.assurance;
  return {
    policy: policyVersion(visible),
    directory_as_of: directoryAsOf === 0 ? null : new Date(directoryAsOf).toISOString(),
    index,
  };
}

/** Derived from the caller's own visible set: the tenant's epoch would tell of changes elsewhere. */
function policyVersion(visible: VisibilityFilter): string {
  const hash = createHash('sha256');
  if (visible.kind === 'classes') for (const { from, to } of visible.ranges) hash.update(`${from}-${to};`);
  return hash.digest('hex').slice(0, 16);
}
