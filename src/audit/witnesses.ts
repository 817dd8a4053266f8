/**
 * What proves chains from outside of the database: checkpoint files and public keys, of this process and of others that
 * write chains of their own. Each speaks of its own chains only.
 */
import { createPublicKey, type KeyObject } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { BulkheadError } from '../errors.ts';
import { auditKeyId } from './audit-key.ts';
import {
  type Checkpoint,
  type CheckpointFile,
  type DeclaredLoss,
  isSigned,
  readCheckpoints,
} from './checkpoint.ts';
import { isLossSigned, type SignedLoss } from './loss.ts';
import { openUntrusted, readUntrusted } from './untrusted-file.ts';
import type { AuditProblem } from './verify-chain.ts';

export interface Witness {
  /** Path of the checkpoints kept outside the database. */
  readonly checkpointsFile: string;
  /** Ed25519, from where the audit key is kept and not from the database. */
  readonly publicKey: KeyObject;
}

/** What should have proved a writer's chains and does not; theirs alone are without proof then. */
interface UnusableWitness {
  readonly unusable: string;
}

/** By the name of the chains' writer. */
export type Witnesses = ReadonlyMap<string, Witness | UnusableWitness>;

/** What is left of the files when all that nobody signed is taken out. */
export interface Testimony {
  readonly checkpoints: readonly Checkpoint[];
  readonly losses: readonly SignedLoss[];
  readonly problems: readonly AuditProblem[];
}

export const PUBLIC_KEY_FILE = 'audit.pub';
export const CHECKPOINTS_FILE = 'audit-checkpoints.ndjson';

/** An Ed25519 public key in PEM has 113. */
const MOST_KEY_BYTES = 4096;

/**
 * Reads a folder that has one for each other writer, by its name, with that process's `audit.pub` and
 * `audit-checkpoints.ndjson`: mounted there, or copied. Without the folder there are none. Whoever took over one of
 * those processes may have put anything in their place.
 * @throws BulkheadError `config_invalid` for a folder that cannot be read
 */
export async function readWitnesses(folder: string): Promise<Witnesses> {
  const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw new BulkheadError('config_invalid', `The folder ${folder} could not be read: ${error.message}.`);
  });
  return new Map(
    await Promise.all(names.map(async (name) => [name, await readWitness(folder, name)] as const)),
  );
}

async function readWitness(folder: string, name: string): Promise<Witness | UnusableWitness> {
  const file = join(folder, name, PUBLIC_KEY_FILE);
  try {
    const publicKey = createPublicKey(await readUntrusted(file, MOST_KEY_BYTES));
    if (publicKey.asymmetricKeyType === 'ed25519')
      return { publicKey, checkpointsFile: join(folder, name, CHECKPOINTS_FILE) };
  } catch {
    // whatever it is, it is no key
  }
  return { unusable: `${file} is not a plain file with an Ed25519 public key in PEM.` };
}

/** The key that a writer's checkpoints in the database are signed with; `undefined` where it cannot be told. */
export function keyFor(own: Witness, others: Witnesses, writer: string): KeyObject | undefined {
  const witness = others.get(writer) ?? own;
  return 'unusable' in witness ? undefined : witness.publicKey;
}

/** What all the files say of one tenant. */
export async function hear(own: Witness, others: Witnesses, tenant: number): Promise<Testimony> {
  const heard = [
    await hearOne(own, await readCheckpoints(own.checkpointsFile, tenant), (writer) => !others.has(writer)),
    ...(await Promise.all([...others].map(([name, witness]) => hearOther(name, witness, tenant)))),
  ];
  return {
    checkpoints: heard.flatMap(({ checkpoints }) => checkpoints),
    losses: heard.flatMap(({ losses }) => losses),
    problems: heard.flatMap(({ problems }) => problems),
  };
}

/** What is wrong with one is said of its writer, and keeps none of the others from being heard. */
async function hearOther(
  name: string,
  witness: Witness | UnusableWitness,
  tenant: number,
): Promise<Testimony> {
  if ('unusable' in witness) return noTestimony(name, witness.unusable);
  try {
    const file = await readCheckpoints(witness.checkpointsFile, tenant, openUntrusted);
    return await hearOne(witness, file, (writer) => writer === name);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return noTestimony(name, `${witness.checkpointsFile} was not read: ${why}.`);
  }
}

function noTestimony(writer: string, detail: string): Testimony {
  return { checkpoints: [], losses: [], problems: [{ writer, seq: 0, what: 'bad-witness', detail }] };
}

async function hearOne(
  { publicKey }: Witness,
  file: CheckpointFile,
  mayTellOf: (writer: string) => boolean,
): Promise<Testimony> {
  const declared = signedLosses(
    file.losses.filter(({ loss }) => mayTellOf(loss.writer)),
    publicKey,
  );
  const standing = notLost(file.checkpoints, declared.losses).filter(({ writer }) => mayTellOf(writer));
  const signed = await keepSigned(standing, () => publicKey);
  return {
    checkpoints: signed.checkpoints,
    losses: declared.losses.map(({ loss }) => loss),
    problems: [...unreadable(file.unreadableLines), ...declared.problems, ...signed.problems],
  };
}

function unreadable(lines: readonly number[]): AuditProblem[] {
  return lines.map((line) => ({
    writer: '',
    seq: 0,
    what: 'bad-signature',
    detail: `Line ${line} of the checkpoint file is not a checkpoint.`,
  }));
}

/** Only losses that the key signed excuse anything. */
function signedLosses(all: readonly DeclaredLoss[], publicKey: KeyObject) {
  const losses = all.filter(({ loss }) => isLossSigned(publicKey, loss));
  const problems = all
    .filter((declared) => !losses.includes(declared))
    .map(({ loss: { writer, kept } }): AuditProblem => {
      const detail = `The signature of the loss declared after record ${kept} is not by the audit key.`;
      return { writer, seq: kept, what: 'bad-signature', detail };
    });
  return { losses, problems };
}

/** A loss speaks of the checkpoints written before it; those of later records of its chain hold no longer. */
function notLost(checkpoints: readonly Checkpoint[], losses: readonly DeclaredLoss[]): readonly Checkpoint[] {
  return checkpoints.filter(
    ({ chain, writer, seq }, i) =>
      !losses.some(
        ({ loss, after }) => i < after && loss.chain === chain && loss.writer === writer && seq > loss.kept,
      ),
  );
}

/** Only checkpoints that the writer's key signed prove anything; where it is not known, none does. */
export async function keepSigned(
  all: readonly Checkpoint[],
  keyOf: (writer: string) => KeyObject | undefined,
): Promise<{ readonly checkpoints: readonly Checkpoint[]; readonly problems: readonly AuditProblem[] }> {
  const checkpoints: Checkpoint[] = [];
  const problems: AuditProblem[] = [];
  for (const checkpoint of all) {
    const key = keyOf(checkpoint.writer);
    if (key === undefined) continue;
    if (await isSigned(key, checkpoint)) checkpoints.push(checkpoint);
    else problems.push(badSignature(checkpoint, auditKeyId(key)));
  }
  return { checkpoints, problems };
}

function badSignature({ writer, seq, key }: Checkpoint, keyId: string): AuditProblem {
  const why = key === keyId ? 'is not by the audit key' : `is by another key, ${key}`;
  const detail = `The signature of the checkpoint at record ${seq} ${why}.`;
  return { writer, seq, what: 'bad-signature', detail };
}
