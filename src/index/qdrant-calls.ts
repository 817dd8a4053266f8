/** Calls to a running server: what is tried again, when it is left alone, and the errors callers see. */
import {
  BrokenCircuitError,
  ConsecutiveBreaker,
  ConstantBackoff,
  circuitBreaker,
  ExponentialBackoff,
  handleWhen,
  type IPolicy,
  retry,
  wrap,
} from 'cockatiel';
import { BulkheadError, isBulkheadError } from '../errors.ts';
import { type FailureReason, type Method, QdrantFailure, type QdrantHttp } from './qdrant-http.ts';

const FAILURES_TO_OPEN = 5;
const OPEN_MS = 3_000;
const WRITE_RETRIES = 3;
const WRITE_BACKOFF = { initialDelay: 100, maxDelay: 2_000 };
/** A write waits until it is applied, and an optimizer may be in its way. */
const SHORTEST_WRITE_TIMEOUT_MS = 30_000;

export class QdrantCalls {
  readonly #http: QdrantHttp;
  readonly #readTimeoutMs: number;
  readonly #writeTimeoutMs: number;
  readonly #reads: IPolicy = wrap(retryOnce(), breaker());
  readonly #writes: IPolicy = wrap(retryWithBackoff(), breaker());

  constructor(http: QdrantHttp, timeoutMs: number) {
    this.#http = http;
    this.#readTimeoutMs = timeoutMs;
    this.#writeTimeoutMs = Math.max(timeoutMs, SHORTEST_WRITE_TIMEOUT_MS);
  }

  /** Tried once more if the connection broke or an alias was just moved. */
  read(method: Method, path: string, body?: unknown): Promise<unknown> {
    const limited = method === 'GET' ? path : this.#limited(path);
    return this.#run(this.#reads, () => this.#http.call(method, limited, body, this.#readTimeoutMs));
  }

  /**
   * Reads that fail as one: what is tried again is all of them, and the circuit counts one outcome. Each is sent as soon
   * as its body is there; none is under way any more when this ends.
   */
  async readEach(path: string, bodies: readonly (string | Promise<string>)[]): Promise<readonly unknown[]> {
    return this.#run(this.#reads, async () => {
      const sent = bodies.map(async (body) =>
        this.#http.call('POST', this.#limited(path), await body, this.#readTimeoutMs),
      );
      await Promise.allSettled(sent);
      return Promise.all(sent);
    });
  }

  /** For idempotent writes alone: tried again, with growing pauses, while the server cannot. */
  write(method: Method, path: string, body?: unknown): Promise<unknown> {
    return this.#run(this.#writes, () => this.#http.call(method, path, body, this.#writeTimeoutMs));
  }

  /** The server gives up as soon as nobody waits any more. */
  #limited(path: string): string {
    return `${path}?timeout=${Math.ceil(this.#readTimeoutMs / 1_000)}`;
  }

  async #run<T>(policy: IPolicy, call: () => Promise<T>): Promise<T> {
    try {
      return await policy.execute(call);
    } catch (error) {
      throw toIndexError(error);
    }
  }
}

/** For an answer that parses and is not what was asked for. */
export function garbledAnswer(): BulkheadError {
  return toIndexError(new QdrantFailure('garbled', 'shape'));
}

/** @returns false where the work failed because its collection was removed meanwhile */
export async function unlessRemoved(work: Promise<unknown>): Promise<boolean> {
  try {
    await work;
    return true;
  } catch (error) {
    if (isBulkheadError(error) && error.code === 'model_changed') return false;
    throw error;
  }
}

const TRANSIENT: ReadonlySet<FailureReason> = new Set(['connection', 'timeout', 'garbled', 'overloaded']);

function failed(reasons: (reason: FailureReason) => boolean) {
  return handleWhen((error) => error instanceof QdrantFailure && reasons(error.reason));
}

function breaker() {
  return circuitBreaker(
    failed((reason) => TRANSIENT.has(reason)),
    { halfOpenAfter: OPEN_MS, breaker: new ConsecutiveBreaker(FAILURES_TO_OPEN) },
  );
}

function retryOnce() {
  return retry(
    failed((reason) => reason === 'connection' || reason === 'no-collection'),
    { maxAttempts: 1, backoff: new ConstantBackoff(0) },
  );
}

function retryWithBackoff() {
  return retry(
    failed((reason) => TRANSIENT.has(reason)),
    { maxAttempts: WRITE_RETRIES, backoff: new ExponentialBackoff(WRITE_BACKOFF) },
  );
}

function toIndexError(error: unknown): BulkheadError {
  if (isBulkheadError(error)) return error;
  const reason = error instanceof QdrantFailure ? error.reason : undefined;
  switch (reason) {
    case 'no-collection':
    case 'other-vectors':
      return new BulkheadError('model_changed', 'The live index belongs to another embedding model.', {
        cause: error,
      });
    case 'exists':
      return new BulkheadError('conflict', 'The index has this collection already.', { cause: error });
    case 'refused':
      return new BulkheadError('internal', 'The index did not accept a request.', { cause: error });
    default:
      return new BulkheadError('index_unavailable', saidOf(error), {
        retryAfterSeconds: Math.ceil(OPEN_MS / 1_000),
        cause: error,
      });
  }
}

function saidOf(error: unknown): string {
  if (error instanceof BrokenCircuitError)
    return 'The index failed repeatedly and is left alone for a moment.';
  if (error instanceof QdrantFailure && error.reason === 'unauthorized')
    return 'The index does not accept the key of this process.';
  return 'The index did not answer.';
}
