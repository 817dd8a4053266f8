import { Worker } from 'node:worker_threads';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openPool, type WorkerPool } from '../../src/embed/worker-pool.ts';
import type { BulkheadError } from '../../src/errors.ts';

const script = new URL('../helpers/fragile-worker.mjs', import.meta.url);

let started: number;
let refuse: boolean;
let delays: number[];
let failures: BulkheadError[];
let pools: WorkerPool[];

beforeEach(() => {
  started = 0;
  refuse = false;
  delays = [];
  failures = [];
  pools = [];
});

afterEach(async () => {
  await Promise.all(pools.map((pool) => pool.close()));
});

async function open(size: number): Promise<WorkerPool> {
  const pool = await openPool({
    size,
    startWorker: () => {
      started += 1;
      return new Worker(script, { workerData: { refuse }, stderr: true });
    },
    restartDelay: (inARow) => {
      delays.push(inARow);
      return 30;
    },
    onFailure: (error) => failures.push(error),
  });
  pools.push(pool);
  return pool;
}

const embed = (text: string) => ({ kind: 'embed', texts: [text] }) as const;
const unavailable = { code: 'embedding_unavailable' };

async function answered(pool: WorkerPool, text: string): Promise<number[]> {
  const answer = await pool.run(embed(text));
  return answer.kind === 'vectors' ? [...answer.values] : [];
}

/** Until the worker is back; a pool without one rejects at once. */
async function eventually(pool: WorkerPool, text: string): Promise<number[]> {
  return expect
    .poll(() => answered(pool, text).catch(() => 'down'), { timeout: 5000 })
    .not.toBe('down')
    .then(() => answered(pool, text));
}

describe('a pool of model workers', () => {
  it('answers each request with its own result', async () => {
    const pool = await open(2);
    const texts = ['1', '2', '3', '4', '5'];
    expect(await Promise.all(texts.map((text) => answered(pool, text)))).toEqual([[1], [2], [3], [4], [5]]);
    expect(started).toBe(2);
  });

  it('counts before it embeds, when both wait', async () => {
    const pool = await open(1);
    const order: string[] = [];
    await Promise.all([
      pool.run(embed('1')).then(() => order.push('running')),
      pool.run(embed('2')).then(() => order.push('waiting')),
      pool.run({ kind: 'count', texts: ['abc'] }).then(() => order.push('count')),
    ]);
    expect(order).toEqual(['running', 'count', 'waiting']);
  });

  it.each(['exit', 'throw'])(
    'rejects what a worker was at when it dies (%s), then starts it again',
    async (way) => {
      const pool = await open(1);
      await expect(pool.run(embed(way))).rejects.toMatchObject({ ...unavailable, retryAfterSeconds: 1 });
      expect(await eventually(pool, '7')).toEqual([7]);
      expect(started).toBe(2);
      expect(failures).toMatchObject([unavailable]);
    },
  );

  it('rejects what waits, and what comes, while no worker is alive', async () => {
    const pool = await open(1);
    const results = await Promise.allSettled([
      pool.run(embed('exit')),
      pool.run(embed('1')),
      pool.run(embed('2')),
    ]);
    expect(results.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected']);
    await expect(pool.run(embed('3'))).rejects.toMatchObject({ ...unavailable, retryAfterSeconds: 1 });
  });

  it('lets the others go on with what waits when one worker dies', async () => {
    const pool = await open(2);
    const died = expect(pool.run(embed('exit'))).rejects.toMatchObject(unavailable);
    expect(await Promise.all(['1', '2', '3'].map((text) => answered(pool, text)))).toEqual([[1], [2], [3]]);
    await died;
  });

  it('waits longer after each failure in a row, and starts over after a success', async () => {
    const pool = await open(1);
    await pool.run(embed('exit')).catch(() => {});
    refuse = true;
    await expect.poll(() => failures.length).toBeGreaterThanOrEqual(3);
    refuse = false;
    await eventually(pool, '1');
    const restarts = failures.length;
    expect(started).toBe(restarts + 1);
    expect(Math.max(...delays)).toBe(restarts);
    delays = [];
    await pool.run(embed('exit')).catch(() => {});
    expect(Math.max(...delays)).toBe(1);
  });

  it('keeps a worker that could not answer one request', async () => {
    const pool = await open(1);
    await expect(pool.run(embed('fail'))).rejects.toMatchObject(unavailable);
    expect(await answered(pool, '4')).toEqual([4]);
    expect(started).toBe(1);
  });

  it('does not open when a worker refuses its model, and says why', async () => {
    refuse = true;
    const opening = open(2);
    await expect(opening).rejects.toMatchObject({
      code: 'model_tampered',
      detail: 'config.json was changed',
    });
    const before = started;
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(started).toBe(before);
  });

  it('rejects what is under way and what comes when it is closed, and starts nothing again', async () => {
    const pool = await open(1);
    const hanging = expect(pool.run(embed('hang'))).rejects.toMatchObject(unavailable);
    const waiting = expect(pool.run(embed('1'))).rejects.toMatchObject(unavailable);
    await pool.close();
    await Promise.all([hanging, waiting]);
    await expect(pool.run(embed('2'))).rejects.toMatchObject(unavailable);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(started).toBe(1);
  });

  it('does not start a worker again when it is closed during the wait', async () => {
    const pool = await open(1);
    await pool.run(embed('exit')).catch(() => {});
    await pool.close();
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(started).toBe(1);
  });
});
