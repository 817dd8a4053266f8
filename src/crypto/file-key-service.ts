/**
 * Keys that wrap data keys, from a file: one key a line, an id and 32 bytes in base64, the newest first.
 *
 *     # the first key wraps; those below it only unwrap what they wrapped
 *     2027-01  bXkgc2VjcmV0IGlzIHNhZmUgd2l0aCBtZSwgaXMgaXQ=
 *     2026-07  …
 *
 * A new line is made by: printf '%s %s\n' 2027-01 "$(openssl rand -base64 32)"
 */
import { createSecretKey, type KeyObject } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { BulkheadError } from '../errors.ts';
import { openBytes, type RandomBytes, sealBytes } from './aes-gcm.ts';
import type { KeyService } from './key-service.ts';

const KEY_BYTES = 32;
const ID = /^[A-Za-z0-9._-]{1,64}$/;
const GROUP_AND_WORLD = 0o077;
const GROUP_AND_WORLD_WRITE = 0o022;

/** @throws BulkheadError `config_invalid` for a file that others may read, that is missing or that holds no keys */
export function openFileKeyService(file: string, randomBytes: RandomBytes): KeyService {
  const keys = readKeys(file);
  // a Map keeps the order of the file
  const [current] = keys;
  if (current === undefined) throw invalid(file, 'it holds no key');
  const [currentKeyId, currentKey] = current;
  return {
    currentKeyId,
    wrap: async (key, binding) => sealBytes(currentKey, key, binding, randomBytes),
    unwrap: async (wrapped, keyId, binding) => {
      const key = keys.get(keyId);
      if (key === undefined)
        throw new BulkheadError(
          'keys_unavailable',
          `The key file ${file} has no key "${keyId}", which data keys are wrapped with.`,
        );
      return openBytes(key, wrapped, binding);
    },
  };
}

function readKeys(file: string): ReadonlyMap<string, KeyObject> {
  const keys = new Map<string, KeyObject>();
  for (const [i, line] of readPrivate(file).split('\n').entries()) {
    const text = line.replace(/#.*/, '').trim();
    if (text === '') continue;
    const [id = '', encoded = '', ...rest] = text.split(/\s+/);
    const bytes = Buffer.from(encoded, 'base64');
    if (!ID.test(id) || rest.length > 0 || bytes.length !== KEY_BYTES || bytes.toString('base64') !== encoded)
      throw invalid(file, `line ${i + 1} is not an id and 32 bytes in base64`);
    if (keys.has(id)) throw invalid(file, `it has the key "${id}" twice`);
    keys.set(id, createSecretKey(bytes));
  }
  return keys;
}

function readPrivate(file: string): string {
  try {
    const { mode, uid } = statSync(file);
    // an orchestrator mounts a secret as its own and readable by a group that only the container has
    const refused = uid === process.getuid?.() ? GROUP_AND_WORLD : GROUP_AND_WORLD_WRITE;
    if ((mode & refused) !== 0)
      throw invalid(
        file,
        `others than its owner may use it (mode ${(mode & 0o777).toString(8)}); run: chmod 600 ${file}`,
      );
    return readFileSync(file, 'utf8');
  } catch (error) {
    if (error instanceof BulkheadError) throw error;
    throw invalid(file, error instanceof Error ? error.message : String(error));
  }
}

function invalid(file: string, why: string): BulkheadError {
  return new BulkheadError('config_invalid', `The key file ${file} cannot be used: ${why}.`);
}
