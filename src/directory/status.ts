import type { AdminCaller, AdminParts } from '../admin/change.ts';
import { requireDirectoryRight } from '../admin/reach.ts';
import { authorize } from '../store/authority.ts';
import { type SourceStatus, sourceStatus } from '../store/directory-sources.ts';

/**
 * How old each source of the tenant is, and what it has. Needs `administer` at the root.
 * @throws BulkheadError `right_missing`
 */
export async function directoryStatus(
  parts: AdminParts,
  { identity }: AdminCaller,
): Promise<readonly SourceStatus[]> {
  const authority = await authorize(parts.database, 'admin', parts.scheme, identity);
  await requireDirectoryRight(parts, authority);
  return parts.database.unitOfWork('admin', authority.context, sourceStatus);
}
