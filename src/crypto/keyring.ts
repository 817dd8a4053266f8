import { createSecretKey, type KeyObject } from 'node:crypto';
import { BulkheadError } from '../errors.ts';
import type { TenantId } from '../policy/ids.ts';
import type { RandomBytes } from './aes-gcm.ts';
import { type DataKeyStore, type KeyPurpose, keyBinding, type WrappedKey } from './data-key.ts';
import type { KeyService } from './key-service.ts';

/** An unwrapped data key; it leaves the process in no form. */
export interface DataKey {
  readonly id: string;
  readonly key: KeyObject;
}

export interface KeyringOptions {
  readonly keys: KeyService;
  readonly store: DataKeyStore;
  /** Milliseconds. */
  readonly now: () => number;
  /** A UUID. */
  readonly newKeyId: () => string;
  readonly randomBytes: RandomBytes;
  /** Messages that one key may seal; lower only in tests. */
  readonly mostMessages?: number;
}

/** A quarter of what random nonces allow (NIST SP 800-38D, §8.3), and no installation gets near it. */
const MOST_MESSAGES = 2 ** 30;
/** Counted ahead, so that not every document writes the count. */
const RESERVED_AT_ONCE = 1024;
/** How long another process may take to hear of a new current key. The old one opens what it sealed meanwhile. */
const CURRENT_FOR_MS = 10_000;
const KEY_BYTES = 32;

interface Current {
  readonly keys: readonly DataKey[];
  readonly until: number;
}

/** The data keys of one process: unwrapped on first use, made where a level has none yet. */
export class Keyring {
  readonly #options: KeyringOptions;
  readonly #opened = new Map<string, Promise<DataKey>>();
  readonly #current = new Map<string, Current>();
  readonly #reserved = new Map<string, number>();

  constructor(options: KeyringOptions) {
    this.#options = options;
  }

  /**
   * The key that a row names.
   * @throws BulkheadError `decryption_failed` when there is none or it was changed; `keys_unavailable`
   */
  async find(tenant: TenantId, id: string): Promise<DataKey> {
    const opened = this.#opened.get(`${tenant} ${id}`);
    if (opened !== undefined) return opened;
    const wrapped = await this.#options.store.find(tenant, id);
    if (wrapped === undefined)
      throw new BulkheadError('decryption_failed', 'A passage names a data key that is not there.');
    return this.#open(wrapped);
  }

  /** The key that seals `messages` more now; made on first use, and in place of one that has sealed enough. */
  async forText(tenant: TenantId, level: string, messages: number): Promise<DataKey> {
    const key = (await this.#currentOf(tenant, level, 'text')) ?? (await this.#make(tenant, level, 'text'));
    if (await this.#reserve(tenant, key.id, messages)) return key;
    await this.#options.store.retire(tenant, key.id);
    this.#current.delete(nameOf(tenant, level, 'text'));
    const next = await this.#make(tenant, level, 'text');
    await this.#reserve(tenant, next.id, messages);
    return next;
  }

  /** The key that hashes terms now. Hashing has no nonce to run out of. */
  async forTerms(tenant: TenantId, level: string): Promise<DataKey> {
    return (await this.#currentOf(tenant, level, 'terms')) ?? this.#make(tenant, level, 'terms');
  }

  /** Every key that terms of this level may be hashed with now, none where nothing was written yet. */
  async termKeys(tenant: TenantId, level: string): Promise<readonly DataKey[]> {
    return this.#list(tenant, level, 'terms');
  }

  /** Asks the store again which keys are current: they have just been changed. */
  forget(): void {
    this.#current.clear();
    this.#reserved.clear();
  }

  async #currentOf(tenant: TenantId, level: string, purpose: KeyPurpose): Promise<DataKey | undefined> {
    const current = await this.#options.store.current(tenant, level, purpose);
    return current && this.#open(current);
  }

  /** Nothing found is asked again next time: the first document of a level is found as soon as it is there. */
  async #list(tenant: TenantId, level: string, purpose: KeyPurpose): Promise<readonly DataKey[]> {
    const name = nameOf(tenant, level, purpose);
    const known = this.#current.get(name);
    if (known !== undefined && this.#options.now() < known.until) return known.keys;
    const listed = await this.#options.store.list(tenant, level, purpose);
    const keys = await Promise.all(listed.map((wrapped) => this.#open(wrapped)));
    if (keys.length > 0) this.#current.set(name, { keys, until: this.#options.now() + CURRENT_FOR_MS });
    return keys;
  }

  async #make(tenant: TenantId, level: string, purpose: KeyPurpose): Promise<DataKey> {
    const { keys, store, newKeyId, randomBytes } = this.#options;
    const named = { id: newKeyId(), tenant, level, purpose };
    const wrapped = await keys.wrap(randomBytes(KEY_BYTES), keyBinding(named));
    return this.#open(await store.add({ ...named, keyId: keys.currentKeyId, wrapped }));
  }

  #open(wrapped: WrappedKey): Promise<DataKey> {
    const name = `${wrapped.tenant} ${wrapped.id}`;
    const opened = this.#opened.get(name) ?? this.#unwrap(wrapped);
    this.#opened.set(name, opened);
    // what failed is tried again
    opened.catch(() => this.#opened.delete(name));
    return opened;
  }

  async #unwrap(wrapped: WrappedKey): Promise<DataKey> {
    const bytes = await this.#options.keys.unwrap(wrapped.wrapped, wrapped.keyId, keyBinding(wrapped));
    return { id: wrapped.id, key: createSecretKey(bytes) };
  }

  /** @returns false when the key has sealed enough */
  async #reserve(tenant: TenantId, id: string, messages: number): Promise<boolean> {
    const { store, mostMessages = MOST_MESSAGES } = this.#options;
    const left = this.#reserved.get(id) ?? 0;
    if (left >= messages) {
      this.#reserved.set(id, left - messages);
      return true;
    }
    const more = Math.max(messages, Math.min(RESERVED_AT_ONCE, mostMessages));
    const counted = await store.reserve(tenant, id, more);
    if (counted > mostMessages) return false;
    this.#reserved.set(id, (this.#reserved.get(id) ?? 0) + more - messages);
    return true;
  }
}

const nameOf = (tenant: TenantId, level: string, purpose: KeyPurpose): string =>
  `${tenant} ${level} ${purpose}`;
