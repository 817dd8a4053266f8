/** What may be used once: ids of proofs, remembered until they could no longer be accepted anyway. */
import { BulkheadError } from '../errors.ts';

export interface ReplayStore {
  /**
   * @param id SHA-256 of what is used once
   * @param until milliseconds since 1970, from when on it would be refused for its age
   * @param now milliseconds since 1970
   * @returns whether it was new; it is not from then on
   * @throws BulkheadError `replay_check_unavailable` when nobody can say: then it counts as used
   */
  use(id: Uint8Array, until: number, now: number): Promise<boolean>;
}

const MAX_REMEMBERED = 100_000;
/** Milliseconds between looks at what has expired. */
const SWEEP_MS = 1_000;

/**
 * For one process. It never forgets what could still be used: when it is full, it says so until something expires. What
 * the process before it has seen it does not know: whatever could be that counts as used.
 */
export class MemoryReplayStore implements ReplayStore {
  readonly #used = new Map<string, number>();
  readonly #most: number;
  readonly #blindUntil: number;
  #sweptAt = Number.NEGATIVE_INFINITY;

  /**
   * @param most ids remembered at once
   * @param blindUntil milliseconds since 1970, by when all that was made before the process began is refused for its age
   */
  constructor(most = MAX_REMEMBERED, blindUntil = Number.NEGATIVE_INFINITY) {
    this.#most = most;
    this.#blindUntil = blindUntil;
  }

  /** @param startedAt milliseconds since 1970 @param lifetimeMs of what is used once */
  static since(startedAt: number, lifetimeMs: number): MemoryReplayStore {
    return new MemoryReplayStore(MAX_REMEMBERED, startedAt + lifetimeMs);
  }

  async use(id: Uint8Array, until: number, now: number): Promise<boolean> {
    if (until < this.#blindUntil) return false;
    const key = Buffer.from(id).toString('base64');
    if (now - this.#sweptAt >= SWEEP_MS) this.#sweep(now);
    if ((this.#used.get(key) ?? 0) > now) return false;
    if (this.#used.size >= this.#most)
      throw new BulkheadError('replay_check_unavailable', 'Too many proofs were used just now.', {
        retryAfterSeconds: 1,
      });
    this.#used.set(key, until);
    return true;
  }

  #sweep(now: number): void {
    this.#sweptAt = now;
    for (const [key, until] of this.#used) if (until <= now) this.#used.delete(key);
  }
}
