/** What an import would change: the file against what the source has now. */
import { parsePrincipal } from '../../policy/principal.ts';
import type { SourceContent } from '../../store/directory-sources.ts';
import { badFile, type DirectoryFile, type FileAccount } from './directory-file.ts';

interface Account {
  readonly key: string;
  readonly displayName: string;
  readonly email: string | undefined;
  readonly active: boolean;
}

interface Group {
  readonly key: string;
  readonly displayName: string;
}

export interface Pair {
  readonly group: string;
  readonly member: string;
}

export interface ImportPlan {
  readonly accounts: {
    readonly added: readonly Account[];
    readonly changed: readonly Account[];
    /** Refused from now on: the file says so, or has them no longer. */
    readonly disabled: readonly Account[];
    readonly enabled: readonly Account[];
    /** Those of the disabled that the file has no longer: they leave every group. */
    readonly missing: readonly string[];
  };
  readonly groups: {
    readonly added: readonly Group[];
    readonly changed: readonly Group[];
    /** The file has them no longer: nobody is in them any more. */
    readonly removed: readonly string[];
  };
  readonly memberships: { readonly added: readonly Pair[]; readonly removed: readonly Pair[] };
}

export interface Naming {
  readonly source: string;
  readonly issuer: string;
}

/**
 * A group that the file has gets the members that the file says. What it has not at all goes only when told so.
 * @throws BulkheadError `invalid_request` for an id that no principal can have
 */
export function planImport(
  file: DirectoryFile,
  now: SourceContent,
  naming: Naming,
  removeMissing: boolean,
): ImportPlan {
  const wanted = named(file, naming);
  const accounts = planAccounts(decided(wanted.accounts, now.accounts), now.accounts, removeMissing);
  const groups = planGroups(wanted.groups, now.groups, removeMissing);
  return {
    accounts,
    groups,
    memberships: planMemberships(wanted, now, new Set([...accounts.missing, ...groups.removed])),
  };
}

interface Named {
  readonly accounts: readonly (Omit<Account, 'active'> & Pick<FileAccount, 'active'>)[];
  readonly groups: readonly Group[];
  readonly memberships: readonly Pair[];
}

function named({ accounts, groups, memberships }: DirectoryFile, { source, issuer }: Naming): Named {
  const user = (id: string) => principal(`user:${issuer}|${id}`, id);
  const group = (id: string) => principal(`group:${source}|${id}`, id);
  return {
    accounts: accounts.map(({ id, ...rest }) => ({ key: user(id), ...rest })),
    groups: groups.map(({ id, ...rest }) => ({ key: group(id), ...rest })),
    memberships: memberships.map((each) => ({
      group: group(each.group),
      member: each.kind === 'user' ? user(each.member) : group(each.member),
    })),
  };
}

function principal(key: string, id: string): string {
  if (parsePrincipal(key) === undefined)
    throw badFile([
      {
        path: `"${id.slice(0, 60)}"`,
        message: 'cannot be an id: it is too long, or has a bar or a control character',
      },
    ]);
  return key;
}

/** Where the file says nothing of an account's state, what was decided here stands; a new account is active. */
function decided(wanted: Named['accounts'], now: SourceContent['accounts']): readonly Account[] {
  const held = new Map(now.map(({ key, active }) => [key, active]));
  return wanted.map((account) => ({ ...account, active: account.active ?? held.get(account.key) ?? true }));
}

function planAccounts(
  wanted: readonly Account[],
  now: SourceContent['accounts'],
  removeMissing: boolean,
): ImportPlan['accounts'] {
  const held = new Map(now.map((account) => [account.key, account]));
  const keys = new Set(wanted.map(({ key }) => key));
  const gone = removeMissing ? now.filter(({ key, active }) => active && !keys.has(key)) : [];
  const wasActive = ({ key }: Account) => held.get(key)?.active;
  return {
    added: wanted.filter(({ key }) => !held.has(key)),
    changed: wanted.filter((account) => {
      const old = held.get(account.key);
      return (
        old !== undefined &&
        (old.displayName !== account.displayName || old.email !== (account.email ?? null))
      );
    }),
    disabled: [
      ...wanted.filter((account) => wasActive(account) === true && !account.active),
      ...gone.map((account) => ({ ...account, email: account.email ?? undefined, active: false })),
    ],
    enabled: wanted.filter((account) => wasActive(account) === false && account.active),
    missing: gone.map(({ key }) => key),
  };
}

function planGroups(
  wanted: readonly Group[],
  now: SourceContent['groups'],
  removeMissing: boolean,
): ImportPlan['groups'] {
  const held = new Map(now.map((group) => [group.key, group.displayName]));
  const keys = new Set(wanted.map(({ key }) => key));
  return {
    added: wanted.filter(({ key }) => !held.has(key)),
    changed: wanted.filter(({ key, displayName }) => held.has(key) && held.get(key) !== displayName),
    removed: removeMissing ? now.filter(({ key }) => !keys.has(key)).map(({ key }) => key) : [],
  };
}

function planMemberships(
  wanted: Named,
  now: SourceContent,
  gone: ReadonlySet<string>,
): ImportPlan['memberships'] {
  const groups = new Set(wanted.groups.map(({ key }) => key));
  const text = ({ group, member }: Pair) => JSON.stringify([group, member]);
  const [held, asked] = [new Set(now.memberships.map(text)), new Set(wanted.memberships.map(text))];
  return {
    added: wanted.memberships.filter((pair) => !held.has(text(pair))),
    removed: now.memberships.filter(
      (pair) =>
        gone.has(pair.group) || gone.has(pair.member) || (groups.has(pair.group) && !asked.has(text(pair))),
    ),
  };
}
