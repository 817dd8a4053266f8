/** Async generators that run ahead of who reads them, by a bounded amount. */

export interface AheadOptions<T> {
  /** How much may be under way or waiting to be read; one item always may. */
  readonly limit: number;
  readonly weigh: (item: T) => number;
}

/**
 * Maps each item, several at a time, and yields the results in the order of the items. The source is read no
 * further than the limit allows, so a slow reader slows the source down.
 */
export async function* mapAhead<T, R>(
  source: AsyncIterable<T>,
  map: (item: T) => Promise<R>,
  { limit, weigh }: AheadOptions<T>,
): AsyncGenerator<R> {
  const waiting: { readonly result: Promise<R>; readonly weight: number }[] = [];
  const signal = new Signal();
  const state = { load: 0, ended: false, stopped: false };
  const pump = async () => {
    for await (const item of source) {
      const weight = weigh(item);
      while (!state.stopped && waiting.length > 0 && state.load + weight > limit) await signal.next();
      if (state.stopped) return;
      const result = map(item);
      // whoever reads it will see the failure; until then it is nobody's
      result.catch(() => {});
      state.load += weight;
      waiting.push({ result, weight });
      signal.raise();
    }
  };
  const pumping = pump().finally(() => {
    state.ended = true;
    signal.raise();
  });
  pumping.catch(() => {});
  try {
    for (;;) {
      const first = waiting[0];
      if (first === undefined) {
        if (state.ended) break;
        await signal.next();
        continue;
      }
      const result = await first.result;
      waiting.shift();
      state.load -= first.weight;
      signal.raise();
      yield result;
    }
    await pumping;
  } finally {
    state.stopped = true;
    signal.raise();
    await pumping.catch(() => {});
  }
}

export interface GroupOptions<T> extends AheadOptions<T> {
  /** How long a group waits for more after its first item, in milliseconds. */
  readonly patienceMs: number;
}

/** Groups what comes within a short time, up to the limit; what is alone at the end does not wait. */
export async function* groupReady<T>(
  source: AsyncIterable<T>,
  { limit, weigh, patienceMs }: GroupOptions<T>,
): AsyncGenerator<readonly [T, ...T[]]> {
  const iterator = source[Symbol.asyncIterator]();
  let next = iterator.next();
  try {
    for (let first = await next; !first.done; first = await next) {
      const group: [T, ...T[]] = [first.value];
      let load = weigh(first.value);
      next = iterator.next();
      const patience = timeout(patienceMs);
      for (;;) {
        const more = await Promise.race([next, patience.over]);
        if (more === undefined || more.done || load + weigh(more.value) > limit) break;
        group.push(more.value);
        load += weigh(more.value);
        next = iterator.next();
      }
      patience.cancel();
      yield group;
    }
  } finally {
    next.catch(() => {});
    await iterator.return?.();
  }
}

function timeout(ms: number): { readonly over: Promise<undefined>; readonly cancel: () => void } {
  let timer: NodeJS.Timeout | undefined;
  const over = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), ms);
  });
  return { over, cancel: () => clearTimeout(timer) };
}

/** Resolves after everything else that is ready has run. */
export function turn(): Promise<undefined> {
  return new Promise((resolve) => {
    setImmediate(() => resolve(undefined));
  });
}

/** Wakes whoever waits; a raise with nobody waiting is kept for the next. */
class Signal {
  #raised = false;
  #waiting: (() => void)[] = [];

  raise(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    this.#raised = waiting.length === 0;
    for (const wake of waiting) wake();
  }

  async next(): Promise<void> {
    if (this.#raised) {
      this.#raised = false;
      return;
    }
    await new Promise<void>((resolve) => {
      this.#waiting.push(resolve);
    });
  }
}
