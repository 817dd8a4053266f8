import { type KeyObject, verify } from 'node:crypto';
import { createReadStream } from 'node:fs';
import type { Readable } from 'node:stream';
import type { AuditKey } from './audit-key.ts';
import { canonicalJson } from './canonical-json.ts';
import { appendLines } from './durable-file.ts';
import { parseLine } from './line.ts';
import { parseLoss, type SignedLoss } from './loss.ts';

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

/** A file's checkpoints of one tenant, the losses declared among them, and the lines (from 1) that hold neither. */
export interface CheckpointFile {
  readonly checkpoints: readonly Checkpoint[];
  readonly losses: readonly DeclaredLoss[];
  readonly unreadableLines: readonly number[];
}

/** What was declared, and of how many of the file's checkpoints it can speak: those before it. */
export interface DeclaredLoss {
  readonly loss: SignedLoss;
  readonly after: number;
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

/** Adds checkpoints or losses to the file, one JSON object a line, and returns when they are on disk. */
export async function appendCheckpoints(
  path: string,
  lines: readonly (Checkpoint | SignedLoss)[],
): Promise<void> {
  const isWhole = (line: string) => parseCheckpoint(line) !== undefined || parseLoss(line) !== undefined;
  await appendLines(path, lines.map(canonicalJson), isWhole);
}

/** How a file is opened for reading. */
type Open = (path: string) => Readable | Promise<Readable>;

/**
 * Reads the tenant's checkpoints in the file's order; a missing file has none.
 * @throws Error of the system, and what `open` throws
 */
export function readCheckpoints(
  path: string,
  tenant: number,
  open: Open = createReadStream,
): Promise<CheckpointFile> {
  return read(path, (line) => line.tenant === tenant, open);
}

/** As `readCheckpoints`, of every tenant. */
export function readAllCheckpoints(path: string): Promise<CheckpointFile> {
  return read(path, () => true);
}

async function read(
  path: string,
  isAskedFor: (line: { readonly tenant: number }) => boolean,
  open: Open = createReadStream,
): Promise<CheckpointFile> {
  const checkpoints: Checkpoint[] = [];
  const losses: DeclaredLoss[] = [];
  const unreadableLines: number[] = [];
  let number = 0;
  try {
    for await (const line of linesOf(await open(path))) {
      number += 1;
      const checkpoint = parseCheckpoint(line);
      const loss = checkpoint === undefined ? parseLoss(line) : undefined;
      if (checkpoint !== undefined && isAskedFor(checkpoint)) checkpoints.push(checkpoint);
      if (loss !== undefined && isAskedFor(loss)) losses.push({ loss, after: checkpoints.length });
      if (checkpoint === undefined && loss === undefined) unreadableLines.push(number);
      if (unreadableLines.length === MOST_UNREADABLE) break;
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  return { checkpoints, losses, unreadableLines };
}

/** A file that is this broken is not read further. */
const MOST_UNREADABLE = 1000;
/** Longer than any line written here. */
const LONGEST_LINE = 8192;

/** The lines, and an empty one for each that is too long to be ours: a file of one line would fill the memory. */
async function* linesOf(stream: Readable): AsyncIterable<string> {
  let line = '';
  stream.setEncoding('utf8');
  for await (const text of stream as AsyncIterable<string>) {
    const [first = '', ...more] = text.split('\n');
    line = (line + first).slice(0, LONGEST_LINE + 1);
    for (const next of more) {
      yield line.length > LONGEST_LINE ? '' : line;
      line = next;
    }
  }
  if (line !== '') yield line.length > LONGEST_LINE ? '' : line;
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
  return parseLine<Checkpoint>(line, FIELDS);
}
