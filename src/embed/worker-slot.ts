/** One place for a worker: it starts the worker, gives it one job at a time and replaces it when it dies. */
import type { Worker } from 'node:worker_threads';
import { BulkheadError } from '../errors.ts';
import type { WorkerAnswer, WorkerReply, WorkerRequest } from './protocol.ts';

export interface Job {
  readonly request: WorkerRequest;
  readonly resolve: (answer: WorkerAnswer) => void;
  readonly reject: (error: BulkheadError) => void;
}

export interface SlotOptions {
  readonly startWorker: () => Worker;
  /** Milliseconds before the worker is started again after its n-th failure in a row (from 1). */
  readonly restartDelay: (failures: number) => number;
  /** Called when the slot has become free. */
  readonly onFree: () => void;
  /** Called when the worker has died or could not be started again; the next start is `delay` milliseconds away. */
  readonly onFailure: (error: BulkheadError, delay: number) => void;
}

type State = 'starting' | 'free' | 'busy' | 'down' | 'closed';

export class WorkerSlot {
  readonly #options: SlotOptions;
  #state: State = 'down';
  #worker: Worker | undefined;
  #job: Job | undefined;
  #restart: NodeJS.Timeout | undefined;
  /** In a row: an answered job starts the count anew, a mere start does not. */
  #failures = 0;

  constructor(options: SlotOptions) {
    this.#options = options;
  }

  /**
   * Starts the first worker, and does not try again if that fails.
   *
   * @throws {BulkheadError} what the worker refused with, or `embedding_unavailable`
   */
  open(): Promise<void> {
    return new Promise((resolve, reject) => {
      let opened = false;
      const onReady = () => {
        opened = true;
        resolve();
      };
      this.#start(onReady, (error) => (opened ? this.#lost(error) : reject(error)));
    });
  }

  get isFree(): boolean {
    return this.#state === 'free';
  }

  /** A slot that is not alive has lost its worker and waits for the next. */
  get isAlive(): boolean {
    return this.#state === 'free' || this.#state === 'busy';
  }

  assign(job: Job): void {
    this.#state = 'busy';
    this.#job = job;
    this.#worker?.postMessage(job.request);
  }

  /** Ends the worker; a job it was at is rejected. */
  async close(): Promise<void> {
    this.#state = 'closed';
    clearTimeout(this.#restart);
    const worker = this.#worker;
    this.#worker = undefined;
    this.#take()?.reject(closed());
    await worker?.terminate();
  }

  #start(onReady: () => void, onFailure: (error: BulkheadError) => void): void {
    this.#state = 'starting';
    const worker = this.#options.startWorker();
    this.#worker = worker;
    const isCurrent = () => this.#worker === worker;
    const fail = (error: BulkheadError) => {
      if (!isCurrent()) return;
      this.#worker = undefined;
      void worker.terminate();
      onFailure(error);
    };
    worker.on('message', (reply: WorkerReply) => {
      if (!isCurrent()) return;
      if (reply.kind === 'refused') fail(new BulkheadError(reply.code, reply.detail));
      else if (reply.kind === 'ready') this.#ready(onReady);
      else this.#settle(reply);
    });
    worker.on('messageerror', (cause) => fail(died(cause)));
    worker.on('error', (cause) => fail(died(cause)));
    worker.on('exit', (code) => fail(died(new Error(`exit code ${code}`))));
  }

  #ready(onReady: () => void): void {
    this.#state = 'free';
    onReady();
  }

  #lost(error: BulkheadError): void {
    this.#state = 'down';
    this.#failures += 1;
    const delay = this.#options.restartDelay(this.#failures);
    this.#restart = setTimeout(() => this.#start(this.#options.onFree, (next) => this.#lost(next)), delay);
    this.#take()?.reject(unavailable(delay, error));
    this.#options.onFailure(error, delay);
  }

  #settle(reply: WorkerAnswer | { readonly kind: 'failed'; readonly message: string }): void {
    const job = this.#take();
    this.#state = 'free';
    if (reply.kind === 'failed') {
      const cause = new Error(reply.message);
      job?.reject(new BulkheadError('embedding_unavailable', 'The embedding model failed.', { cause }));
    } else {
      this.#failures = 0;
      job?.resolve(reply);
    }
    this.#options.onFree();
  }

  #take(): Job | undefined {
    const job = this.#job;
    this.#job = undefined;
    return job;
  }
}

export function closed(): BulkheadError {
  return new BulkheadError('embedding_unavailable', 'The embedder was closed.');
}

/**
 * What a job is told whose worker is gone, or is not back yet.
 *
 * @param delay milliseconds until the worker is started again
 */
export function unavailable(delay: number, cause: BulkheadError): BulkheadError {
  const retryAfterSeconds = Math.max(1, Math.ceil(delay / 1000));
  const detail = 'The embedding model stopped and is being started again.';
  return new BulkheadError('embedding_unavailable', detail, { retryAfterSeconds, cause });
}

function died(cause: unknown): BulkheadError {
  return new BulkheadError('embedding_unavailable', 'The embedding worker ended unexpectedly.', { cause });
}
