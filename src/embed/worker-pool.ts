/** Some workers with the same model, and the jobs that wait for one of them. */
import type { Worker } from 'node:worker_threads';
import type { BulkheadError } from '../errors.ts';
import type { WorkerAnswer, WorkerRequest } from './protocol.ts';
import { closed, type Job, unavailable, WorkerSlot } from './worker-slot.ts';

export interface PoolOptions {
  readonly size: number;
  readonly startWorker: () => Worker;
  /** Milliseconds before a worker is started again after its n-th failure in a row (from 1). */
  readonly restartDelay: (failures: number) => number;
  /** Told about every worker that died, for the log. */
  readonly onFailure: (error: BulkheadError) => void;
}

/**
 * Opens all workers at once.
 *
 * @throws {BulkheadError} of the first worker that could not start; the others are then ended
 */
export async function openPool(options: PoolOptions): Promise<WorkerPool> {
  const pool = new WorkerPool(options);
  try {
    await pool.open();
  } catch (error) {
    await pool.close();
    throw error;
  }
  return pool;
}

export class WorkerPool {
  readonly #slots: readonly WorkerSlot[];
  readonly #options: PoolOptions;
  #queue: Job[] = [];
  #closed = false;
  /** What is said to jobs while no worker is alive. */
  #outage = closed();

  constructor(options: PoolOptions) {
    this.#options = options;
    const { size, startWorker, restartDelay } = options;
    const onFree = () => this.#dispatch();
    const onFailure = (error: BulkheadError, delay: number) => this.#failed(error, delay);
    this.#slots = Array.from(
      { length: size },
      () => new WorkerSlot({ startWorker, restartDelay, onFree, onFailure }),
    );
  }

  async open(): Promise<void> {
    await Promise.all(this.#slots.map((slot) => slot.open()));
  }

  /**
   * Runs one request on the next free worker; what is counted goes before what is embedded, as it is quick.
   *
   * @throws {BulkheadError} `embedding_unavailable` when the worker dies at it, or none is alive
   */
  run(request: WorkerRequest): Promise<WorkerAnswer> {
    return new Promise((resolve, reject) => {
      const job: Job = { request, resolve, reject };
      if (this.#closed) return reject(closed());
      if (request.kind === 'count') this.#queue.unshift(job);
      else this.#queue.push(job);
      this.#dispatch();
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#rejectAll(closed());
    await Promise.all(this.#slots.map((slot) => slot.close()));
  }

  #dispatch(): void {
    if (!this.#slots.some((slot) => slot.isAlive)) this.#rejectAll(this.#outage);
    for (const slot of this.#slots) {
      const job = slot.isFree ? this.#queue.shift() : undefined;
      if (job !== undefined) slot.assign(job);
    }
  }

  /** Waiting for a worker that may never come back would hold up the caller: say so at once. */
  #failed(error: BulkheadError, delay: number): void {
    this.#outage = unavailable(delay, error);
    this.#options.onFailure(error);
    this.#dispatch();
  }

  #rejectAll(error: BulkheadError): void {
    const waiting = this.#queue;
    this.#queue = [];
    for (const job of waiting) job.reject(error);
  }
}
