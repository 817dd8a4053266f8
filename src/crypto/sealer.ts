/** What levels that ask for encryption do with text and words, and what others do: nothing. */
import { createHmac } from 'node:crypto';
import { BulkheadError } from '../errors.ts';
import type { DocumentId, TenantId } from '../policy/ids.ts';
import { openBytes, type RandomBytes, sealBytes } from './aes-gcm.ts';
import type { DataKey, Keyring } from './keyring.ts';

/** The row that a ciphertext belongs to, and to no other. */
export interface PassageRow {
  readonly tenant: TenantId;
  readonly document: DocumentId;
  readonly version: number;
  readonly ordinal: number;
}

interface PassageText {
  readonly text: string;
  readonly headingPath: readonly string[];
}

interface SealedText {
  /** UUID of the data key. */
  readonly dataKey: string;
  readonly bytes: Uint8Array;
}

export interface TextKey {
  readonly id: string;
  seal(row: PassageRow, passage: PassageText): SealedText;
}

export interface TermsKey {
  readonly id: string;
  /** Stands in the index for the word, and says it to nobody without the key. */
  readonly termId: (term: string) => number;
}

export interface Sealer {
  /** The level of this rank, if it asks for encryption. */
  levelAt(rank: number): string | undefined;
  /**
   * What seals `messages` passages of a level; `undefined` where the rank asks for none.
   * @throws BulkheadError `keys_unavailable`
   */
  textKey(tenant: TenantId, rank: number, messages: number): Promise<TextKey | undefined>;
  /** What hashes terms that are written now. @throws BulkheadError `keys_unavailable` */
  termsKey(tenant: TenantId, rank: number): Promise<TermsKey | undefined>;
  /** What terms of these ranks may have been hashed with. @throws BulkheadError `keys_unavailable` */
  termsKeys(tenant: TenantId, ranks: Iterable<number>): Promise<readonly TermsKey[]>;
  /**
   * @throws BulkheadError `decryption_failed` when it is not what was sealed for this very row; `keys_unavailable`
   */
  open(row: PassageRow, sealed: SealedText): Promise<PassageText>;
}

/** Where no level asks for encryption. What is sealed all the same stays shut. */
export const NO_SEALER: Sealer = Object.freeze({
  levelAt: () => undefined,
  textKey: async () => undefined,
  termsKey: async () => undefined,
  termsKeys: async () => [],
  open: async () => {
    throw new BulkheadError('keys_unavailable', 'Text is encrypted, and BULKHEAD_KEY_FILE is not set.');
  },
});

/** @param levels lowest first */
export function createSealer(
  levels: readonly { readonly name: string; readonly encrypt: boolean }[],
  keyring: Keyring,
  randomBytes: RandomBytes,
): Sealer {
  const levelAt = (rank: number) => (levels[rank]?.encrypt === true ? levels[rank].name : undefined);
  return {
    levelAt,
    textKey: async (tenant, rank, messages) => {
      const level = levelAt(rank);
      return level === undefined
        ? undefined
        : sealingWith(await keyring.forText(tenant, level, messages), randomBytes);
    },
    termsKey: async (tenant, rank) => {
      const level = levelAt(rank);
      return level === undefined ? undefined : hashingWith(await keyring.forTerms(tenant, level));
    },
    termsKeys: async (tenant, ranks) => {
      const names = new Set([...ranks].flatMap((rank) => levelAt(rank) ?? []));
      const keys = await Promise.all([...names].map((level) => keyring.termKeys(tenant, level)));
      return keys.flat().map(hashingWith);
    },
    open: async (row, sealed) => {
      const { id, key } = await keyring.find(row.tenant, sealed.dataKey);
      return decode(openBytes(key, sealed.bytes, rowBinding(row, id)));
    },
  };
}

function sealingWith({ id, key }: DataKey, randomBytes: RandomBytes): TextKey {
  return {
    id,
    seal: (row, passage) => ({
      dataKey: id,
      bytes: sealBytes(key, encode(passage), rowBinding(row, id), randomBytes),
    }),
  };
}

/** HMAC-SHA-256 (RFC 2104), its first 32 bits: as wide as the ids of words in clear, and spread among them. */
function hashingWith({ id, key }: DataKey): TermsKey {
  const known = new Map<string, number>();
  return {
    id,
    termId: (term) => {
      const hashed = known.get(term) ?? createHmac('sha256', key).update(term).digest().readInt32LE(0);
      known.set(term, hashed);
      return hashed;
    },
  };
}

/** JSON, so that no two rows read the same. */
function rowBinding({ tenant, document, version, ordinal }: PassageRow, dataKey: string): Uint8Array {
  return Buffer.from(JSON.stringify(['bulkhead passage', tenant, document, version, ordinal, dataKey]));
}

function encode({ text, headingPath }: PassageText): Uint8Array {
  return Buffer.from(JSON.stringify([headingPath, text]));
}

function decode(plaintext: Uint8Array): PassageText {
  const [headingPath, text] = JSON.parse(Buffer.from(plaintext).toString('utf8')) as [string[], string];
  return { text, headingPath };
}
