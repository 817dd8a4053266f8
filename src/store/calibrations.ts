/** What was measured of the installed index, kept where every process can read it. */
import { sql } from 'kysely';
import type { Instant } from '../policy/ids.ts';
import type { Database } from './database.ts';

/** Replaces what was measured of the same model's index before. */
export async function storeCalibration(
  database: Database,
  fingerprint: string,
  measuredAt: Instant,
  body: object,
): Promise<void> {
  await database.statement(
    'indexer',
    undefined,
    sql`insert into bulkhead.index_calibration (fingerprint, measured_at, body)
      values (${fingerprint}, ${new Date(measuredAt).toISOString()}::timestamptz, ${JSON.stringify(body)}::text::jsonb)
      on conflict (fingerprint) do update set measured_at = excluded.measured_at, body = excluded.body`,
  );
}

/** As it was stored; `undefined` before the first. */
async function readCalibration(database: Database, fingerprint: string): Promise<unknown> {
  const [row] = await database.statement(
    'retrieve',
    undefined,
    sql<{ body: unknown }>`select body from bulkhead.index_calibration where fingerprint = ${fingerprint}`,
  );
  return row?.body;
}

const REFRESH_MS = 60_000;

export interface InstalledCalibrationOptions<T> {
  readonly database: Database;
  readonly fingerprint: string;
  /** `undefined` for what cannot be used; then searches are exact. */
  readonly parse: (body: unknown) => T | undefined;
  readonly now: () => Instant;
  /** Called once, when there is nothing to plan by. */
  readonly onMissing: () => void;
  readonly onFailure: (error: unknown) => void;
}

/** The calibration in force, looked for once a minute, beside the requests and never within one. */
export class InstalledCalibration<T> {
  readonly #options: InstalledCalibrationOptions<T>;
  #known: T | undefined;
  #askedAt: Instant | undefined;
  #hasTold = false;

  constructor(options: InstalledCalibrationOptions<T>) {
    this.#options = options;
  }

  /** The newest one a minute ago; `undefined` where there is none. */
  current(): T | undefined {
    const now = this.#options.now();
    if (this.#askedAt === undefined || now - this.#askedAt >= REFRESH_MS || now < this.#askedAt)
      void this.refresh();
    return this.#known;
  }

  /** Looks now. Never throws: what is known stays when the database does not answer. */
  async refresh(): Promise<void> {
    const { database, fingerprint, parse, now, onMissing, onFailure } = this.#options;
    this.#askedAt = now();
    try {
      this.#known = parse(await readCalibration(database, fingerprint));
    } catch (error) {
      onFailure(error);
      return;
    }
    if (this.#known !== undefined || this.#hasTold) return;
    this.#hasTold = true;
    onMissing();
  }
}
