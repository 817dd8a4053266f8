import { randomBytes, randomUUID } from 'node:crypto';
import { appendFile, chmod, chown, rm, writeFile } from 'node:fs/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type DataKeyStore, keyBinding, type WrappedKey } from '../../src/crypto/data-key.ts';
import { openFileKeyService } from '../../src/crypto/file-key-service.ts';
import { Keyring } from '../../src/crypto/keyring.ts';
import { rotateKeys } from '../../src/ingest/rotate-keys.ts';
import { tenantId } from '../../src/policy/ids.ts';
import { DataKeys } from '../../src/store/data-keys.ts';
import { type KeyFile, openKeyFile } from '../helpers/encryption.ts';
import { openTestTenant, type TestTenant } from '../helpers/tenant.ts';

let file: KeyFile;
afterEach(() => file?.remove());

const open = () => openFileKeyService(file.path, randomBytes);
const BINDING = Buffer.from('for a test');
const refusal = () => {
  try {
    open();
    return 'none';
  } catch (error) {
    expect(error).toMatchObject({ code: 'config_invalid' });
    const { detail } = error as { detail: string };
    expect(detail).not.toContain('\n');
    return detail;
  }
};

describe('A key file', () => {
  it('wraps with its first key and unwraps with all', async () => {
    file = await openKeyFile('old');
    const key = randomBytes(32);
    const wrapped = await open().wrap(key, BINDING);
    await file.write(['new', 'old']);
    const keys = open();
    expect(keys.currentKeyId).toBe('new');
    expect(Buffer.from(await keys.unwrap(wrapped, 'old', BINDING))).toEqual(key);
    await expect(keys.unwrap(wrapped, 'new', BINDING)).rejects.toMatchObject({ code: 'decryption_failed' });
    await expect(keys.unwrap(wrapped, 'other', BINDING)).rejects.toMatchObject({ code: 'keys_unavailable' });
  });

  it('unwraps for nothing but what was wrapped', async () => {
    file = await openKeyFile('k');
    const named = { id: randomUUID(), tenant: tenantId(1), level: 'secret', purpose: 'text' as const };
    const wrapped = await open().wrap(randomBytes(32), keyBinding(named));
    for (const other of [
      { tenant: tenantId(2) },
      { level: 'top' },
      { purpose: 'terms' as const },
      { id: randomUUID() },
    ])
      await expect(open().unwrap(wrapped, 'k', keyBinding({ ...named, ...other }))).rejects.toMatchObject({
        code: 'decryption_failed',
      });
  });

  it.each([0o640, 0o604, 0o660, 0o610])(
    'that others may use (mode %o) is refused in one line',
    async (mode) => {
      file = await openKeyFile('k');
      await chmod(file.path, mode);
      expect(refusal()).toMatch(/others than its owner may use it.*chmod 600/);
      await chmod(file.path, 0o400);
      expect(refusal()).toBe('none');
    },
  );

  it.runIf(process.getuid?.() === 0)(
    'that an orchestrator mounts may be read by its group, and written by nobody but its owner',
    async () => {
      file = await openKeyFile('k');
      await chown(file.path, 12_345, 12_345);
      await chmod(file.path, 0o440);
      expect(refusal()).toBe('none');
      await chmod(file.path, 0o460);
      expect(refusal()).toMatch(/others than its owner may use it/);
    },
  );

  it('that is missing, empty or malformed is refused in one line, without a key in it', async () => {
    file = await openKeyFile('k');
    await writeFile(file.path, '# nothing\n\n');
    expect(refusal()).toMatch(/holds no key/);
    const key = randomBytes(32).toString('base64');
    for (const line of [key, `k ${key.slice(4)}`, `k ${key} more`, `k!d ${key}`, `k ${'A'.repeat(44)}`]) {
      await writeFile(file.path, `${line}\n`);
      expect(refusal()).toMatch(/line 1 is not an id and 32 bytes in base64/);
      expect(refusal()).not.toContain(key);
    }
    await writeFile(file.path, `k ${key} # the key\n`);
    await appendFile(file.path, `k ${randomBytes(32).toString('base64')}\n`);
    expect(refusal()).toMatch(/the key "k" twice/);
    await rm(file.path);
    expect(refusal()).toMatch(/ENOENT/);
  });
});

describe('Data keys', { timeout: 120_000 }, () => {
  let test: TestTenant;
  const T = tenantId(1);
  beforeAll(async () => {
    test = await openTestTenant();
  }, 120_000);
  afterAll(() => test.database.close());

  const ring = (role: 'ingest' | 'retrieve' | 'indexer', mostMessages?: number) =>
    new Keyring({
      keys: open(),
      store: DataKeys.as(test.database, role),
      now: Date.now,
      newKeyId: randomUUID,
      randomBytes,
      ...(mostMessages !== undefined && { mostMessages }),
    });

  it('are made once, however many processes ask at once, and found by the others', async () => {
    file = await openKeyFile('k');
    const rings = [ring('ingest'), ring('ingest'), ring('indexer')];
    const made = await Promise.all(rings.map((one) => one.forText(T, 'secret', 1)));
    expect(new Set(made.map(({ id }) => id)).size).toBe(1);
    const [key] = made;
    const found = await ring('retrieve').find(T, key?.id ?? '');
    expect(found.key.equals(key?.key as typeof found.key)).toBe(true);
    expect((await ring('ingest').forText(T, 'top', 1)).id).not.toBe(key?.id);
  });

  it('are not those of another tenant', async () => {
    file = await openKeyFile('k');
    const { id } = await ring('ingest').forText(T, 'other', 1);
    await expect(ring('retrieve').find(tenantId(2), id)).rejects.toMatchObject({ code: 'decryption_failed' });
  });

  it('seal no more messages than they may: the next takes over by itself', async () => {
    file = await openKeyFile('k');
    const ingest = ring('ingest', 10);
    const ids = [];
    for (let n = 0; n < 4; n += 1) ids.push((await ingest.forText(T, 'busy', 4)).id);
    expect(new Set(ids).size).toBe(2);
    expect(ids.slice(0, 2)).toEqual([ids[0], ids[0]]);
    const { keys } = await DataKeys.as(test.database, 'indexer').status(T);
    const busy = keys.filter(({ level }) => level === 'busy');
    expect(busy.map(({ state }) => state).sort()).toEqual(['current', 'old']);
  });

  it('are wrapped anew by the current key, and open what they sealed before', async () => {
    file = await openKeyFile('first');
    const before = await ring('ingest').forText(T, 'wrapped', 1);
    await file.write(['second', 'first']);
    const { database } = test;
    const others = (await DataKeys.as(database, 'indexer').all(T)).filter(({ keyId }) => keyId !== 'first');
    await Promise.all(others.map(({ id }) => remove(id)));
    const rotated = await rotateKeys({ database, keys: open() }, T, { dataKeys: false, termKeys: false });
    expect(rotated).toEqual({ rewrapped: 1, retired: 0 });
    await file.write(['second']);
    const after = await ring('retrieve').find(T, before.id);
    expect(after.key.equals(before.key)).toBe(true);
    expect(await rotateKeys({ database, keys: open() }, T, { dataKeys: false, termKeys: false })).toEqual({
      rewrapped: 0,
      retired: 0,
    });
  });

  const remove = async (id: string) => {
    const { asSuperuser } = await import('../helpers/policy-tables.ts');
    await asSuperuser(test.database, `delete from data_key where id = '${id}'`);
  };
});

it('A keyring asks again for a key that could not be unwrapped', async () => {
  file = await openKeyFile('k');
  let isDown = true;
  const stored: WrappedKey = {
    id: randomUUID(),
    tenant: tenantId(1),
    level: 'secret',
    purpose: 'text',
    keyId: 'k',
    wrapped: randomBytes(32),
  };
  const store = { find: async () => stored } as unknown as DataKeyStore;
  const keys = {
    currentKeyId: 'k',
    wrap: async (key: Uint8Array) => key,
    unwrap: async (wrapped: Uint8Array) => {
      if (isDown) throw new Error('down');
      return wrapped;
    },
  };
  const keyring = new Keyring({ keys, store, now: Date.now, newKeyId: randomUUID, randomBytes });
  await expect(keyring.find(stored.tenant, stored.id)).rejects.toThrow('down');
  isDown = false;
  expect((await keyring.find(stored.tenant, stored.id)).id).toBe(stored.id);
});
