import type { Database } from '../store/database.ts';
import type { SessionContext } from '../store/session-context.ts';
import { chainsOf, recordsOf, type StoredChain, storedCheckpoints } from './audit-rows.ts';
import type { Checkpoint } from './checkpoint.ts';
import type { SignedLoss } from './loss.ts';
import { type Anchor, type AuditProblem, verifyChain } from './verify-chain.ts';
import { hear, keepSigned, keyFor, type Witness, type Witnesses } from './witnesses.ts';

export interface AuditVerdict {
  readonly chains: number;
  readonly records: number;
  /** Empty when all is as it was written. */
  readonly problems: readonly AuditProblem[];
  /** What restores took back, as an operator declared under the audit key; never left out of an answer. */
  readonly losses: readonly SignedLoss[];
}

export interface VerifyOptions extends Witness {
  /** Of processes that write chains of their own; a chain that none of them speaks of is held against ours. */
  readonly others?: Witnesses | undefined;
}

const NO_OTHERS: Witnesses = new Map();

/** A chain older than this without any checkpoint has lost them: the first is due within a minute. */
const FIRST_CHECKPOINT_MS = 5 * 60_000;

/** Checkpoints of one chain, whether or not the database still has the chain. */
interface ChainEvidence {
  readonly writer: string;
  readonly stored: StoredChain | undefined;
  readonly inFile: Checkpoint[];
  readonly inTable: Checkpoint[];
}

/**
 * Verifies the chains of the context's tenant. What was cut off the end after the file's last checkpoint cannot be
 * seen; everything else can, as long as the files and the keys are not the attacker's too.
 * @throws DatabaseError
 */
export async function verifyTenant(
  database: Database,
  context: SessionContext,
  options: VerifyOptions,
): Promise<AuditVerdict> {
  const { others = NO_OTHERS } = options;
  // the files first: what they know is in the database, however much is added meanwhile
  const heard = await hear(options, others, context.tenant);
  const chains = await chainsOf(database, context);
  const signedInTable = await keepSigned(await storedCheckpoints(database, context, chains), (writer) =>
    keyFor(options, others, writer),
  );
  const problems = [...heard.problems, ...signedInTable.problems];
  let records = 0;
  const evidence = gather(chains, heard.checkpoints, signedInTable.checkpoints);
  for (const chain of evidence) {
    const rows = chain.stored === undefined ? [] : recordsOf(database, context, chain.stored.chain);
    const verdict = await verifyChain(chain.writer, rows, [
      ...anchors(chain),
      ...keptRecords(chain, heard.losses),
    ]);
    records += verdict.records;
    problems.push(...verdict.problems, ...missingCheckpoints(chain, verdict.firstAt, context.now));
  }
  return { chains: evidence.length, records, problems, losses: heard.losses };
}

/** The record that the chain goes on from, unless a later restore took it back too. */
function keptRecords({ stored, writer }: ChainEvidence, losses: readonly SignedLoss[]): readonly Anchor[] {
  const own = losses.filter((loss) => loss.chain === stored?.chain && loss.writer === writer);
  return own.flatMap(({ kept, hash, at }, i) =>
    kept === 0 || own.slice(i + 1).some((later) => later.kept < kept)
      ? []
      : [{ seq: kept, hash, saidBy: `the loss declared on ${new Date(at).toISOString()}` }],
  );
}

function gather(
  chains: readonly StoredChain[],
  inFile: readonly Checkpoint[],
  inTable: readonly Checkpoint[],
): readonly ChainEvidence[] {
  const evidence = new Map<string, ChainEvidence>();
  const of = (chain: number, writer: string, stored?: StoredChain): ChainEvidence => {
    const key = `${chain} ${writer}`;
    const known = evidence.get(key) ?? { writer, stored, inFile: [], inTable: [] };
    evidence.set(key, known);
    return known;
  };
  for (const stored of chains) of(stored.chain, stored.writer, stored);
  for (const checkpoint of inFile) of(checkpoint.chain, checkpoint.writer).inFile.push(checkpoint);
  for (const checkpoint of inTable) of(checkpoint.chain, checkpoint.writer).inTable.push(checkpoint);
  return [...evidence.values()];
}

function anchors({ stored, inFile, inTable }: ChainEvidence): readonly Anchor[] {
  const signed = [...inFile, ...inTable].map(({ seq, hash, at }) => ({
    seq,
    hash,
    saidBy: `the checkpoint of ${new Date(at).toISOString()}`,
  }));
  if (stored === undefined || stored.seq === 0) return signed;
  return [...signed, { seq: stored.seq, hash: stored.hash, saidBy: 'the head of the chain' }];
}

/** The file is written before the table: one that knows less than the table, or nothing of an old chain, was cut. */
function missingCheckpoints(
  { writer, inFile, inTable }: ChainEvidence,
  firstAt: number | undefined,
  now: number,
): AuditProblem[] {
  const lastInFile = highest(inFile);
  const lastInTable = highest(inTable);
  const problem = (seq: number, detail: string): AuditProblem[] => [
    { writer, seq, what: 'checkpoints-missing', detail },
  ];
  if (lastInTable > lastInFile)
    return problem(
      lastInTable,
      `The checkpoint at record ${lastInTable} is in the database and not in the file.`,
    );
  if (lastInFile === 0 && firstAt !== undefined && firstAt < now - FIRST_CHECKPOINT_MS)
    return problem(
      1,
      'No checkpoint covers this chain, and the first was due within a minute of its first record.',
    );
  return [];
}

function highest(checkpoints: readonly Checkpoint[]): number {
  return checkpoints.reduce((seq, checkpoint) => Math.max(seq, checkpoint.seq), 0);
}
