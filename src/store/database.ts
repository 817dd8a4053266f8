import { AsyncLocalStorage } from 'node:async_hooks';
import type { Kysely, Transaction } from 'kysely';
import { BulkheadError } from '../errors.ts';
import { toDatabaseError } from './database-error.ts';
import type { ProcessRole } from './process-role.ts';
import type { Schema } from './schema.ts';
import { enterContext, type SessionContext } from './session-context.ts';

export type Work = Transaction<Schema>;

/** What differs between the embedded engine and a server. */
export interface Engine {
  readonly kind: 'pglite' | 'postgres';
  readonly kysely: Kysely<Schema>;
  /** Makes what was committed survive `kill -9`; resolves at once where commit already means that. */
  flush(): Promise<void>;
  /** Checkpoint, vacuum and statistics, where no server does them by itself. */
  maintain(): Promise<void>;
  close(): Promise<void>;
}

/**
 * The only way to the tables: a unit of work runs in one transaction, as one process role, with the caller's
 * settings, and both end with it. There is no handle without a role.
 */
export class Database {
  readonly kind: Engine['kind'];
  readonly #engine: Engine;
  readonly #inside = new AsyncLocalStorage<true>();

  constructor(engine: Engine) {
    this.#engine = engine;
    this.kind = engine.kind;
  }

  /**
   * Runs the work in one transaction. Without a context every policy compares with null and shows nothing.
   * @throws DatabaseError stripped of statement and values; BulkheadError from the work passes unchanged
   */
  async unitOfWork<T>(
    role: ProcessRole,
    context: SessionContext | undefined,
    work: (trx: Work) => Promise<T>,
  ): Promise<T> {
    // one connection when embedded: a second transaction inside the first would wait for itself for ever
    if (this.#inside.getStore())
      throw new BulkheadError('internal', 'A unit of work was started inside another.');
    try {
      return await this.#inside.run(true, () =>
        this.#engine.kysely.transaction().execute(async (trx) => {
          await enterContext(role, context).execute(trx);
          return work(trx);
        }),
      );
    } catch (error) {
      throw toDatabaseError(error);
    }
  }

  flush(): Promise<void> {
    return this.#engine.flush();
  }

  maintain(): Promise<void> {
    return this.#engine.maintain();
  }

  close(): Promise<void> {
    return this.#engine.close();
  }
}
