import type { ErrorCode } from '../errors.ts';

/** A request that was turned away, as the audit log records it. */
export interface Refusal {
  /** Absent when the caller could not be told. */
  readonly tenant: string | undefined;
  readonly subject: string | null;
  readonly actor: string | null;
  readonly request: string | null;
  readonly code: ErrorCode;
  readonly status: number;
  /** A pattern, without ids. */
  readonly route: string;
  /** How many requests this record stands for. */
  readonly count: number;
}

interface RefusalLogOptions {
  /** Milliseconds since 1970. */
  readonly now: () => number;
  readonly record: (refusal: Refusal) => Promise<void>;
  /** Told when the audit log did not take a record; the request is refused all the same. */
  readonly onFailure: (error: unknown) => void;
  /** Records a minute of one code and tenant; default 20. */
  readonly perMinute?: number;
}

const MINUTE_MS = 60_000;
/** Codes are few and tenants are configured, but a bound is a bound. */
const MAX_KEYS = 1_000;

interface Minute {
  readonly startedAt: number;
  recorded: number;
  withheld: Refusal | undefined;
}

/**
 * Records refusals, a few a minute one by one and the rest as one count, so that a flood of bad tokens does not
 * fill the audit log.
 */
export class RefusalLog {
  readonly #options: RefusalLogOptions;
  readonly #minutes = new Map<string, Minute>();

  constructor(options: RefusalLogOptions) {
    this.#options = options;
  }

  /** Resolves when the record is durable, or at once when the refusal was only counted. */
  async note(refusal: Omit<Refusal, 'count'>): Promise<void> {
    await this.#closeEnded();
    const key = `${refusal.tenant ?? ''} ${refusal.code}`;
    const minute = this.#minutes.get(key) ?? this.#open(key);
    if (minute.recorded < (this.#options.perMinute ?? 20)) {
      minute.recorded += 1;
      await this.#record({ ...refusal, count: 1 });
    } else {
      const count = (minute.withheld?.count ?? 0) + 1;
      if (count === 1) setTimeout(() => void this.#closeEnded(), MINUTE_MS).unref();
      minute.withheld = { ...refusal, subject: null, actor: null, request: null, count };
    }
  }

  /** Writes what was only counted so far: at the end of the process. */
  async close(): Promise<void> {
    await this.#closeMinutes(() => true);
  }

  #closeEnded(): Promise<void> {
    return this.#closeMinutes((minute) => this.#options.now() - minute.startedAt >= MINUTE_MS);
  }

  #open(key: string): Minute {
    const minute = { startedAt: this.#options.now(), recorded: 0, withheld: undefined };
    if (this.#minutes.size < MAX_KEYS) this.#minutes.set(key, minute);
    return minute;
  }

  async #closeMinutes(isOver: (minute: Minute) => boolean): Promise<void> {
    const over = [...this.#minutes].filter(([, minute]) => isOver(minute));
    for (const [key] of over) this.#minutes.delete(key);
    for (const [, { withheld }] of over) if (withheld !== undefined) await this.#record(withheld);
  }

  async #record(refusal: Refusal): Promise<void> {
    try {
      await this.#options.record(refusal);
    } catch (error) {
      this.#options.onFailure(error);
    }
  }
}
