import { beforeAll, describe, expect, it } from 'vitest';
import { type Calibratable, calibrate, isCalibratable } from '../../src/index/calibrate.ts';
import { parseCalibration } from '../../src/index/calibration.ts';
import { planSearch } from '../../src/index/planner.ts';
import type { Hit, VisibleClasses } from '../../src/index/vector-index.ts';
import { type ClassId, chunkId, classId, instant, tenantId } from '../../src/policy/ids.ts';
import { classesIn } from '../../src/policy/visibility-filter.ts';

const DIMENSION = 6;
const TENANT = tenantId(1);

/** The generator of Park and Miller (1988). */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 16_807) % 2_147_483_647;
    return state / 2_147_483_647;
  };
}

/** A clock that the index below moves: what it charges is what is measured. */
class Clock {
  ms = 0;
  readonly read = () => this.ms;
}

/**
 * 1,000 points in 250 classes, compared one by one. Exact search is charged by the points, the graph a flat fee; in
 * more than 20 ranges, and among fewer than half of the points, the graph loses every other hit.
 */
function openToyIndex(clock: Clock): Calibratable {
  const random = seeded(5);
  const points = Array.from({ length: 1_000 }, (_, i) => ({
    id: i,
    cls: classId(100 + (i % 250)),
    vector: unit(Float32Array.from({ length: DIMENSION }, () => random() - 0.5)),
  }));
  const sets = new WeakMap<VisibleClasses, ReadonlySet<number>>();
  const known = new WeakMap<Float32Array, readonly (Hit & { readonly cls: ClassId })[]>();
  const nearest = (dense: Float32Array) => {
    const sorted =
      known.get(dense) ??
      points
        .map(({ id, cls, vector }) => {
          const score = vector.reduce((sum, x, i) => sum + x * (dense[i] ?? 0), 0);
          return { chunkId: chunkId(id), cls, score };
        })
        .sort((a, b) => b.score - a.score);
    known.set(dense, sorted);
    return sorted;
  };
  return {
    searchAs: async ({ visible, dense, limit }, { form, mode }) => {
      const seen = sets.get(visible) ?? new Set<number>(classesIn(visible));
      sets.set(visible, seen);
      const found = nearest(dense).filter(({ cls }) => seen.has(cls));
      const filter = form === 'ranges' ? visible.ranges.length * 0.01 : visible.size * 0.002;
      const fee = mode.kind === 'acorn' ? 30 : 4;
      clock.ms += filter + (mode.kind === 'exact' ? 1 + found.length * 0.01 : (fee * mode.beam) / 200);
      const isLost = mode.kind === 'graph' && visible.ranges.length > 20 && found.length < points.length / 2;
      return found.filter((_, i) => !isLost || i % 2 === 0).slice(0, limit);
    },
    sampleVectors: async (_, count) => points.slice(0, Math.min(count, 12)).map(({ vector }) => vector),
    classSizes: async () => new Map(points.map(({ cls }) => [cls, points.length / 250])),
  };
}

function unit(vector: Float32Array): Float32Array {
  const length = Math.hypot(...vector);
  return vector.map((x) => x / length);
}

async function calibrateToy(budgetMs = 60_000) {
  const clock = new Clock();
  const index = openToyIndex(clock);
  const progress: [number, number][] = [];
  const report = await calibrate({
    index,
    fingerprint: 'toy',
    tenant: TENANT,
    budgetMs,
    random: seeded(3),
    now: () => instant(77),
    clock: clock.read,
    onProgress: (done, total) => progress.push([done, total]),
  });
  return { report, clock, progress };
}

describe('A calibration', () => {
  let unhurried: Awaited<ReturnType<typeof calibrateToy>>;
  beforeAll(async () => {
    unhurried = await calibrateToy();
  });

  it('finds the costs of an index and where its graph is right', async () => {
    const { report } = unhurried;
    expect(report).toMatchObject({ fingerprint: 'toy', tenant: 1, points: 1_000, measuredAt: 77 });
    expect(report.exact.any.perChunk).toBeCloseTo(0.01, 3);
    expect(report.exact.any.base).toBeCloseTo(1, 0);
    expect(report.exact.ranges.perItem).toBeCloseTo(0.01, 2);
    const graph = report.graphs.find(
      ({ form, beam, kind }) => form === 'ranges' && beam === 200 && kind === 'graph',
    );
    expect(Math.min(...(graph?.times ?? []).map(({ ms }) => ms))).toBeCloseTo(4, 0);

    const plan = (ranges: number, classes: number) =>
      planSearch({ ranges, runs: ranges, classes, chunks: classes * 4 }, report, { limit: 200, exact: false })
        .mode;
    expect(plan(1, 250)).toEqual({ kind: 'graph', beam: 200 });
    expect(plan(1, 125)).toEqual({ kind: 'graph', beam: 200 });
    expect(plan(1, 20).kind).toBe('exact');
    expect(plan(100, 110).kind).not.toBe('graph');
    expect(parseCalibration(JSON.parse(JSON.stringify(report)))?.graphs).toEqual(report.graphs);
  });

  it('measures exact search as right, and sees where the graph is not', async () => {
    const { report } = unhurried;
    for (const { plan, ranges, chunks, recall } of report.measurements) {
      if (plan.mode.kind !== 'graph') expect(recall).toBe(1);
      else if (ranges > 20 && chunks < 450 && chunks > 30) expect(recall).toBeLessThan(0.7);
    }
  });

  it('is the same for the same seed', async () => {
    expect((await calibrateToy()).report).toEqual(unhurried.report);
  });

  it('tells how far it is, to the end', async () => {
    const { progress } = unhurried;
    const [done, total] = progress.at(-1) ?? [];
    expect(done).toBe(total);
    expect(progress.every(([, of]) => of === total)).toBe(true);
    expect(progress.map(([done]) => done)).toEqual([...progress.map(([done]) => done)].sort((a, b) => a - b));
  });

  it('takes about the time it was given, and knows all that is visible even when that was little', async () => {
    const { clock, report } = await calibrateToy(600);
    expect(unhurried.clock.ms).toBeGreaterThan(2_000);
    expect(clock.ms).toBeLessThan(1_900);
    expect(report.measurements[0]).toMatchObject({ set: '100 % in 1 run', chunks: 1_000 });
    expect(report.measurements.filter(({ set }) => set === '100 % in 1 run').length).toBe(10);
  });

  it('of a tenant without passages is refused', async () => {
    const empty: Calibratable = {
      searchAs: async () => [],
      sampleVectors: async () => [],
      classSizes: async () => new Map(),
    };
    const options = { index: empty, fingerprint: 'toy', tenant: TENANT, budgetMs: 1, random: seeded(1) };
    await expect(calibrate({ ...options, now: () => instant(0), clock: () => 0 })).rejects.toMatchObject({
      code: 'conflict',
    });
    expect(isCalibratable(empty)).toBe(true);
    expect(isCalibratable({ search: () => {} })).toBe(false);
  });
});
