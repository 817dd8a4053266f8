/** Takes a directory over from a file: all of it in one transaction, or nothing. */
import { createHash } from 'node:crypto';
import { type AdminCaller, type AdminParts, type Changer, makeChange } from '../../admin/change.ts';
import { requireDirectoryRight } from '../../admin/reach.ts';
import { OwnRaise, ownPrincipals } from '../../admin/separation-of-duties.ts';
import type { AuditEvent } from '../../audit/audit-log.ts';
import { BulkheadError } from '../../errors.ts';
import { type Instant, instant } from '../../policy/ids.ts';
import { Directory } from '../../store/directory.ts';
import {
  accountsElsewhere,
  addMemberships,
  dropMemberships,
  dropMembershipsOf,
  readSource,
  type SourceContent,
} from '../../store/directory-sources.ts';
import { Principals } from '../../store/principals.ts';
import { Revocations } from '../../store/revocations.ts';
import type { DirectoryFile } from './directory-file.ts';
import { refuseCatastrophe } from './guard.ts';
import { type ImportPlan, type Naming, type Pair, planImport } from './plan.ts';
import { readCsv } from './read-csv.ts';
import { type LdifNames, readLdif } from './read-ldif.ts';
import { type ImportReport, reportOf } from './report.ts';

export interface ImportRequest extends Naming, LdifNames {
  readonly format: 'csv' | 'ldif';
  readonly content: string;
  /** Tells what would change, and changes nothing. */
  readonly dryRun: boolean;
  /** Accounts that the file has no longer are disabled, groups emptied. */
  readonly removeMissing: boolean;
  /** As many may go however many that is of all; by default a fifth of each kind. */
  readonly allowRemovals: number | undefined;
  /** When the file was current; now by default. Milliseconds since 1970. */
  readonly asOf: number | undefined;
}

export interface ImportParts extends AdminParts {
  /** Sources that a provisioning client keeps: two hands at one source would undo each other's work. */
  readonly provisioned: readonly { readonly tenant: string; readonly source: string }[];
}

/**
 * Needs `administer` at the root.
 * @throws BulkheadError `right_missing`; `invalid_request` for a file that is not one; `conflict` for accounts of another
 *   source, a source that a client provisions, and for more removals than go without saying so; `separation_of_duties`
 *   when it would change what groups its maker is in
 */
export function importDirectory(
  parts: ImportParts,
  caller: AdminCaller,
  request: ImportRequest,
): Promise<ImportReport> {
  const { source } = request;
  return makeChange(parts, caller, {
    operation: 'importDirectory',
    locate: async (authority) => {
      // before the file is looked at: it may be long
      await requireDirectoryRight(parts, authority);
      refuseProvisioned(parts, caller, source);
      return request.format === 'csv' ? readCsv(request.content) : readLdif(request.content, request);
    },
    apply: async (changer, file) => {
      const held = await readSource(changer.trx, source);
      const plan = planImport(file, held, request, request.removeMissing);
      await refuseForeign(changer, source, plan);
      const report = reportOf(plan);
      if (request.dryRun) return { result: report, events: [] };
      refuseCatastrophe(plan, held, request.allowRemovals);
      await refuseOwnMemberships(changer, plan);
      await write(changer, source, plan);
      await Directory.within(changer.trx).touchSource([source], asOf(request, changer.authority.now));
      return { result: report, events: eventsOf(changer, request, file, held, plan) };
    },
  });
}

function refuseProvisioned({ provisioned }: ImportParts, { identity }: AdminCaller, source: string): void {
  if (provisioned.some((each) => each.source === source && each.tenant === identity.tenant))
    throw new BulkheadError('conflict', `The source "${source}" is kept by a provisioning client.`);
}

/** A file from the future would make a directory current that nobody has looked at. */
function asOf({ asOf: given }: ImportRequest, now: Instant): Instant {
  if (given === undefined) return now;
  if (given > now) throw new BulkheadError('invalid_request', 'The file cannot be from the future.');
  return instant(given);
}

async function refuseForeign({ trx }: Changer, source: string, { accounts }: ImportPlan): Promise<void> {
  const foreign = await accountsElsewhere(
    trx,
    source,
    accounts.added.map(({ key }) => key),
  );
  if (foreign.length === 0) return;
  const [first] = foreign;
  throw new BulkheadError(
    'conflict',
    `Another source vouches for ${foreign.length} of these accounts, for example ${first}.`,
  );
}

/** As in admin/memberships.ts, and stricter: to leave a group may open what it was denied. */
async function refuseOwnMemberships(
  { trx, authority }: Changer,
  { accounts: { missing }, groups, memberships: { added, removed } }: ImportPlan,
): Promise<void> {
  const own = await ownPrincipals(trx, authority);
  const keys = new Set((await Principals.within(trx).byIds(own)).map(({ key }) => key));
  const mine = [...added, ...removed].find(({ member }) => keys.has(member));
  if (mine !== undefined) throw new OwnRaise('membership', mine.group);
  // what is in the file no longer leaves every group, those of other sources too
  const leaving = [...missing, ...groups.removed].find((key) => keys.has(key));
  if (leaving !== undefined) throw new OwnRaise('membership', leaving);
}

async function write({ trx }: Changer, source: string, plan: ImportPlan): Promise<void> {
  const { accounts, groups, memberships } = plan;
  const directory = Directory.within(trx);
  const written = [...accounts.added, ...accounts.changed, ...accounts.disabled, ...accounts.enabled];
  const distinct = new Map(written.map((account) => [account.key, account]));
  await directory.upsertAccounts(
    [...distinct.values()].map(({ key, displayName, email, active }) => ({
      principal: key,
      source,
      displayName,
      email,
      status: active ? 'active' : 'disabled',
    })),
  );
  await directory.upsertGroups(
    [...groups.added, ...groups.changed].map(({ key, displayName }) => ({ principal: key, displayName })),
  );
  await dropMemberships(trx, memberships.removed);
  // hand-made groups too: a key that comes back later finds no membership that lets it in
  await dropMembershipsOf(trx, source, [...accounts.missing, ...groups.removed]);
  await addMemberships(trx, memberships.added);
  const revocations = Revocations.within(trx);
  for (const { key } of accounts.disabled)
    await revocations.revoke({ kind: 'user', id: key.slice('user:'.length) }, 'disabled by its source', []);
}

/** Names in one record. */
const BATCH = 500;

function eventsOf(
  { authority, by }: Changer,
  { source, content }: ImportRequest,
  file: DirectoryFile,
  held: SourceContent,
  { accounts, groups, memberships }: ImportPlan,
): readonly AuditEvent[] {
  const { tenant } = authority.subject;
  const changed = (
    change: 'created' | 'changed' | 'enabled' | 'disabled' | 'deleted',
    keys: readonly string[],
  ) =>
    batches(keys).map(
      (principals): AuditEvent => ({
        tenant,
        kind: 'directory.principals',
        body: { ...by, source, change, principals },
      }),
    );
  const keysOf = (rows: readonly { readonly key: string }[]) => rows.map(({ key }) => key);
  const events = [
    ...changed('created', [...keysOf(accounts.added), ...keysOf(groups.added)]),
    ...changed('changed', [...keysOf(accounts.changed), ...keysOf(groups.changed)]),
    ...changed('enabled', keysOf(accounts.enabled)),
    ...changed('disabled', keysOf(accounts.disabled)),
    ...changed('deleted', groups.removed),
    ...memberEvents(tenant, by, source, memberships),
  ];
  const hash = createHash('sha256').update(content).digest('hex');
  const counts = { accounts: file.accounts.length, groups: file.groups.length, held: held.accounts.length };
  return [...events, { tenant, kind: 'directory.imported', body: { ...by, source, file: hash, ...counts } }];
}

function memberEvents(
  tenant: AuditEvent['tenant'],
  by: Changer['by'],
  source: string,
  { added, removed }: ImportPlan['memberships'],
): readonly AuditEvent[] {
  const groups = new Set([...added, ...removed].map(({ group }) => group));
  const [joining, leaving] = [byGroup(added), byGroup(removed)];
  return [...groups].flatMap((group) => {
    const [joined, left] = [joining, leaving].map((map) => batches(map.get(group) ?? []));
    const count = Math.max(joined?.length ?? 0, left?.length ?? 0);
    return Array.from(
      { length: count },
      (_, i): AuditEvent => ({
        tenant,
        kind: 'directory.members',
        body: { ...by, source, group, added: joined?.[i] ?? [], removed: left?.[i] ?? [] },
      }),
    );
  });
}

function byGroup(pairs: readonly Pair[]): ReadonlyMap<string, readonly string[]> {
  const members = new Map<string, string[]>();
  for (const { group, member } of pairs) {
    const list = members.get(group);
    if (list === undefined) members.set(group, [member]);
    else list.push(member);
  }
  return members;
}

function batches(keys: readonly string[]): readonly (readonly string[])[] {
  return Array.from({ length: Math.ceil(keys.length / BATCH) }, (_, i) =>
    keys.slice(i * BATCH, (i + 1) * BATCH),
  );
}
