import type { Instant } from '../policy/ids.ts';
import type { Database } from '../store/database.ts';
import type { ProcessRole } from '../store/process-role.ts';
import { readHeads, type StoredHead } from './audit-calls.ts';
import type { AuditKey } from './audit-key.ts';
import { appendCheckpoints, type Checkpoint, isSigned, readAllCheckpoints } from './checkpoint.ts';
import { type SignedLoss, signLoss } from './loss.ts';

interface LossParts {
  readonly database: Database;
  readonly role: ProcessRole;
  readonly key: AuditKey;
  readonly checkpointsFile: string;
  readonly now: () => Instant;
}

const GENESIS = '0'.repeat(64);

/**
 * Compares the checkpoint file with the database and declares, in that file and signed, the end of each chain that
 * the file knows and the database has no longer. For an operator who has restored a backup and says so; nothing is
 * declared when nothing is gone, so it may be run again.
 * @returns what was declared now
 * @throws BulkheadError `audit_unavailable`; DatabaseError
 */
export async function declareLosses(parts: LossParts): Promise<readonly SignedLoss[]> {
  const { database, role, key, checkpointsFile, now } = parts;
  const last = await lastKnown(parts);
  const heads = new Map<string, StoredHead>();
  for (const writer of new Set([...last.values()].map((checkpoint) => checkpoint.writer)))
    for (const head of await database.unitOfWork(role, undefined, (trx) => readHeads(trx, writer)))
      heads.set(nameOf({ ...head, writer }), head);
  const at = now();
  const losses = [...last].flatMap(([name, { chain, writer, tenant, seq }]) => {
    const { seq: kept, hash } = heads.get(name) ?? { seq: 0, hash: GENESIS };
    return kept >= seq ? [] : [signLoss(key, { chain, writer, tenant, kept, hash, lost: seq, at })];
  });
  if (losses.length > 0) await appendCheckpoints(checkpointsFile, losses);
  return losses;
}

/** By chain, the highest checkpoint of this key that no loss was declared after. */
async function lastKnown({ key, checkpointsFile }: LossParts): Promise<ReadonlyMap<string, Checkpoint>> {
  const { checkpoints, losses } = await readAllCheckpoints(checkpointsFile);
  const last = new Map<string, Checkpoint>();
  for (const [i, checkpoint] of checkpoints.entries()) {
    const name = nameOf(checkpoint);
    const isGone = losses.some(
      ({ loss, after }) => after > i && nameOf(loss) === name && checkpoint.seq > loss.kept,
    );
    if (isGone || checkpoint.seq <= (last.get(name)?.seq ?? 0)) continue;
    if (await isSigned(key.publicKey, checkpoint)) last.set(name, checkpoint);
  }
  return last;
}

function nameOf({ chain, writer, tenant }: { chain: number; writer: string; tenant: number }): string {
  return `${chain} ${tenant} ${writer}`;
}
