/** Accounts and groups. The directory is administered at the root. */
import { BulkheadError } from '../errors.ts';
import { parsePrincipal } from '../policy/principal.ts';
import { authorize } from '../store/authority.ts';
import { Directory, type PrincipalRow } from '../store/directory.ts';
import { type CeilingRow, type ClearanceRow, type MembershipRow, Principals } from '../store/principals.ts';
import {
  type BindingRow,
  bindingsOf,
  grantsAnywhere,
  rightMissing,
  rightsOn,
  rootContainer,
} from '../store/rights.ts';
import { type AdminCaller, type AdminParts, type Changer, makeChange, type Outcome } from './change.ts';
import { type Page, type PageRequest, pageOf } from './containers.ts';
import { invalid } from './input.ts';
import { requireDirectoryRight } from './reach.ts';

export interface PrincipalView {
  readonly principal: string;
  readonly kind: 'user' | 'group' | 'service' | 'everyone';
  readonly displayName: string;
  readonly status: 'active' | 'disabled';
}

/**
 * By key: those whose key or display name begins with the prefix. For whoever administers the directory or may
 * grant somewhere.
 * @throws BulkheadError `right_missing`
 */
export async function listPrincipals(
  { database, scheme }: AdminParts,
  { identity }: AdminCaller,
  { prefix, cursor, limit }: PageRequest & { readonly prefix?: string | undefined },
): Promise<Page<PrincipalView>> {
  const { context } = await authorize(database, 'admin', scheme, identity);
  const rows = await database.unitOfWork('admin', context, async (trx) => {
    const rights = await rightsOn(trx, await rootContainer(trx));
    if (!rights.has('administer') && !(await grantsAnywhere(trx))) throw rightMissing('administer', '/');
    return Principals.within(trx).list(prefix ?? '', cursor ?? '', limit + 1);
  });
  const { items, next } = pageOf(rows, limit, ({ key }) => key);
  return { items: items.map(viewOf), next };
}

export interface PrincipalDetail extends PrincipalView {
  readonly members: readonly MembershipRow[];
  readonly clearances: readonly ClearanceRow[];
  readonly rights: readonly BindingRow[];
  readonly ceiling: CeilingRow | undefined;
}

/**
 * What a principal holds. For whoever administers the directory.
 * @throws BulkheadError `right_missing`, `not_found`
 */
export async function getPrincipal(
  parts: AdminParts,
  { identity }: AdminCaller,
  key: string,
): Promise<PrincipalDetail> {
  const authority = await authorize(parts.database, 'admin', parts.scheme, identity);
  await requireDirectoryRight(parts, authority);
  return parts.database.unitOfWork('admin', authority.context, async (trx) => {
    const principals = Principals.within(trx);
    const row = await principals.find(key);
    if (row === undefined) throw noPrincipal();
    return {
      ...viewOf(row),
      members: await principals.membersOf(key),
      clearances: await principals.clearancesOf(key),
      rights: await bindingsOf(trx, key),
      ceiling: await principals.ceilingOf(key),
    };
  });
}

function viewOf({ key, kind, displayName, status }: PrincipalRow): PrincipalView {
  return { principal: key, kind, displayName, status };
}

export interface NewPrincipal {
  /** Text form; its kind says what is made. The issuer is the directory source. */
  readonly principal: string;
  readonly displayName: string;
  readonly email?: string | undefined;
}

type Creatable = 'user' | 'group' | 'service';

/** @throws BulkheadError `right_missing`, `invalid_request`, `conflict` */
export const createUser = (parts: AdminParts, caller: AdminCaller, user: NewPrincipal): Promise<void> =>
  create(parts, caller, 'user', user);

/** @throws BulkheadError `right_missing`, `invalid_request`, `conflict` */
export const createService = (parts: AdminParts, caller: AdminCaller, service: NewPrincipal): Promise<void> =>
  create(parts, caller, 'service', service);

/** A group without members. @throws BulkheadError `right_missing`, `invalid_request`, `conflict` */
export const createGroup = (parts: AdminParts, caller: AdminCaller, group: NewPrincipal): Promise<void> =>
  create(parts, caller, 'group', group);

async function create(
  parts: AdminParts,
  caller: AdminCaller,
  kind: Creatable,
  created: NewPrincipal,
): Promise<void> {
  const parsed = parsePrincipal(created.principal);
  if (parsed?.kind !== kind) throw invalid('principal', `must be ${kind}:<issuer>|<id>`);
  if (created.displayName.trim() === '') throw invalid('display_name', 'must not be empty');
  await makeChange(parts, caller, {
    operation: `create${kind.charAt(0).toUpperCase()}${kind.slice(1)}`,
    locate: (authority) => requireDirectoryRight(parts, authority),
    apply: async (changer) => {
      if ((await Principals.within(changer.trx).find(created.principal)) !== undefined)
        throw new BulkheadError('conflict', `The directory has ${created.principal} already.`);
      return kind === 'group' ? addGroup(changer, created) : addAccount(changer, created, parsed.issuer);
    },
  });
}

async function addGroup(
  { trx, authority, by }: Changer,
  { principal, displayName }: NewPrincipal,
): Promise<Outcome<void>> {
  await Directory.within(trx).upsertGroups([{ principal, displayName }]);
  const { tenant } = authority.subject;
  return { result: undefined, events: [{ tenant, kind: 'group.created', body: { ...by, principal } }] };
}

/** The source's age is left alone: one account made by hand says nothing about how current the others are. */
async function addAccount(
  { trx, authority, by }: Changer,
  { principal, displayName, email }: NewPrincipal,
  source: string,
): Promise<Outcome<void>> {
  await Directory.within(trx).upsertAccounts([{ principal, source, displayName, email, status: 'active' }]);
  const { tenant } = authority.subject;
  return {
    result: undefined,
    events: [{ tenant, kind: 'account.created', body: { ...by, principal, source } }],
  };
}

/** The account is refused from now on. @throws BulkheadError `right_missing`, `not_found` */
export const disableAccount = (parts: AdminParts, caller: AdminCaller, account: string): Promise<void> =>
  setStatus(parts, caller, account, 'disabled');

/** @throws BulkheadError `right_missing`, `not_found` */
export const enableAccount = (parts: AdminParts, caller: AdminCaller, account: string): Promise<void> =>
  setStatus(parts, caller, account, 'active');

async function setStatus(
  parts: AdminParts,
  caller: AdminCaller,
  principal: string,
  status: 'active' | 'disabled',
): Promise<void> {
  await makeChange(parts, caller, {
    operation: status === 'active' ? 'enableAccount' : 'disableAccount',
    locate: (authority) => requireDirectoryRight(parts, authority),
    apply: async ({ trx, authority, by }): Promise<Outcome<void>> => {
      const principals = Principals.within(trx);
      const before = (await principals.find(principal))?.status ?? 'active';
      if (!(await principals.setStatus(principal, status))) throw noPrincipal();
      const body = { ...by, principal, status, before };
      return {
        result: undefined,
        events: [{ tenant: authority.subject.tenant, kind: 'account.changed', body }],
      };
    },
  });
}

function noPrincipal(): BulkheadError {
  return new BulkheadError('not_found', 'There is no such account or group.');
}
