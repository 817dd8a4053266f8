/** Data keys as they are kept: wrapped, one current key for each tenant, level and purpose. */
import type { TenantId } from '../policy/ids.ts';

/** `text` seals passages; `terms` hashes the words that a passage is found by. */
export type KeyPurpose = 'text' | 'terms';

export interface WrappedKey {
  /** UUID. */
  readonly id: string;
  readonly tenant: TenantId;
  /** The level's name: its rank may change. */
  readonly level: string;
  readonly purpose: KeyPurpose;
  /** Of the key that it is wrapped with. */
  readonly keyId: string;
  readonly wrapped: Uint8Array;
}

/** Where wrapped keys are kept; `src/store/data-keys.ts` is the one there is. */
export interface DataKeyStore {
  find(tenant: TenantId, id: string): Promise<WrappedKey | undefined>;
  /** The current key first, then older ones that rows may still name. */
  list(tenant: TenantId, level: string, purpose: KeyPurpose): Promise<readonly WrappedKey[]>;
  current(tenant: TenantId, level: string, purpose: KeyPurpose): Promise<WrappedKey | undefined>;
  /** Makes this the current key unless there is one by now, and returns the one that is. */
  add(key: WrappedKey): Promise<WrappedKey>;
  /** The key stays for what it sealed and seals nothing more. */
  retire(tenant: TenantId, id: string): Promise<void>;
  /** Counts messages about to be sealed; returns how many there were and are now. */
  reserve(tenant: TenantId, id: string, messages: number): Promise<number>;
}

/** What a wrapped key is bound to: a key of one tenant or level does not unwrap as one of another. */
export function keyBinding({
  id,
  tenant,
  level,
  purpose,
}: Omit<WrappedKey, 'wrapped' | 'keyId'>): Uint8Array {
  return Buffer.from(JSON.stringify(['bulkhead data key', tenant, level, purpose, id]));
}
