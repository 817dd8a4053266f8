/**
 * The written form of an API key, `bhk_<id>_<secret><checksum>`: the prefix and the checksum let secret scanners find
 * one that leaked, and tell a mistyped or cut one without asking the database (as GitHub's tokens do since 2021).
 */
import { createHash } from 'node:crypto';

const ALPHABET = 'abcdefghijklmnopqrstuvwxyz234567';
const ID_BYTES = 10;
const SECRET_BYTES = 32;
const CHECKSUM_BYTES = 5;
const FORM = /^(bhk_([a-z2-7]{16})_([a-z2-7]{52}))([a-z2-7]{8})$/;

/** Long enough for a key, and no more is ever looked at. */
const API_KEY_LENGTH = 'bhk_'.length + 16 + '_'.length + 52 + 8;

export interface ApiKeyParts {
  /** 80 random bits: names the key, and is no secret. */
  readonly id: string;
  /** SHA-256 of the secret's 256 random bits, in their written form. */
  readonly secretHash: Uint8Array;
}

export interface NewKey extends ApiKeyParts {
  /** To be shown once and kept nowhere. */
  readonly text: string;
}

/** @param randomBytes of a cryptographically secure source */
export function newApiKey(randomBytes: (count: number) => Uint8Array): NewKey {
  const id = base32(randomBytes(ID_BYTES));
  const secret = base32(randomBytes(SECRET_BYTES));
  const body = `bhk_${id}_${secret}`;
  return { id, secretHash: sha256(secret), text: body + checksumOf(body) };
}

/** @returns `undefined` for what is no key, or is not as it was written */
export function readApiKey(text: string): ApiKeyParts | undefined {
  if (text.length !== API_KEY_LENGTH) return undefined;
  const [, body, id, secret, checksum] = FORM.exec(text) ?? [];
  if (body === undefined || id === undefined || secret === undefined) return undefined;
  return checksumOf(body) === checksum ? { id, secretHash: sha256(secret) } : undefined;
}

/** Of no secrecy: it is computed from what was presented. */
function checksumOf(body: string): string {
  return base32(sha256(body).subarray(0, CHECKSUM_BYTES));
}

/** RFC 4648 §6 in lower case, without padding. */
function base32(bytes: Uint8Array): string {
  let bits = 0;
  let value = 0;
  let text = '';
  for (const byte of bytes) {
    value = (value << 8) | byte;
    bits += 8;
    while (bits >= 5) {
      bits -= 5;
      text += ALPHABET.charAt((value >>> bits) & 31);
    }
    value &= (1 << bits) - 1;
  }
  return bits === 0 ? text : text + ALPHABET.charAt((value << (5 - bits)) & 31);
}

function sha256(text: string): Uint8Array {
  return createHash('sha256').update(text).digest();
}
