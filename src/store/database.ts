import { AsyncLocalStorage } from 'node:async_hooks';
import { type CompiledQuery, type Kysely, type RawBuilder, sql, type Transaction } from 'kysely';
import { BulkheadError } from '../errors.ts';
import { toCallersError } from './database-error.ts';
import type { ProcessRole } from './process-role.ts';
import type { Schema } from './schema.ts';
import { enterContext, type SessionContext } from './session-context.ts';

export type Work = Transaction<Schema>;

/** The connections that the units of work of one role use, so that no role starves another. */
export interface Connections {
  readonly kysely: Kysely<Schema>;
  /**
   * One transaction of two statements, `enter` and this one; resolves to its rows once it is committed. When
   * either fails, nothing is kept and the connection is as it was before.
   * @param sets what `enter` does: a connection that has its role and limits for as long as it lives needs no `enter`
   *   that sets nothing else
   */
  transact(enter: string, statement: CompiledQuery, sets: 'context' | 'role'): Promise<readonly unknown[]>;
}

/** What differs between the embedded engine and a server. */
export interface Engine {
  readonly kind: 'pglite' | 'postgres';
  /** Settings of every transaction, beside the caller's. */
  readonly limits: Readonly<Record<string, string>>;
  as(role: ProcessRole): Connections;
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
  readonly #only: ProcessRole | undefined;
  readonly #inside = new AsyncLocalStorage<true>();

  /** @param only the one role that this process may take; absent = each, one a unit of work */
  constructor(engine: Engine, only?: ProcessRole) {
    this.#engine = engine;
    this.#only = only;
    this.kind = engine.kind;
  }

  /** The same store for a process of one role: work in another is refused here, before its login refuses it too. */
  boundTo(role: ProcessRole): Database {
    return new Database(this.#engine, role);
  }

  /**
   * Runs the work in one transaction. Without a context every policy compares with null and shows nothing.
   * @throws BulkheadError `database_unavailable` when the server is gone, going or full; DatabaseError stripped of
   *   statement and values; what the work throws passes unchanged
   */
  async unitOfWork<T>(
    role: ProcessRole,
    context: SessionContext | undefined,
    work: (trx: Work) => Promise<T>,
  ): Promise<T> {
    this.#refuseForeign(role);
    this.#refuseNesting();
    try {
      return await this.#noted(() =>
        this.#engine
          .as(role)
          .kysely.transaction()
          .execute(async (trx) => {
            await sql.raw(enterContext(role, context, this.#engine.limits)).execute(trx);
            return work(trx);
          }),
      );
    } catch (error) {
      throw toCallersError(error);
    }
  }

  /**
   * A unit of work of exactly one statement, which a server answers in one round trip. Resolves to its rows when the
   * transaction is committed, and then as durable as the engine makes a commit.
   * @throws as `unitOfWork` does
   */
  async statement<T>(
    role: ProcessRole,
    context: SessionContext | undefined,
    statement: RawBuilder<T>,
  ): Promise<readonly T[]> {
    this.#refuseForeign(role);
    this.#refuseNesting();
    const connections = this.#engine.as(role);
    const compiled = statement.compile(connections.kysely);
    try {
      return (await connections.transact(
        enterContext(role, context, this.#engine.limits),
        compiled,
        context === undefined ? 'role' : 'context',
      )) as readonly T[];
    } catch (error) {
      throw toCallersError(error);
    }
  }

  #refuseForeign(role: ProcessRole): void {
    if (this.#only === undefined || role === this.#only) return;
    throw new BulkheadError('internal', `A process of the role ${this.#only} was about to work as ${role}.`);
  }

  /**
   * One connection when embedded: a second transaction inside the first would wait for itself for ever. A server has
   * more of them, and there nothing is noted: a store of this kind, once used, slows every promise of the process.
   */
  #noted<T>(work: () => Promise<T>): Promise<T> {
    return this.kind === 'pglite' ? this.#inside.run(true, work) : work();
  }

  #refuseNesting(): void {
    if (this.#inside.getStore())
      throw new BulkheadError('internal', 'A unit of work was started inside another.');
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
