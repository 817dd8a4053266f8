/**
 * A directory as CSV (RFC 4180), UTF-8, with a header:
 *
 *   kind,id,display_name,email,active,groups
 *   group,eng,Engineering,,,
 *   user,7f3a,Ada Byron,ada@example.org,true,eng;all
 *   group,all,Everybody,,,
 *
 * `groups`: ids of the groups that hold the row's user or group, separated by semicolons. `active`: true, false, or empty,
 * which leaves an account as it is and makes a new one active; true enables one again that was disabled here. Columns may
 * come in any order, and others are not read.
 */
import { parse } from 'csv-parse/sync';
import type { FieldIssue } from '../../errors.ts';
import {
  badFile,
  checkFile,
  type DirectoryFile,
  type FileAccount,
  type FileGroup,
  type FileMembership,
} from './directory-file.ts';

const NEEDED = ['kind', 'id', 'display_name'] as const;

type Row = Readonly<Record<string, string>>;

/** @throws BulkheadError `invalid_request` naming what is wrong in which line */
export function readCsv(text: string): DirectoryFile {
  const accounts: FileAccount[] = [];
  const groups: FileGroup[] = [];
  const memberships: FileMembership[] = [];
  const issues: FieldIssue[] = [];
  rowsOf(text).forEach((row, i) => {
    const problem = problemOf(row);
    if (problem !== undefined) {
      issues.push({ path: `row ${i + 2}`, message: problem });
      return;
    }
    const { kind, id = '', display_name: displayName = '', email = '', active = '' } = row;
    if (kind === 'group') groups.push({ id, displayName });
    else
      accounts.push({
        id,
        displayName,
        email: email || undefined,
        active: active === '' ? undefined : active === 'true',
      });
    for (const group of groupsIn(row))
      memberships.push({ group, kind: kind === 'group' ? 'group' : 'user', member: id });
  });
  if (issues.length > 0) throw badFile(issues);
  return checkFile({ accounts, groups, memberships });
}

function rowsOf(text: string): readonly Row[] {
  try {
    return parse(text, {
      bom: true,
      columns: namesOf,
      skip_empty_lines: true,
      trim: true,
    }) as Row[];
  } catch (error) {
    const message = error instanceof Error ? error.message : 'is not CSV';
    throw badFile([{ path: 'the file', message: `is not CSV: ${message.slice(0, 200)}` }]);
  }
}

/** Of two columns of one name only one would be read, and it might be the one that says less. */
function namesOf(header: readonly string[]): string[] {
  const names = header.map((name) => name.trim().toLowerCase());
  const twice = names.find((name, i) => name !== '' && names.indexOf(name) < i);
  if (twice !== undefined) throw new Error(`the column "${twice}" is there twice`);
  return names;
}

function problemOf(row: Row): string | undefined {
  const missing = NEEDED.find((column) => !Object.hasOwn(row, column));
  if (missing !== undefined) return `has no column "${missing}"`;
  if (row.kind !== 'user' && row.kind !== 'group') return 'must be of kind user or group';
  if (row.id === '' || row.display_name === '') return 'needs an id and a display_name';
  if (!['', 'true', 'false', undefined].includes(row.active)) return 'must be active true or false';
  return undefined;
}

function groupsIn({ groups = '' }: Row): readonly string[] {
  const ids = groups.split(';').map((id) => id.trim());
  return [...new Set(ids.filter((id) => id !== ''))];
}
