import { type KeyObject, verify } from 'node:crypto';
import type { AuditKey } from './audit-key.ts';
import { canonicalJson } from './canonical-json.ts';
import { parseLine } from './line.ts';

/**
 * Said of a chain whose end a restore took back: up to the record kept it is as it was, and whatever checkpoints
 * before this know of later records, nobody has them any more. It goes on with other records of the same numbers.
 */
interface ChainLoss {
  readonly chain: number;
  readonly writer: string;
  readonly tenant: number;
  /** The last record that is left; 0 when none is. */
  readonly kept: number;
  /** Of that record, SHA-256, hex. */
  readonly hash: string;
  /** The last record that a checkpoint knew. */
  readonly lost: number;
  /** Milliseconds since 1970. */
  readonly at: number;
}

/** Only who holds the audit key can declare one: whoever can only change the database cannot cut a chain unseen. */
export interface SignedLoss extends ChainLoss {
  /** Id of the key that signed it. */
  readonly key: string;
  /** Ed25519, hex. */
  readonly signature: string;
}

/** Keeps a signature over a loss from being one over anything else. */
const DOMAIN = 'bulkhead audit loss 1\n';

export function signLoss(key: AuditKey, loss: ChainLoss): SignedLoss {
  const { chain, writer, tenant, kept, hash, lost, at } = loss;
  const signature = Buffer.from(key.sign(signedBytes(loss, key.id))).toString('hex');
  return { chain, writer, tenant, kept, hash, lost, at, key: key.id, signature };
}

export function isLossSigned(publicKey: KeyObject, loss: SignedLoss): boolean {
  return verify(null, signedBytes(loss, loss.key), publicKey, Buffer.from(loss.signature, 'hex'));
}

function signedBytes({ chain, writer, tenant, kept, hash, lost, at }: ChainLoss, key: string): Uint8Array {
  return Buffer.from(DOMAIN + canonicalJson({ chain, writer, tenant, kept, hash, lost, at, key }), 'utf8');
}

const FIELDS: Readonly<Record<keyof SignedLoss, 'number' | 'string'>> = {
  chain: 'number',
  writer: 'string',
  tenant: 'number',
  kept: 'number',
  hash: 'string',
  lost: 'number',
  at: 'number',
  key: 'string',
  signature: 'string',
};

export function parseLoss(line: string): SignedLoss | undefined {
  return parseLine<SignedLoss>(line, FIELDS);
}
