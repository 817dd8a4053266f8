import { createHash, createPrivateKey, createPublicKey, hkdfSync, type KeyObject, sign } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { BulkheadError } from '../errors.ts';
import { createFileOnce } from './durable-file.ts';
import type { Random } from './receipt.ts';

/** What the log signs its checkpoints with, and what it hides questions with. */
export interface AuditKey {
  /** First 128 bits of the SHA-256 of the public key (SPKI), hex. */
  readonly id: string;
  readonly publicKey: KeyObject;
  /** For `questionDigest`; 32 bytes. */
  readonly questionKey: Uint8Array;
  /** Ed25519 (RFC 8032), 64 bytes. */
  sign(message: Uint8Array): Uint8Array;
}

/** PKCS #8 of an Ed25519 key up to its 32 secret bytes, RFC 8410 §7. */
const PKCS8_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex');
const SECRET_SIZE = 32;

/**
 * Reads the key, or makes it on first use: PEM, readable by its owner only, on disk before it is used.
 * @throws BulkheadError `config_invalid` when the file holds no Ed25519 private key
 */
export async function loadAuditKey(path: string, random: Random): Promise<AuditKey> {
  if (!existsSync(path)) await createFileOnce(path, newPem(random));
  return auditKeyOf(parsePem(await readFile(path, 'utf8'), path));
}

/** The id that checkpoints carry for this public key. */
export function auditKeyId(publicKey: KeyObject): string {
  const spki = publicKey.export({ type: 'spki', format: 'der' });
  return createHash('sha256').update(spki).digest('hex').slice(0, 32);
}

function auditKeyOf(privateKey: KeyObject): AuditKey {
  const publicKey = createPublicKey(privateKey);
  const secret = privateKey.export({ type: 'pkcs8', format: 'der' }).subarray(-SECRET_SIZE);
  return {
    id: auditKeyId(publicKey),
    publicKey,
    // one secret to keep; HKDF (RFC 5869) makes the second key independent of the first
    questionKey: new Uint8Array(hkdfSync('sha256', secret, '', 'bulkhead question digest', 32)),
    sign: (message) => sign(null, message, privateKey),
  };
}

function parsePem(pem: string, path: string): KeyObject {
  try {
    const key = createPrivateKey(pem);
    if (key.asymmetricKeyType === 'ed25519') return key;
  } catch {
    // the reason would quote the key
  }
  throw new BulkheadError('config_invalid', `${path} does not hold an Ed25519 private key in PEM.`);
}

function newPem(random: Random): string {
  const der = Buffer.concat([PKCS8_PREFIX, random(SECRET_SIZE)]);
  const privateKey = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
  return privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
}
