/** Answers that stay open: whether their caller may still have them is asked while they do. */

/** Milliseconds: what a stream may be behind a revocation (design, promise 3). */
const DECIDED_EVERY_MS = 2_000;

export interface StreamWatch {
  /** Rejects once the caller may have no more: a credential revoked, an account disabled, nobody there to ask. */
  readonly stillHolds: () => Promise<void>;
  /** Milliseconds from one asking to the next. */
  readonly everyMs?: number | undefined;
  /** Milliseconds until the caller's credentials end of themselves, when they are asked about too. */
  readonly expiresInMs?: (() => number) | undefined;
}

/**
 * The items as they come, for as long as the caller holds what they were let in by: it was asked at most `everyMs`
 * before each of them, and is asked as often while none comes. Counted from the first time that somebody reads; the
 * caller was let in just before that.
 * @throws what `stillHolds` rejects with, also between two items; then the source is told to stop, and not waited for
 */
export async function* whileHolding<T>(
  items: AsyncIterable<T>,
  { stillHolds, everyMs = DECIDED_EVERY_MS, expiresInMs = () => everyMs }: StreamWatch,
): AsyncGenerator<T> {
  const iterator = items[Symbol.asyncIterator]();
  const due = new Due(() => Math.min(everyMs, Math.max(1, expiresInMs())));
  let isEnded = false;
  try {
    for (let next = iterator.next(); ; next = iterator.next()) {
      // it is waited for below, perhaps after an asking that ends all
      next.catch(() => {});
      while ((await Promise.race([next.then(() => false), due.time()])) || due.isOver()) {
        due.begin();
        await stillHolds();
      }
      const item = await next;
      isEnded = item.done === true;
      if (item.done === true) return;
      yield item.value;
    }
  } finally {
    due.stop();
    if (!isEnded) iterator.return?.().catch(() => {});
  }
}

/** The time of the next asking. */
class Due {
  readonly #nextMs: () => number;
  #at = 0;
  #timer: NodeJS.Timeout | undefined;
  #over: Promise<true> | undefined;

  constructor(nextMs: () => number) {
    this.#nextMs = nextMs;
    this.begin();
  }

  begin(): void {
    this.stop();
    this.#at = performance.now() + this.#nextMs();
    this.#over = undefined;
  }

  isOver(): boolean {
    return performance.now() >= this.#at;
  }

  /** Resolves when it is. */
  time(): Promise<true> {
    this.#over ??= new Promise((resolve) => {
      this.#timer = setTimeout(resolve, Math.max(0, this.#at - performance.now()), true);
    });
    return this.#over;
  }

  stop(): void {
    clearTimeout(this.#timer);
  }
}
