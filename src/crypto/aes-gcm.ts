/**
 * AES-256-GCM (NIST SP 800-38D), one message a call, with a random nonce of 96 bits. §8.3 there: random nonces are
 * safe for at most 2^32 messages under one key; `Keyring` changes keys long before.
 */
import { createCipheriv, createDecipheriv, type KeyObject } from 'node:crypto';
import { BulkheadError } from '../errors.ts';

const ALGORITHM = 'aes-256-gcm';
/** First byte of every message: what follows, and how it was made. */
const FORMAT = 1;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

export type RandomBytes = (bytes: number) => Uint8Array;

/** @returns format (1 byte), nonce (12), ciphertext (as long as the plaintext), tag (16) */
export function sealBytes(
  key: KeyObject,
  plaintext: Uint8Array,
  binding: Uint8Array,
  randomBytes: RandomBytes,
): Uint8Array {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv(ALGORITHM, key, nonce, { authTagLength: TAG_BYTES });
  cipher.setAAD(withFormat(binding));
  const ciphertext = cipher.update(plaintext);
  cipher.final();
  return Buffer.concat([Uint8Array.of(FORMAT), nonce, ciphertext, cipher.getAuthTag()]);
}

/** @throws BulkheadError `decryption_failed` for another key, another binding or a changed message, alike */
export function openBytes(key: KeyObject, sealed: Uint8Array, binding: Uint8Array): Uint8Array {
  if (sealed.length < 1 + NONCE_BYTES + TAG_BYTES || sealed[0] !== FORMAT) throw notOpened();
  const end = sealed.length - TAG_BYTES;
  const decipher = createDecipheriv(ALGORITHM, key, sealed.subarray(1, 1 + NONCE_BYTES), {
    authTagLength: TAG_BYTES,
  });
  decipher.setAAD(withFormat(binding));
  decipher.setAuthTag(sealed.subarray(end));
  const plaintext = decipher.update(sealed.subarray(1 + NONCE_BYTES, end));
  try {
    decipher.final();
  } catch (error) {
    throw notOpened(error);
  }
  return plaintext;
}

function withFormat(binding: Uint8Array): Uint8Array {
  return Buffer.concat([Uint8Array.of(FORMAT), binding]);
}

function notOpened(cause?: unknown): BulkheadError {
  return new BulkheadError(
    'decryption_failed',
    'A stored ciphertext did not open: it was changed, or it is not where it was written.',
    { cause },
  );
}
