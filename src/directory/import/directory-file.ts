/** What a file of a directory says, whatever its form. Ids are the source's own, without a principal's prefix. */
import { BulkheadError, type FieldIssue } from '../../errors.ts';

export interface FileAccount {
  readonly id: string;
  readonly displayName: string;
  readonly email: string | undefined;
  /** Absent: the file does not say, and what was decided of the account stands. */
  readonly active: boolean | undefined;
}

export interface FileGroup {
  readonly id: string;
  readonly displayName: string;
}

export interface FileMembership {
  readonly group: string;
  readonly kind: 'user' | 'group';
  readonly member: string;
}

export interface DirectoryFile {
  readonly accounts: readonly FileAccount[];
  readonly groups: readonly FileGroup[];
  readonly memberships: readonly FileMembership[];
}

const MOST_SHOWN = 20;

/**
 * Refuses a file that contradicts itself: an id twice, or a membership in or of what is not in it. A member that is
 * skipped would be missing from a group that is denied something.
 * @throws BulkheadError `invalid_request`
 */
export function checkFile(file: DirectoryFile): DirectoryFile {
  const users = new Set(file.accounts.map(({ id }) => id));
  const groups = new Set(file.groups.map(({ id }) => id));
  const issues: FieldIssue[] = [
    ...repeated(file.accounts).map((id) => ({ path: `user ${id}`, message: 'is there twice' })),
    ...repeated(file.groups).map((id) => ({ path: `group ${id}`, message: 'is there twice' })),
    ...file.memberships.flatMap(({ group, kind, member }) => [
      ...(groups.has(group) ? [] : [{ path: `group ${group}`, message: 'has members and is not there' }]),
      ...((kind === 'user' ? users : groups).has(member)
        ? []
        : [{ path: `${kind} ${member}`, message: `is in the group ${group} and is not there` }]),
    ]),
  ];
  if (issues.length > 0) throw badFile(issues);
  return file;
}

function repeated(records: readonly { readonly id: string }[]): readonly string[] {
  const seen = new Set<string>();
  return records.flatMap(({ id }) => {
    if (seen.has(id)) return [id];
    seen.add(id);
    return [];
  });
}

export function badFile(issues: readonly FieldIssue[]): BulkheadError {
  const [first] = issues;
  const more = issues.length > 1 ? ` There are ${issues.length - 1} more problems.` : '';
  return new BulkheadError(
    'invalid_request',
    `The file cannot be imported: ${first?.path.slice(0, 200)} ${first?.message}.${more}`,
    { issues: issues.slice(0, MOST_SHOWN) },
  );
}
