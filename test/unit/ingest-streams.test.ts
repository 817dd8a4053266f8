import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { groupReady, mapAhead } from '../../src/ingest/streams.ts';

async function* numbers(count: number, onRead: (n: number) => void = () => {}, pauseMs = 0) {
  for (let n = 0; n < count; n += 1) {
    if (pauseMs > 0) await sleep(pauseMs);
    onRead(n);
    yield n;
  }
}

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const item of items) list.push(item);
  return list;
}

const one = () => 1;

describe('running ahead', () => {
  it('keeps the order, however long each takes', async () => {
    const mapped = mapAhead(numbers(8), (n) => sleep((8 - n) * 3, n), { limit: 4, weigh: one });
    expect(await all(mapped)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
  });

  it('works on several at a time, and on no more than the limit', async () => {
    let running = 0;
    let most = 0;
    const work = async (n: number) => {
      running += 1;
      most = Math.max(most, running);
      await sleep(5);
      running -= 1;
      return n;
    };
    await all(mapAhead(numbers(20), work, { limit: 3, weigh: one }));
    expect(most).toBe(3);
  });

  it('takes an item that is over the limit by itself', async () => {
    const mapped = mapAhead(numbers(4), async (n) => n, { limit: 2, weigh: () => 10 });
    expect(await all(mapped)).toEqual([0, 1, 2, 3]);
  });

  it('reads no further than the limit while nobody takes results', async () => {
    let read = 0;
    const mapped = mapAhead(
      numbers(100, () => {
        read += 1;
      }),
      async (n) => n,
      { limit: 5, weigh: one },
    );
    await mapped.next();
    await sleep(20);
    expect(read).toBeLessThanOrEqual(7);
    await mapped.return(undefined);
  });

  it('ends its source when its reader leaves', async () => {
    let ended = false;
    async function* source() {
      try {
        yield* numbers(100);
      } finally {
        ended = true;
      }
    }
    for await (const n of mapAhead(source(), async (n) => n, { limit: 2, weigh: one })) if (n === 3) break;
    expect(ended).toBe(true);
  });

  it('passes on a failure of the source and of the work', async () => {
    async function* broken() {
      yield 1;
      throw new Error('source');
    }
    const options = { limit: 2, weigh: one };
    await expect(all(mapAhead(broken(), async (n) => n, options))).rejects.toThrow('source');
    const failing = mapAhead(numbers(3), async () => Promise.reject(new Error('work')), options);
    await expect(all(failing)).rejects.toThrow('work');
  });
});

describe('grouping', () => {
  it('fills groups up to the limit and loses nothing', async () => {
    const groups = await all(groupReady(numbers(7), { limit: 3, weigh: one, patienceMs: 50 }));
    expect(groups).toEqual([[0, 1, 2], [3, 4, 5], [6]]);
  });

  it('does not wait longer than its patience for a slow source', async () => {
    const groups = await all(
      groupReady(
        numbers(3, () => {}, 60),
        { limit: 10, weigh: one, patienceMs: 5 },
      ),
    );
    expect(groups).toEqual([[0], [1], [2]]);
  });

  it('does not wait at the end of the source', async () => {
    const before = performance.now();
    await all(groupReady(numbers(1), { limit: 10, weigh: one, patienceMs: 10_000 }));
    expect(performance.now() - before).toBeLessThan(5_000);
  });
});
