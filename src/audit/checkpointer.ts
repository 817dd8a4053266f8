import { AsyncResource } from 'node:async_hooks';
import { BulkheadError } from '../errors.ts';
import type { Instant } from '../policy/ids.ts';
import type { Database } from '../store/database.ts';
import type { ProcessRole } from '../store/process-role.ts';
import { type ItemResult, readHeads, type StoredHead, storeCheckpoints } from './audit-calls.ts';
import type { AuditKey } from './audit-key.ts';
import { appendCheckpoints, signCheckpoint } from './checkpoint.ts';

/** Runs the work once after the delay; the function returned cancels it. */
export type Schedule = (delayMs: number, work: () => void) => () => void;

export interface CheckpointerOptions {
  readonly database: Database;
  /** Whose connection writes: any but `indexer`. */
  readonly role: ProcessRole;
  /** Names this process among those that write; unique among the live ones, kept over a restart. */
  readonly writer: string;
  readonly key: AuditKey;
  /** Path of the checkpoints outside the database. */
  readonly checkpointsFile: string;
  readonly now: () => Instant;
  /** Told when a checkpoint that was due failed; it is tried again later. */
  readonly onCheckpointFailure: (error: unknown) => void;
  /** For tests; by default a timer that does not keep the process alive. */
  readonly schedule?: Schedule | undefined;
}

/** A checkpoint is due after this many records, or this long after the first that none covers. */
const RECORDS_PER_CHECKPOINT = 1000;
const CHECKPOINT_DELAY_MS = 60_000;

/** Signs the heads of this writer's chains, now and then and when told to. */
export class Checkpointer {
  readonly #options: CheckpointerOptions;
  readonly #schedule: Schedule;
  /** Work noted inside a transaction is done after it: its async context must not come along. */
  readonly #detached = new AsyncResource('Checkpointer');
  /** By chain, the last record this process wrote, as it was told. */
  readonly #heads = new Map<number, { readonly seq: number; readonly hash: string }>();
  #uncovered = 0;
  #cancelTimer: (() => void) | undefined;
  #running: Promise<void> = Promise.resolve();

  constructor(options: CheckpointerOptions) {
    this.#options = options;
    this.#schedule = options.schedule ?? unrefTimer;
    // the last process of this name may have been killed before it could cover what it wrote
    this.#startTimer();
  }

  /** Takes note of what a durable batch wrote. */
  noteHeads(results: readonly ItemResult[]): void {
    for (const result of results)
      if (result.status === 'appended') this.#heads.set(result.chain, { seq: result.seq, hash: result.hash });
    this.noteAppended(results.filter((result) => result.status === 'appended').length);
  }

  /** Takes note of records that may be committed later, or never. */
  noteAppended(records: number): void {
    if (records === 0) return;
    const before = this.#uncovered;
    this.#uncovered += records;
    if (before < RECORDS_PER_CHECKPOINT && this.#uncovered >= RECORDS_PER_CHECKPOINT) this.#runInBackground();
    else this.#startTimer();
  }

  /** One at a time, in turn. */
  run(): Promise<void> {
    const turn = this.#running.then(() => this.#detached.runInAsyncScope(() => this.#checkpoint()));
    this.#running = turn.catch(() => {});
    return turn;
  }

  async close(): Promise<void> {
    this.#stopTimer();
    await this.run();
    this.#stopTimer();
  }

  #startTimer(): void {
    this.#cancelTimer ??= this.#schedule(CHECKPOINT_DELAY_MS, () => {
      this.#cancelTimer = undefined;
      this.#runInBackground();
    });
  }

  #stopTimer(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
  }

  #runInBackground(): void {
    this.run().catch((error: unknown) => {
      this.#startTimer();
      this.#options.onCheckpointFailure(error);
    });
  }

  /** To the file first: the table may lag behind it, never the other way round. */
  async #checkpoint(): Promise<void> {
    const { database, role, writer, key, checkpointsFile, now } = this.#options;
    const covering = this.#uncovered;
    const known = new Map(this.#heads);
    try {
      const heads = await database.unitOfWork(role, undefined, (trx) => readHeads(trx, writer));
      // a signed record that a crash could still take back would look like tampering
      await database.flush();
      for (const head of heads) refuseForged(head, known.get(head.chain));
      const at = now();
      const checkpoints = heads
        .filter((head) => head.seq > head.covered)
        .map(({ chain, tenant, seq, hash }) => signCheckpoint(key, { chain, writer, tenant, seq, hash, at }));
      if (checkpoints.length > 0) {
        await appendCheckpoints(checkpointsFile, checkpoints);
        await database.unitOfWork(role, undefined, (trx) => storeCheckpoints(trx, checkpoints));
      }
    } catch (error) {
      throw toAuditError(error);
    }
    this.#uncovered -= covering;
  }
}

/** A chain that is not as this process left it is not signed. */
function refuseForged(
  head: StoredHead,
  known: { readonly seq: number; readonly hash: string } | undefined,
): void {
  if (known === undefined || head.seq > known.seq) return;
  if (head.seq === known.seq && head.hash === known.hash) return;
  throw new BulkheadError(
    'audit_broken',
    `Chain ${head.chain} of the audit log ends at record ${head.seq}, which is not what this process wrote as record ${known.seq}. Verify the log.`,
  );
}

function toAuditError(error: unknown): BulkheadError {
  if (error instanceof BulkheadError) return error;
  return new BulkheadError('audit_unavailable', 'The audit log could not be checkpointed.', { cause: error });
}

const unrefTimer: Schedule = (delayMs, work) => {
  const timer = setTimeout(work, delayMs);
  timer.unref();
  return () => clearTimeout(timer);
};
