import { DatabaseError } from '../store/database-error.ts';

/** Longest batch: bounds how long one commit holds its locks. */
const MAX_BATCH = 64;

interface Waiting<T, R> {
  readonly item: T;
  readonly resolve: (result: R) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * One commit at a time; what arrives meanwhile shares the next (group commit: DeWitt et al., "Implementation
 * techniques for main memory database systems", 1984).
 */
export class GroupCommit<T, R> {
  readonly #commit: (items: readonly T[]) => Promise<readonly R[]>;
  readonly #waiting: Waiting<T, R>[] = [];
  #draining: Promise<void> | undefined;

  /** @param commit makes all items durable and returns a result for each, or rejects and keeps none */
  constructor(commit: (items: readonly T[]) => Promise<readonly R[]>) {
    this.#commit = commit;
  }

  submit(item: T): Promise<R> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ item, resolve, reject });
      this.#draining ??= this.#drain();
    });
  }

  /** Resolves when everything submitted so far has been answered. */
  async idle(): Promise<void> {
    await this.#draining;
  }

  async #drain(): Promise<void> {
    // what is submitted in the same turn shares the first batch
    await Promise.resolve();
    while (this.#waiting.length > 0) await this.#settle(this.#waiting.splice(0, MAX_BATCH));
    this.#draining = undefined;
  }

  async #settle(batch: readonly Waiting<T, R>[]): Promise<void> {
    try {
      const results = await this.#commit(batch.map(({ item }) => item));
      batch.forEach(({ resolve }, i) => {
        resolve(results[i] as R);
      });
    } catch (error) {
      if (batch.length > 1 && isOneItemsFault(error)) for (const one of batch) await this.#settle([one]);
      else for (const { reject } of batch) reject(error);
    }
  }
}

/**
 * Bad data, a broken constraint or a lost deadlock, SQLSTATE classes 22, 23 and 40: the transaction was rolled
 * back, and the other items must not fail with the one that caused it.
 */
function isOneItemsFault(error: unknown): boolean {
  return error instanceof DatabaseError && /^(?:22|23|40)/.test(error.sqlState);
}
