import { keyBinding } from '../crypto/data-key.ts';
import type { KeyService } from '../crypto/key-service.ts';
import type { TenantId } from '../policy/ids.ts';
import { DataKeys } from '../store/data-keys.ts';
import type { Database } from '../store/database.ts';

export interface Rotation {
  /** New keys for texts, whose passages are then sealed anew. */
  readonly dataKeys: boolean;
  /** New keys for terms, which then go to the index anew. */
  readonly termKeys: boolean;
}

export interface Rotated {
  /** Data keys that are wrapped by the current key now and were not before. */
  readonly rewrapped: number;
  /** Data keys that seal nothing more. Their passages wait for the resealer. */
  readonly retired: number;
}

/**
 * Wraps a tenant's data keys with the current key, and retires them where asked. Nothing stops meanwhile, and what was
 * broken off is finished by the next call.
 * @throws BulkheadError `keys_unavailable`; `decryption_failed` when a wrapped key was changed
 */
export async function rotateKeys(
  { database, keys }: { readonly database: Database; readonly keys: KeyService },
  tenant: TenantId,
  { dataKeys, termKeys }: Rotation,
): Promise<Rotated> {
  const stored = DataKeys.as(database, 'indexer');
  const outdated = (await stored.all(tenant)).filter(({ keyId }) => keyId !== keys.currentKeyId);
  for (const key of outdated) {
    const bytes = await keys.unwrap(key.wrapped, key.keyId, keyBinding(key));
    const wrapped = await keys.wrap(bytes, keyBinding(key));
    await stored.rewrap(key, { keyId: keys.currentKeyId, wrapped });
  }
  const purposes = [...(dataKeys ? ['text' as const] : []), ...(termKeys ? ['terms' as const] : [])];
  const retired = purposes.length === 0 ? 0 : await stored.retireAll(tenant, purposes);
  return { rewrapped: outdated.length, retired };
}
