/**
 * Keys of services. Whoever makes one sees it, and can act as its service from then on: a key therefore never reads or
 * does more than its maker could, and its service counts as its maker's own while the key works.
 */
import { BulkheadError } from '../errors.ts';
import { type ApiKeyRow, ApiKeys, KEY_ISSUER } from '../store/api-keys.ts';
import { type Authority, authorize } from '../store/authority.ts';
import { Directory } from '../store/directory.ts';
import { Revocations } from '../store/revocations.ts';
import type { CredentialRight } from '../store/session-context.ts';
import { type AdminCaller, type AdminParts, type Changer, makeChange, type Outcome } from './change.ts';
import { type Page, type PageRequest, pageOf } from './containers.ts';
import { idOf, invalid, knownPrincipals } from './input.ts';
import { type KeyLimits, locateKeyUse, refuseGainsOfKey, type WantedKey } from './key-reach.ts';
import { requireDirectoryRight } from './reach.ts';

/** How a new key is made: its secret leaves in the answer and is kept nowhere. */
type KeyMint = () => { readonly id: string; readonly secretHash: Uint8Array; readonly text: string };

export interface ApiKeyParts extends AdminParts {
  readonly mintKey: KeyMint;
}

export interface NewApiKey extends WantedKey {
  readonly name: string;
  /** Days until it expires; 90 by default. */
  readonly days?: number | undefined;
}

export interface ShownKey {
  readonly id: string;
  /** The only time that anybody sees it. */
  readonly key: string;
  /** Milliseconds since 1970. */
  readonly expiresAt: number;
}

const DAY_MS = 86_400_000;
const DEFAULT_DAYS = 90;
export const LONGEST_DAYS = 366;
/** Beyond what a verified key is remembered for in each process. */
const SHORTEST_OVERLAP_MS = 60_000;

/**
 * Needs `administer` at the root.
 * @throws BulkheadError `right_missing`, `insufficient_scope`, `unknown_principal`, `unknown_level`,
 *   `unknown_compartment`, `unknown_container`, `invalid_request`, `separation_of_duties`
 */
export async function createApiKey(
  parts: ApiKeyParts,
  caller: AdminCaller,
  wanted: NewApiKey,
): Promise<ShownKey> {
  const { days = DEFAULT_DAYS, name } = wanted;
  if (name.trim() === '') throw invalid('name', 'must not be empty');
  refuseLifetime(days);
  return makeChange(parts, caller, {
    operation: 'createApiKey',
    locate: async (authority) => {
      await requireDirectoryRight(parts, authority);
      return locateKeyUse(parts, authority, caller.identity, wanted);
    },
    apply: async (changer, use) => {
      await refuseGainsOfKey(changer, use);
      const { id, secretHash, text } = parts.mintKey();
      const actor = use.limits && (await addLimits(changer, id, name, use.limits));
      const lifetimeMs = days * DAY_MS;
      const key = { id, secretHash, actor, name, lifetimeMs, replaces: undefined };
      const expiresAt = await add(changer, { ...key, service: wanted.service, rights: wanted.rights });
      const { service, rights } = wanted;
      const body = { ...changer.by, key: id, service, rights, limits: use.limits ?? null, expiresAt };
      const { tenant } = changer.authority.subject;
      const events = [{ tenant, kind: 'api_key.created', body }] as const;
      return { result: { id, key: text, expiresAt }, events };
    },
  });
}

/** The principal that holds what the key is limited to. */
async function addLimits(
  { trx }: Changer,
  id: string,
  displayName: string,
  limits: KeyLimits,
): Promise<string> {
  const principal = `service:${KEY_ISSUER}|${id}`;
  const directory = Directory.within(trx);
  await directory.upsertAccounts([{ principal, source: KEY_ISSUER, displayName, status: 'active' }]);
  await directory.setCeiling([{ principal, ...limits }]);
  return principal;
}

interface AddedKey {
  readonly id: string;
  readonly secretHash: Uint8Array;
  readonly service: string;
  readonly actor: string | undefined;
  readonly name: string;
  readonly rights: readonly CredentialRight[];
  readonly lifetimeMs: number;
  readonly replaces: string | undefined;
}

/** @returns when it expires */
async function add({ trx, authority }: Changer, key: AddedKey): Promise<number> {
  const { service, actor } = key;
  const ids = await knownPrincipals(trx, actor === undefined ? [service] : [service, actor]);
  const keys = ApiKeys.within(trx);
  await keys.add({
    ...key,
    service: idOf(ids, service),
    actor: actor === undefined ? undefined : idOf(ids, actor),
    createdBy: authority.subject.user.principal,
  });
  return (await keys.find(key.id))?.expiresAt ?? Number.NaN;
}

function refuseLifetime(days: number): void {
  if (!Number.isInteger(days) || days < 1 || days > LONGEST_DAYS)
    throw invalid('days', `must be whole days, from 1 to ${LONGEST_DAYS}`);
}

export interface Rotation {
  readonly key: string;
  /** Milliseconds for which the old key still works: none, or a minute at least; a day by default. */
  readonly overlapMs?: number | undefined;
  readonly days?: number | undefined;
}

/**
 * A new key in the place of one that works: for the same service, rights and limits. Needs `administer` at the root.
 * @throws BulkheadError as `createApiKey`; `not_found`, `conflict` for a key that is revoked, expired or replaced
 */
export async function rotateApiKey(
  parts: ApiKeyParts,
  caller: AdminCaller,
  rotation: Rotation,
): Promise<ShownKey> {
  const { overlapMs = DAY_MS, days } = rotation;
  if (days !== undefined) refuseLifetime(days);
  if (overlapMs !== 0 && !(overlapMs >= SHORTEST_OVERLAP_MS))
    throw invalid('overlap_seconds', 'must be 0, or 60 at least');
  return makeChange(parts, caller, {
    operation: 'rotateApiKey',
    locate: async (authority) => {
      await requireDirectoryRight(parts, authority);
      const old = await findKey(parts, authority, rotation.key);
      refuseEnded(old, authority.now);
      const use = await locateKeyUse(parts, authority, caller.identity, { ...old, ...old.limits });
      return { old, use };
    },
    apply: async (changer, { old, use }) => {
      await refuseGainsOfKey(changer, use);
      const { id, secretHash, text } = parts.mintKey();
      const lifetimeMs = days === undefined ? old.expiresAt - old.createdAt : days * DAY_MS;
      const { service, rights, name } = old;
      const key = { id, secretHash, service, rights, name, lifetimeMs, replaces: old.id };
      const expiresAt = await add(changer, { ...key, actor: old.actor ?? undefined });
      const oldExpiresAt = await end(changer, old, overlapMs);
      const body = { ...changer.by, key: id, replaces: old.id, service, expiresAt, oldExpiresAt };
      const { tenant } = changer.authority.subject;
      const events = [{ tenant, kind: 'api_key.rotated', body }] as const;
      return { result: { id, key: text, expiresAt }, events };
    },
  });
}

function refuseEnded({ revokedAt, expiresAt, replacedBy }: ApiKeyRow, now: number): void {
  if (revokedAt === null && replacedBy === null && expiresAt > now) return;
  throw new BulkheadError('conflict', 'This key has ended or was replaced already. Make a new one.');
}

/** @returns when the old key ends */
async function end(changer: Changer, old: ApiKeyRow, overlapMs: number): Promise<number> {
  if (overlapMs > 0) return ApiKeys.within(changer.trx).endAfter(old.id, overlapMs);
  await takeBack(changer, old.id, 'rotated');
  return changer.authority.now;
}

/**
 * The key ends at once. Needs `administer` at the root. One that was revoked already stays as it is.
 * @throws BulkheadError `right_missing`, `insufficient_scope`, `not_found`
 */
export async function revokeApiKey(parts: AdminParts, caller: AdminCaller, id: string): Promise<void> {
  await makeChange(parts, caller, {
    operation: 'revokeApiKey',
    locate: async (authority) => {
      await requireDirectoryRight(parts, authority);
      return findKey(parts, authority, id);
    },
    apply: async (changer, { revokedAt, service }): Promise<Outcome<void>> => {
      if (revokedAt !== null) return { result: undefined, events: [] };
      await takeBack(changer, id, 'revoked');
      const { tenant } = changer.authority.subject;
      const body = { ...changer.by, key: id, service };
      return { result: undefined, events: [{ tenant, kind: 'api_key.revoked', body }] };
    },
  });
}

/** The row says so to whoever looks the key up; the revocation, to whoever had it verified already. */
async function takeBack({ trx, authority }: Changer, id: string, reason: string): Promise<void> {
  await ApiKeys.within(trx).revoke(id);
  const credential = { kind: 'key', id: `${KEY_ISSUER}|${id}` } as const;
  await Revocations.within(trx).revoke(credential, reason, authority.revocable);
}

async function findKey({ database }: AdminParts, authority: Authority, id: string): Promise<ApiKeyRow> {
  const found = await database.unitOfWork('admin', authority.context, (trx) => ApiKeys.within(trx).find(id));
  if (found === undefined) throw new BulkheadError('not_found', 'There is no such key.');
  return found;
}

/**
 * Keys by id, without their secrets. Needs `administer` at the root.
 * @throws BulkheadError `right_missing`, `insufficient_scope`
 */
export async function listApiKeys(
  parts: AdminParts,
  { identity }: AdminCaller,
  { service, cursor, limit }: PageRequest & { readonly service?: string | undefined },
): Promise<Page<ApiKeyRow>> {
  const authority = await authorize(parts.database, 'admin', parts.scheme, identity);
  await requireDirectoryRight(parts, authority);
  const rows = await parts.database.unitOfWork('admin', authority.context, (trx) =>
    ApiKeys.within(trx).list(service, cursor ?? '', limit + 1),
  );
  return pageOf(rows, limit, ({ id }) => id);
}
