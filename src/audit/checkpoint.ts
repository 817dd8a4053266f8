import { type KeyObject, verify } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import type { AuditKey } from './audit-key.ts';
import { canonicalJson } from './canonical-json.ts';
import { appendLines } from './durable-file.ts';

/** What a checkpoint says: at this instant, this was the last record of this chain. */
export interface ChainHead {
  readonly chain: number;
  readonly writer: string;
  readonly tenant: number;
  readonly seq: number;
  /** SHA-256, hex. */
  readonly hash: string;
  /** Milliseconds since 1970. */
  readonly at: number;
}

/** Whoever kept one can tell when records up to it are changed or gone, whatever was done to the database. */
export interface Checkpoint extends ChainHead {
  /** Id of the key that signed it. */
  readonly key: string;
  /** Ed25519, hex. */
  readonly signature: string;
}

/** A file's checkpoints of one tenant, and the lines (from 1) that hold none. */
export interface CheckpointFile {
  readonly checkpoints: readonly Checkpoint[];
  readonly unreadableLines: readonly number[];
}

/** Keeps a signature over a checkpoint from being one over anything else. */
const DOMAIN = 'bulkhead audit checkpoint 1\n';

export function signCheckpoint(key: AuditKey, head: ChainHead): Checkpoint {
  const signature = Buffer.from(key.sign(signedBytes(head, key.id))).toString('hex');
  const { chain, writer, tenant, seq, hash, at } = head;
  return { chain, writer, tenant, seq, hash, at, key: key.id, signature };
}

/** Off the main thread: there may be a year of checkpoints. */
export function isSigned(publicKey: KeyObject, checkpoint: Checkpoint): Promise<boolean> {
  const signature = Buffer.from(checkpoint.signature, 'hex');
  return new Promise((resolve, reject) => {
    verify(null, signedBytes(checkpoint, checkpoint.key), publicKey, signature, (error, result) =>
      error === null ? resolve(result) : reject(error),
    );
  });
}

function signedBytes({ chain, writer, tenant, seq, hash, at }: ChainHead, key: string): Uint8Array {
  return Buffer.from(DOMAIN + canonicalJson({ chain, writer, tenant, seq, hash, at, key }), 'utf8');
}

/** Adds checkpoints to the file, one JSON object a line, and returns when they are on disk. */
export async function appendCheckpoints(path: string, checkpoints: readonly Checkpoint[]): Promise<void> {
  const isWhole = (line: string) => parseCheckpoint(line) !== undefined;
  await appendLines(path, checkpoints.map(canonicalJson), isWhole);
}

/** Reads the tenant's checkpoints in the file's order; a missing file has none. */
export async function readCheckpoints(path: string, tenant: number): Promise<CheckpointFile> {
  const checkpoints: Checkpoint[] = [];
  const unreadableLines: number[] = [];
  let number = 0;
  try {
    for await (const line of createInterface({ input: createReadStream(path), crlfDelay: Infinity })) {
      number += 1;
      const checkpoint = parseCheckpoint(line);
      if (checkpoint === undefined) unreadableLines.push(number);
      else if (checkpoint.tenant === tenant) checkpoints.push(checkpoint);
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  return { checkpoints, unreadableLines };
}

const FIELDS: Readonly<Record<keyof Checkpoint, 'number' | 'string'>> = {
  chain: 'number',
  writer: 'string',
  tenant: 'number',
  seq: 'number',
  hash: 'string',
  at: 'number',
  key: 'string',
  signature: 'string',
};

function parseCheckpoint(line: string): Checkpoint | undefined {
  try {
    const value = JSON.parse(line) as Partial<Record<string, unknown>> | null;
    const complete = Object.entries(FIELDS).every(([field, type]) => typeof value?.[field] === type);
    return complete ? (value as unknown as Checkpoint) : undefined;
  } catch {
    return undefined;
  }
}
