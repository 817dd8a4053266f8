import { sql } from 'kysely';
import { BulkheadError } from '../errors.ts';
import type { Database } from './database.ts';
import { isOutage } from './database-error.ts';
import type { ProcessRole } from './process-role.ts';

const RETRY_AFTER_SECONDS = 2;

/** Proofs of possession that were used, for every replica to know. */
export class UsedProofs {
  readonly #database: Database;
  readonly #role: Exclude<ProcessRole, 'indexer'>;

  constructor(database: Database, role: Exclude<ProcessRole, 'indexer'>) {
    this.#database = database;
    this.#role = role;
  }

  /**
   * @param id 32 bytes
   * @param until milliseconds since 1970, from when on it would be refused for its age; at most five minutes from now
   * @param now milliseconds since 1970
   * @returns whether it was new
   * @throws BulkheadError `replay_check_unavailable`: then it counts as used
   */
  async use(id: Uint8Array, until: number, now: number): Promise<boolean> {
    try {
      const [row] = await this.#database.statement(
        this.#role,
        undefined,
        sql<{ new: boolean }>`select bulkhead.use_proof(
          ${Buffer.from(id)}, to_timestamp(${until} / 1000.0), to_timestamp(${now} / 1000.0)) as new`,
      );
      return row?.new === true;
    } catch (error) {
      if (!isOutage(error)) throw error;
      throw new BulkheadError('replay_check_unavailable', 'The database did not answer.', {
        retryAfterSeconds: error.retryAfterSeconds ?? RETRY_AFTER_SECONDS,
        cause: error,
      });
    }
  }
}
