import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { BulkheadError } from '../../src/errors.ts';
import { whileHolding } from '../../src/http/stream-watch.ts';

const EVERY_MS = 60;
const REVOKED = new BulkheadError('credential_revoked', 'Revoked.');

/** Asked so often, and from when on it is refused. */
function decision() {
  const state = { asked: [] as number[], holds: true };
  const stillHolds = async () => {
    state.asked.push(performance.now());
    if (!state.holds) throw REVOKED;
  };
  return { state, watch: { stillHolds, everyMs: EVERY_MS } };
}

async function* numbers(everyMs: number, count: number, onEnd?: () => void): AsyncGenerator<number> {
  try {
    for (let n = 0; n < count; n += 1) {
      await sleep(everyMs);
      yield n;
    }
  } finally {
    onEnd?.();
  }
}

async function collect(items: AsyncIterable<number>) {
  const seen: number[] = [];
  try {
    for await (const item of items) seen.push(item);
    return { seen, error: undefined };
  } catch (error) {
    return { seen, error };
  }
}

describe('An open answer', () => {
  it('passes everything on in order while its caller holds, and asks at most once an interval', async () => {
    const { state, watch } = decision();
    const began = performance.now();
    const { seen, error } = await collect(whileHolding(numbers(5, 40), watch));
    expect(error).toBeUndefined();
    expect(seen).toEqual(Array.from({ length: 40 }, (_, n) => n));
    const most = (performance.now() - began) / EVERY_MS;
    expect(state.asked.length).toBeGreaterThan(0);
    expect(state.asked.length).toBeLessThanOrEqual(most);
    for (const [i, at] of state.asked.entries())
      expect(at - (state.asked[i - 1] ?? began)).toBeGreaterThanOrEqual(EVERY_MS - 2);
  });

  it('ends within an interval of the revocation, though nothing comes', async () => {
    const { state, watch } = decision();
    const stream = collect(whileHolding(numbers(60_000, 1), watch));
    await sleep(EVERY_MS * 1.5);
    state.holds = false;
    const revoked = performance.now();
    expect(await stream).toEqual({ seen: [], error: REVOKED });
    expect(performance.now() - revoked).toBeLessThan(EVERY_MS * 2);
  });

  it('holds back what came after the time of an asking until that is answered', async () => {
    const { state, watch } = decision();
    let answer = () => {};
    const slow = {
      ...watch,
      stillHolds: () =>
        new Promise<void>((_, reject) => {
          answer = () => reject(REVOKED);
        }),
    };
    const passed: number[] = [];
    const stream = (async () => {
      for await (const n of whileHolding(numbers(EVERY_MS / 3, 50), slow)) passed.push(n);
    })().catch((error: unknown) => error);
    await sleep(EVERY_MS * 4);
    const before = [...passed];
    answer();
    expect(await stream).toBe(REVOKED);
    expect(passed).toEqual(before);
    expect(before.length).toBeLessThanOrEqual(3);
    expect(state.asked).toEqual([]);
  });

  it('is asked about before what a slow reader takes next', async () => {
    const { state, watch } = decision();
    const stream = whileHolding(numbers(1, 10), watch);
    expect((await stream.next()).value).toBe(0);
    state.holds = false;
    await sleep(EVERY_MS * 1.5);
    await expect(stream.next()).rejects.toBe(REVOKED);
  });

  it('tells its source to stop, whoever ends it', async () => {
    let ended = 0;
    const count = () => {
      ended += 1;
    };
    const { state, watch } = decision();
    for await (const _ of whileHolding(numbers(1, 10, count), watch)) break;
    state.holds = false;
    await collect(whileHolding(numbers(1, 10_000, count), watch));
    await sleep(10);
    expect(ended).toBe(2);
  });

  it('fails as its source fails, and asks no more afterwards', async () => {
    const { state, watch } = decision();
    const broken = async function* () {
      yield 1;
      throw new Error('broken');
    };
    const { seen, error } = await collect(whileHolding(broken(), watch));
    expect([seen, error]).toEqual([[1], new Error('broken')]);
    await sleep(EVERY_MS * 2);
    expect(state.asked).toEqual([]);
  });
});
