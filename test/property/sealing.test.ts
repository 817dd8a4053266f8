import { randomBytes, randomUUID } from 'node:crypto';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { openBytes, sealBytes } from '../../src/crypto/aes-gcm.ts';
import type { DataKeyStore, WrappedKey } from '../../src/crypto/data-key.ts';
import { Keyring } from '../../src/crypto/keyring.ts';
import { createSealer, type PassageRow, type Sealer } from '../../src/crypto/sealer.ts';
import { documentId, tenantId } from '../../src/policy/ids.ts';

const RUNS = Number(process.env.BULKHEAD_TEST_RUNS ?? 300);

/** Keys in memory, wrapped by nothing: the database's part has tests of its own. */
function memoryKeys(): DataKeyStore {
  const keys: WrappedKey[] = [];
  const of = (tenant: number, level: string, purpose: string) =>
    keys.filter((key) => key.tenant === tenant && key.level === level && key.purpose === purpose);
  return {
    find: async (tenant, id) => keys.find((key) => key.tenant === tenant && key.id === id),
    list: async (tenant, level, purpose) => of(tenant, level, purpose),
    current: async (tenant, level, purpose) => of(tenant, level, purpose)[0],
    add: async (key) => {
      keys.push(key);
      return key;
    },
    retire: async () => {},
    reserve: async () => 1,
  };
}

const levels = ['public', 'internal', 'secret', 'top'].map((name, rank) => ({ name, encrypt: rank > 1 }));
let sealer: Sealer;
beforeAll(() => {
  const keys = {
    currentKeyId: 'k',
    wrap: async (key: Uint8Array) => key,
    unwrap: async (key: Uint8Array) => key,
  };
  const keyring = new Keyring({
    keys,
    store: memoryKeys(),
    now: Date.now,
    newKeyId: randomUUID,
    randomBytes,
  });
  sealer = createSealer(levels, keyring, randomBytes);
});

const text = fc.string({ unit: 'grapheme', maxLength: 200 });
const passage = fc.record({ text, headingPath: fc.array(text, { maxLength: 3 }) });
const row: fc.Arbitrary<PassageRow> = fc.record({
  tenant: fc.integer({ min: 1, max: 3 }).map(tenantId),
  document: fc.constantFrom(...Array.from({ length: 3 }, () => randomUUID())).map(documentId),
  version: fc.integer({ min: 1, max: 3 }),
  ordinal: fc.nat(3),
});
const rank = fc.constantFrom(2, 3);

async function seal(at: number, to: PassageRow, what: { text: string; headingPath: string[] }) {
  const key = await sealer.textKey(to.tenant, at, 1);
  if (key === undefined) throw new Error('the level asks for no encryption');
  return key.seal(to, what);
}

describe('what is sealed', () => {
  it('opens for its own row as it was', () =>
    fc.assert(
      fc.asyncProperty(rank, row, passage, async (at, to, what) => {
        expect(await sealer.open(to, await seal(at, to, what))).toEqual(what);
      }),
      { numRuns: RUNS },
    ));

  it('opens for no other row', () =>
    fc.assert(
      fc.asyncProperty(rank, row, row, passage, async (at, to, other, what) => {
        fc.pre(JSON.stringify(to) !== JSON.stringify(other));
        await expect(sealer.open(other, await seal(at, to, what))).rejects.toMatchObject({
          code: 'decryption_failed',
        });
      }),
      { numRuns: RUNS },
    ));

  it('opens no more when any byte of it is changed, left out or added', () =>
    fc.assert(
      fc.asyncProperty(
        rank,
        row,
        passage,
        fc.nat(),
        fc.integer({ min: 1, max: 255 }),
        async (at, to, what, n, flip) => {
          const sealed = await seal(at, to, what);
          const changed = Uint8Array.from(sealed.bytes);
          const place = n % changed.length;
          changed[place] = (changed[place] ?? 0) ^ flip;
          const cut = sealed.bytes.subarray(0, place);
          const longer = Buffer.concat([sealed.bytes, Uint8Array.of(flip)]);
          for (const bytes of [changed, cut, longer])
            await expect(sealer.open(to, { ...sealed, bytes })).rejects.toMatchObject({
              code: 'decryption_failed',
            });
        },
      ),
      { numRuns: RUNS },
    ));

  it('is never the same twice, and as long as its text and 29 bytes more than that as JSON', () =>
    fc.assert(
      fc.asyncProperty(rank, row, passage, async (at, to, what) => {
        const [one, two] = [await seal(at, to, what), await seal(at, to, what)];
        expect(Buffer.compare(one.bytes, two.bytes)).not.toBe(0);
        const json = Buffer.byteLength(JSON.stringify([what.headingPath, what.text]));
        expect(one.bytes.length).toBe(json + 29);
      }),
      { numRuns: RUNS },
    ));
});

describe('a term', () => {
  it('has one id for a tenant and level, and another for every other', () =>
    fc.assert(
      fc.asyncProperty(fc.string({ minLength: 1 }), async (term) => {
        const ids = [];
        for (const tenant of [tenantId(1), tenantId(2)])
          for (const at of [2, 3]) {
            const [written, asked] = [
              await sealer.termsKey(tenant, at),
              await sealer.termsKeys(tenant, [0, 1, at]),
            ];
            expect(asked.map((key) => key.termId(term))).toEqual([written?.termId(term)]);
            ids.push(written?.termId(term));
          }
        expect(new Set(ids).size).toBe(4);
        for (const id of ids) expect(id).toBe((id ?? 0.5) | 0);
      }),
      { numRuns: RUNS },
    ));
});

describe('a level that asks for none', () => {
  it('has no keys', async () => {
    expect(await sealer.textKey(tenantId(1), 1, 1)).toBeUndefined();
    expect(await sealer.termsKey(tenantId(1), 0)).toBeUndefined();
    expect(await sealer.termsKeys(tenantId(1), [0, 1, 9])).toEqual([]);
  });
});

// McGrew and Viega, "The Galois/Counter Mode of Operation", test cases 13 to 16 use 96-bit nonces under AES-256
it('AES-256-GCM is what the standard says: test case 16', async () => {
  const { createSecretKey, createCipheriv } = await import('node:crypto');
  const hex = (s: string) => Buffer.from(s.replaceAll(' ', ''), 'hex');
  const key = createSecretKey(hex('feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308'));
  const nonce = hex('cafebabefacedbaddecaf888');
  const plaintext = hex(
    'd9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39',
  );
  const cipher = createCipheriv('aes-256-gcm', key, nonce, { authTagLength: 16 });
  cipher.setAAD(hex('feedfacedeadbeeffeedfacedeadbeefabaddad2'));
  const ciphertext = Buffer.concat([cipher.update(plaintext), cipher.final()]);
  expect(ciphertext.toString('hex').startsWith('522dc1f099567d07f47f37a32a84427d')).toBe(true);
  expect(cipher.getAuthTag().toString('hex')).toBe('76fc6ece0f4e1768cddf8853bb2d551b');
  // and ours puts the same ciphertext between format and nonce and a tag over its own binding
  const ours = sealBytes(key, plaintext, hex('00'), () => nonce);
  expect(Buffer.from(ours.subarray(13, -16))).toEqual(ciphertext);
  expect(Buffer.from(openBytes(key, ours, hex('00')))).toEqual(plaintext);
});
