import { AsyncResource } from 'node:async_hooks';
import { BulkheadError } from '../errors.ts';
import { type Instant, instant, type TenantId } from '../policy/ids.ts';
import type { Work } from '../store/database.ts';
import { type AuditItem, appendAtOnce, appendItems, type ItemResult } from './audit-calls.ts';
import type { EventBodies, EventKind } from './audit-event.ts';
import { canonicalJson } from './canonical-json.ts';
import { Checkpointer, type CheckpointerOptions } from './checkpointer.ts';
import { GroupCommit } from './group-commit.ts';
import { newReceiptId, type Random, type ReceiptBody, type ReleaseGuard } from './receipt.ts';

export type { ReleaseGuard } from './receipt.ts';

/** Where a durable record can be found again. The hash, kept by whoever got it, proves that it was not changed. */
interface Appended {
  readonly status: 'appended';
  /** Opaque, 128 random bits. */
  readonly id: string;
  /** SHA-256, hex. */
  readonly hash: string;
  readonly at: Instant;
}

/** Why it was released is the body's `purpose`. */
type ReceiptKind = 'release';

/** An event of a change that is recorded in the change's own transaction. */
export type AuditEvent = {
  [K in EventKind]: { readonly tenant: TenantId; readonly kind: K; readonly body: EventBodies[K] };
}[EventKind];

/**
 * The append-only log. A promise resolves when its record is durable, never before. None of the methods but
 * `appendWithin` may be called inside a unit of work: on one connection they would wait for each other.
 */
export interface AuditLog {
  /**
   * Records a release, if what it rests on still stands; otherwise nothing is written and nothing may be released.
   * @throws BulkheadError `audit_unavailable`, `shutting_down`
   */
  appendReceipt(
    tenant: TenantId,
    kind: ReceiptKind,
    body: ReceiptBody,
    guard: ReleaseGuard,
  ): Promise<Appended | { readonly status: 'moved' }>;
  /** @throws BulkheadError `audit_unavailable`, `shutting_down` */
  appendEvent<K extends EventKind>(tenant: TenantId, kind: K, body: EventBodies[K]): Promise<Appended>;
  /**
   * Records an event that tells somebody something, if what it rests on still stands; else nothing may be told.
   * @throws BulkheadError `audit_unavailable`, `shutting_down`
   */
  appendGuardedEvent<K extends EventKind>(
    tenant: TenantId,
    kind: K,
    body: EventBodies[K],
    guard: ReleaseGuard,
  ): Promise<Appended | { readonly status: 'moved' }>;
  /**
   * Records changes in their own transaction, as its last statement: the log's locks come after all others. They
   * are durable once that transaction is committed and `Database.flush` has resolved.
   * @throws BulkheadError `audit_unavailable`, which the transaction must not survive
   */
  appendWithin(trx: Work, events: readonly AuditEvent[]): Promise<readonly Appended[]>;
  /**
   * Signs the head of each chain that has grown.
   * @throws BulkheadError `audit_unavailable`; `audit_broken` when a chain is not as this process left it
   */
  checkpoint(): Promise<void>;
  /** Takes no more, finishes what it took, checkpoints. */
  close(): Promise<void>;
}

export interface AuditLogOptions extends CheckpointerOptions {
  readonly random: Random;
}

export function createAuditLog(options: AuditLogOptions): AuditLog {
  return new ChainedAuditLog(options);
}

class ChainedAuditLog implements AuditLog {
  readonly #options: AuditLogOptions;
  readonly #commits: GroupCommit<AuditItem, ItemResult>;
  readonly #checkpoints: Checkpointer;
  #closing: Promise<void> | undefined;

  constructor(options: AuditLogOptions) {
    this.#options = options;
    // batches serve many requests: none runs in the async context (transaction, trace) of the one that started it
    const detached = new AsyncResource('AuditLog');
    this.#commits = new GroupCommit((items) => detached.runInAsyncScope(() => this.#commit(items)));
    this.#checkpoints = new Checkpointer(options);
  }

  async appendReceipt(tenant: TenantId, kind: ReceiptKind, body: ReceiptBody, guard: ReleaseGuard) {
    return this.#append(this.#item(tenant, kind, body, guard));
  }

  async appendEvent<K extends EventKind>(tenant: TenantId, kind: K, body: EventBodies[K]): Promise<Appended> {
    return mustBeAppended(await this.#append(this.#item(tenant, kind, { v: 1, ...body }, null)));
  }

  async appendGuardedEvent<K extends EventKind>(
    tenant: TenantId,
    kind: K,
    body: EventBodies[K],
    guard: ReleaseGuard,
  ) {
    return this.#append(this.#item(tenant, kind, { v: 1, ...body }, guard));
  }

  async appendWithin(trx: Work, events: readonly AuditEvent[]): Promise<readonly Appended[]> {
    const items = events.map(({ tenant, kind, body }) => this.#item(tenant, kind, { v: 1, ...body }, null));
    try {
      const results = await appendItems(trx, this.#options.writer, items);
      this.#checkpoints.noteAppended(items.length);
      return items.map((item, i) => mustBeAppended(toOutcome(item, results[i])));
    } catch (error) {
      throw unavailable(error);
    }
  }

  checkpoint(): Promise<void> {
    return this.#checkpoints.run();
  }

  close(): Promise<void> {
    this.#closing ??= this.#commits.idle().then(() => this.#checkpoints.close());
    return this.#closing;
  }

  #item(tenant: TenantId, kind: string, body: unknown, guard: ReleaseGuard | null): AuditItem {
    return { tenant, kind, id: newReceiptId(this.#options.random), body: canonicalJson(body), guard };
  }

  async #append(item: AuditItem) {
    if (this.#closing !== undefined) throw new BulkheadError('shutting_down', 'The audit log is closed.');
    try {
      return toOutcome(item, await this.#commits.submit(item));
    } catch (error) {
      throw unavailable(error);
    }
  }

  /** One batch: written, committed, durable. */
  async #commit(items: readonly AuditItem[]): Promise<readonly ItemResult[]> {
    const { database, role, writer } = this.#options;
    const results = await appendAtOnce(database, role, writer, items);
    await database.flush();
    this.#checkpoints.noteHeads(results);
    return results;
  }
}

function toOutcome(item: AuditItem, result: ItemResult | undefined) {
  if (result?.status === 'appended')
    return { status: 'appended', id: item.id, hash: result.hash, at: instant(result.at) } as const;
  return { status: 'moved' } as const;
}

function mustBeAppended(outcome: Appended | { readonly status: 'moved' }): Appended {
  if (outcome.status === 'appended') return outcome;
  throw new BulkheadError(
    'audit_unavailable',
    'The audit log did not take a record that depends on nothing.',
  );
}

function unavailable(error: unknown): BulkheadError {
  if (error instanceof BulkheadError && error.code !== 'database_unavailable') return error;
  return new BulkheadError(
    'audit_unavailable',
    'The audit log could not be written, so nothing was released.',
    { retryAfterSeconds: 2, cause: error },
  );
}
