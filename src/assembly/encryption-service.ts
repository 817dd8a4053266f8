import type { KeyService } from '../crypto/key-service.ts';
import { BulkheadError } from '../errors.ts';
import type { Caller, Services } from '../http/services.ts';
import { type Rotated, type Rotation, rotateKeys } from '../ingest/rotate-keys.ts';
import type { TenantId } from '../policy/ids.ts';
import { DataKeys, type SealingStatus } from '../store/data-keys.ts';
import type { Parts } from './core.ts';
import { need } from './need.ts';

const LOOK_AGAIN_MS = 500;

type KeyParts = Pick<Parts, 'database' | 'audit' | 'encryption' | 'resealer'>;

/**
 * Data keys: what there is, and new ones.
 * @param tenantsOf the tenants whose keys the caller looks after; rejects a caller who may not
 */
export function encryptionService(
  parts: KeyParts,
  tenantsOf: (caller: Caller) => Promise<readonly TenantId[]>,
): Pick<Services['maintenance'], 'encryption' | 'rotateKeys'> {
  return {
    encryption: async (caller) => {
      const tenants = await tenantsOf(caller);
      const encryption = need(parts.encryption, 'keys');
      const { keys, waiting } = await statusOf(parts, tenants);
      return {
        levels: [...encryption.levels],
        wrapped_with: encryption.keys?.currentKeyId ?? null,
        data_keys: keys.map(({ level, purpose, state, keyId, rows, messages, createdAt }) => ({
          level,
          purpose,
          state,
          wrapped_with: keyId,
          passages: rows,
          messages,
          created_at: new Date(createdAt).toISOString(),
        })),
        waiting,
      };
    },
    rotateKeys: async (caller, rotation) => {
      const tenants = await tenantsOf(caller);
      const resealer = need(parts.resealer, 'resealer');
      const keys = need(parts.encryption, 'keys').keys;
      if (keys === undefined)
        throw new BulkheadError('conflict', 'Nothing is encrypted here: BULKHEAD_KEY_FILE is not set.');
      return async (onProgress) => {
        const rotated = await rotateAll(parts, keys, caller, tenants, rotation);
        await watch(parts, tenants, resealer.drain(), onProgress);
        const { waiting } = await statusOf(parts, tenants);
        return { ...rotated, waiting };
      };
    },
  };
}

async function rotateAll(
  { database, audit, encryption }: KeyParts,
  keys: KeyService,
  { identity, requestId }: Caller,
  tenants: readonly TenantId[],
  rotation: Rotation,
): Promise<Rotated> {
  const by = { subject: identity.user, actor: identity.actor ?? null, request: requestId };
  const all = { rewrapped: 0, retired: 0 };
  for (const tenant of tenants) {
    const rotated = await rotateKeys({ database, keys }, tenant, rotation);
    const body = { ...by, wrappedWith: keys.currentKeyId, ...rotated };
    await encryption?.rotated(tenant);
    await need(audit, 'audit log').appendEvent(tenant, 'encryption.rotated', body);
    all.rewrapped += rotated.rewrapped;
    all.retired += rotated.retired;
  }
  return all;
}

async function statusOf({ database }: KeyParts, tenants: readonly TenantId[]): Promise<SealingStatus> {
  const stored = DataKeys.as(database, 'indexer');
  const all = await Promise.all(tenants.map((tenant) => stored.status(tenant)));
  return {
    keys: all.flatMap(({ keys }) => keys),
    waiting: all.reduce((sum, { waiting }) => sum + waiting, 0),
  };
}

/** Tells how far it is, now and then, until it is done. @throws what it ends with */
async function watch(
  parts: KeyParts,
  tenants: readonly TenantId[],
  work: Promise<void>,
  onProgress: (done: number, total: number) => void,
): Promise<void> {
  const end = work.then(
    () => true,
    () => true,
  );
  let total = 0;
  for (let isDone = false; !isDone; ) {
    const { waiting } = await statusOf(parts, tenants);
    total = Math.max(total, waiting);
    onProgress(total - waiting, total);
    isDone = await Promise.race([
      end,
      new Promise<false>((again) => setTimeout(again, LOOK_AGAIN_MS, false)),
    ]);
  }
  await work;
}
