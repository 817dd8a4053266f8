import { describe, expect, it } from 'vitest';
import { deriveConstants, type Measurement, parseCalibration } from '../../src/index/calibration.ts';
import { drawVisible } from '../../src/index/draw-visible.ts';
import { fitNonNegative } from '../../src/index/fit.ts';
import {
  isShort,
  type PlanConstants,
  planFor,
  planSearch,
  type SearchMode,
  type SearchPlan,
} from '../../src/index/planner.ts';
import { classId } from '../../src/policy/ids.ts';
import { classes, docId, requestOf } from '../helpers/vector-index.ts';

const EXACT: SearchMode = { kind: 'exact' };
const graph = (beam: number): SearchMode => ({ kind: 'graph', beam });

const measured = (
  [ranges, classCount, chunks]: readonly [number, number, number],
  form: SearchPlan['form'],
  mode: SearchMode,
  ms: number,
  recall = 1,
  isShort = false,
): Measurement => ({
  set: 'a set',
  ranges,
  runs: ranges,
  classes: classCount,
  chunks,
  plan: { form, mode },
  queries: 20,
  ms,
  recall,
  isShort,
});

/** As measured on Qdrant 1.18.3 with 200,000 vectors in 100,000 classes (the table of issue 4). */
const TABLE: readonly Measurement[] = [
  measured([1, 20, 40], 'ranges', EXACT, 1.6),
  measured([100, 4_000, 8_000], 'ranges', EXACT, 7),
  measured([100, 30_000, 60_000], 'ranges', EXACT, 21),
  measured([1, 50_000, 100_000], 'ranges', EXACT, 33),
  measured([10, 10, 20], 'any', EXACT, 1.6),
  measured([1_000, 1_000, 2_000], 'any', EXACT, 3.5),
  measured([100, 4_000, 8_000], 'any', EXACT, 8),
  measured([9_000, 10_000, 20_000], 'any', EXACT, 10),
  measured([25_000, 50_000, 100_000], 'any', EXACT, 60),
  measured([1, 1_000, 2_000], 'ranges', graph(200), 3),
  measured([1, 10_000, 20_000], 'ranges', graph(200), 4),
  measured([1, 50_000, 100_000], 'ranges', graph(200), 5),
  measured([1, 100_000, 200_000], 'ranges', graph(200), 4),
  measured([100, 4_000, 8_000], 'ranges', graph(200), 10, 0.25),
  measured([100, 30_000, 60_000], 'ranges', graph(200), 8, 0.995),
  measured([9_000, 10_000, 20_000], 'any', graph(200), 11, 0.77),
  measured([25_000, 50_000, 100_000], 'any', graph(200), 28),
  measured([100, 4_000, 8_000], 'ranges', { kind: 'acorn', beam: 200 }, 89),
  measured([9_000, 10_000, 20_000], 'any', { kind: 'acorn', beam: 200 }, 85),
];
const CALIBRATED = deriveConstants(TABLE);
const plan = (ranges: number, classCount: number, chunks: number | undefined, constants = CALIBRATED) =>
  planSearch({ ranges, runs: ranges, classes: classCount, chunks }, constants, { limit: 200, exact: false });

describe('A plan made from the table of the issue', () => {
  it.each([
    ['all of it, which is one range', plan(1, 100_000, 200_000), /ranges/, 'graph'],
    ['a tenth in one range', plan(1, 10_000, 20_000), /ranges/, 'graph'],
    ['a handful of passages', plan(1, 20, 40), /ranges/, 'exact'],
    ['4 % in 100 ranges, where the graph finds a quarter', plan(100, 4_000, 8_000), /any|ranges/, 'exact'],
    ['a tenth in scattered classes, where it finds two thirds', plan(9_000, 10_000, 20_000), /any/, 'exact'],
    ['30 % in 100 ranges', plan(100, 30_000, 60_000), /ranges/, 'graph'],
    ['half in scattered classes', plan(25_000, 50_000, 100_000), /any/, 'graph'],
  ])('for %s is right', (_, { form, mode }, expectedForm, expectedKind) => {
    expect(form).toMatch(expectedForm);
    expect(mode.kind).toBe(expectedKind);
  });

  it('is exact where the graph was right only above, and would not be after the index has grown', () => {
    expect(plan(100, 8_000, 16_000).mode).toEqual(EXACT);
    expect(plan(100, 25_000, 50_000).mode).toEqual(EXACT);
  });

  it('lists ids when there are more ranges than were measured as ranges', () => {
    expect(plan(101, 4_000, 8_000).form).toBe('any');
  });

  it('keeps a beam as wide as the list that is asked for', () => {
    const shape = { ranges: 1, runs: 1, classes: 50_000, chunks: 100_000 };
    expect(planSearch(shape, CALIBRATED, { limit: 10, exact: false }).mode).toEqual(graph(200));
    expect(planSearch(shape, CALIBRATED, { limit: 900, exact: false }).mode).toEqual(graph(900));
  });
});

describe('A plan is exact', () => {
  const everything = { ranges: 1, runs: 1, classes: 100_000, chunks: 200_000 };
  const request = requestOf({ visible: classes(1, 2, 3), visibleChunks: 200_000 });

  it('where nothing was calibrated, in few ranges or else in ids', () => {
    const uncalibrated = (ranges: number) =>
      planSearch({ ...everything, ranges }, undefined, { limit: 10, exact: false });
    expect(uncalibrated(100)).toEqual({ form: 'ranges', mode: EXACT });
    expect(uncalibrated(101)).toEqual({ form: 'any', mode: EXACT });
  });

  it('where a silent level is visible, whatever was measured', () => {
    expect(planSearch(everything, CALIBRATED, { limit: 10, exact: true }).mode).toEqual(EXACT);
    expect(planFor(request, CALIBRATED).mode.kind).toBe('graph');
    expect(planFor({ ...request, exact: true }, CALIBRATED).mode).toEqual(EXACT);
  });

  it('where the visible chunks have not been counted yet', () => {
    expect(plan(1, 100_000, undefined).mode).toEqual(EXACT);
    expect(planFor({ ...request, visibleChunks: undefined }, CALIBRATED).mode).toEqual(EXACT);
  });

  it('where a filter leaves an unknown part of the visible documents', () => {
    expect(planFor({ ...request, documents: [docId(1)] }, CALIBRATED).mode).toEqual(EXACT);
  });

  it('where every graph was wrong, or came back short', () => {
    const noGraphs = (recall: number, isShort: boolean) =>
      deriveConstants([
        ...TABLE.slice(0, 9),
        measured([1, 9, 90_000], 'ranges', graph(200), 1, recall, isShort),
      ]);
    expect(plan(1, 100_000, 200_000, noGraphs(1, false)).mode.kind).toBe('graph');
    expect(plan(1, 100_000, 200_000, noGraphs(0.994, false)).mode).toEqual(EXACT);
    expect(plan(1, 100_000, 200_000, noGraphs(1, true)).mode).toEqual(EXACT);
  });
});

describe('A search through the graph', () => {
  const found = (kind: 'graph' | 'exact', hits: number, visibleChunks: number) =>
    isShort(
      { form: 'ranges', mode: kind === 'exact' ? EXACT : graph(200) },
      hits,
      requestOf({ limit: 100, visibleChunks }),
    );

  it('is made again when it found less than is there, and an exact one never', () => {
    expect(found('graph', 99, 5_000)).toBe(true);
    expect(found('graph', 100, 5_000)).toBe(false);
    expect(found('graph', 30, 30)).toBe(false);
    expect(found('exact', 0, 5_000)).toBe(false);
  });
});

describe('A calibration', () => {
  it('survives being stored, and nothing else passes for one', () => {
    const stored = { fingerprint: 'm', measuredAt: 1, tenant: 1, points: 200_000, ...CALIBRATED };
    const read = parseCalibration(JSON.parse(JSON.stringify({ ...stored, measurements: TABLE })));
    expect(read).toEqual(stored);
    for (const body of [
      undefined,
      null,
      {},
      'x',
      { ...stored, maxRanges: 'many' },
      { ...stored, graphs: [{}] },
    ])
      expect(parseCalibration(body)).toBeUndefined();
  });

  it('of an index where classes never follow each other sends every set as ids', () => {
    const scattered = deriveConstants(TABLE.filter(({ plan: { form } }) => form === 'any'));
    expect(plan(1, 5, 10, scattered).form).toBe('any');
  });

  it('that measured nothing plans exact searches', () => {
    const empty: PlanConstants = deriveConstants([]);
    expect(plan(1, 100_000, 200_000, empty)).toEqual({ form: 'any', mode: EXACT });
  });
});

describe('The graph is admitted', () => {
  const cell = (ranges: number, chunks: number, recall: number) =>
    measured([ranges, 10 * ranges, chunks], 'ranges', graph(200), 4, recall);
  const admitted = (...cells: readonly Measurement[]) =>
    deriveConstants(cells).graphs[0]?.admitted.map(({ runs, chunks }) => [Math.min(runs, 9_999), chunks]);

  it('from the smallest set on that it was right on', () => {
    expect(admitted(cell(1, 500, 1), cell(1, 9_000, 1))).toEqual([[1, 500]]);
  });

  it('only above twice the largest set that it was wrong on, for the index may grow as much', () => {
    const wrong = cell(1, 4_000, 0.9);
    expect(admitted(cell(1, 500, 1), wrong, cell(1, 7_000, 1), cell(1, 9_000, 1))).toEqual([[1, 9_000]]);
    expect(admitted(cell(1, 500, 1), wrong, cell(1, 7_000, 1))).toBeUndefined();
  });

  it('to sets of many ranges only where it was right on those of fewer, and not the other way round', () => {
    const many = [cell(100, 3_000, 1), cell(100, 9_000, 1)];
    expect(admitted(cell(1, 500, 1), ...many)).toEqual([
      [1, 500],
      [2, 3_000],
      [4, 3_000],
      [16, 3_000],
      [128, 3_000],
    ]);
    expect(admitted(cell(1, 500, 1), cell(10, 4_000, 0.9), cell(10, 9_500, 1), ...many)).toEqual([
      [1, 500],
      [2, 9_500],
      [4, 9_500],
      [16, 9_500],
      [128, 9_500],
    ]);
    expect(admitted(cell(1, 500, 1), cell(100, 3_000, 1), cell(100, 9_000, 0.9))).toEqual([[1, 500]]);
  });

  it('to no set of more ranges than were measured', () => {
    expect(admitted(cell(1, 500, 1), cell(12, 900, 1))?.at(-1)).toEqual([16, 900]);
    expect(admitted(cell(5_000, 500, 1))?.at(-1)).toEqual([9_999, 500]);
  });
});

describe('A graph that slows down as less is visible', () => {
  it('is not taken where an exact search of the little there is costs less', () => {
    const acorn: SearchMode = { kind: 'acorn', beam: 200 };
    const sizes = [4_000, 8_000, 20_000, 100_000, 200_000];
    const constants = deriveConstants(
      sizes.flatMap((chunks) => [
        measured([1, chunks / 2, chunks], 'ranges', EXACT, 1 + chunks / 5_000),
        measured([1, chunks / 2, chunks], 'ranges', acorn, 4 + 120_000 / chunks),
      ]),
    );
    expect(plan(1, 4_000, 8_000, constants).mode).toEqual(EXACT);
    expect(plan(1, 100_000, 200_000, constants).mode).toEqual(acorn);
  });

  it('is not taken where it was slow on sets of about the size, however fast it is on all others', () => {
    const acorn: SearchMode = { kind: 'acorn', beam: 200 };
    const slow = { 4000: 20, 8000: 20, 20000: 17 } as Record<number, number>;
    const constants = deriveConstants(
      [200, 4_000, 8_000, 20_000, 100_000, 200_000].flatMap((chunks) => [
        measured([1, chunks / 2, chunks], 'ranges', EXACT, 1 + chunks / 5_000),
        measured([1, chunks / 2, chunks], 'ranges', acorn, slow[chunks] ?? 3),
      ]),
    );
    for (const chunks of [4_000, 8_000, 20_000])
      expect(plan(1, chunks / 2, chunks, constants).mode).toEqual(EXACT);
    expect(plan(1, 100_000, 200_000, constants).mode).toEqual(acorn);
    expect(plan(1, 1_000_000, 2_000_000, constants).mode).toEqual(acorn);
  });

  it('is not charged what a set of twice its size costs, when its own size was measured', () => {
    const constants = deriveConstants([
      measured([25_000, 50_000, 100_000], 'any', EXACT, 42),
      measured([62, 100_000, 200_000], 'any', EXACT, 98),
      measured([25_000, 50_000, 100_000], 'any', graph(200), 25),
      measured([100, 50_000, 100_000], 'any', graph(200), 24),
      measured([62, 100_000, 200_000], 'any', graph(200), 47),
    ]);
    expect(plan(25_000, 50_000, 100_000, constants).mode).toEqual(graph(200));
  });

  it('owes nothing to sets of more ranges than are judged together with it', () => {
    const constants = deriveConstants([
      measured([1, 50_000, 100_000], 'ranges', EXACT, 14),
      measured([9, 50_000, 100_000], 'ranges', graph(200), 5),
      measured([100, 50_000, 100_000], 'ranges', graph(200), 40),
    ]);
    expect(plan(9, 50_000, 100_000, constants).mode).toEqual(graph(200));
    expect(plan(60, 50_000, 100_000, constants).mode).toEqual(EXACT);
  });
});

describe('A noisy clock', () => {
  const half: readonly [number, number, number] = [1, 50_000, 100_000];
  const noisy = (...graphs: readonly Measurement[]) =>
    deriveConstants([
      measured(half, 'ranges', EXACT, 20),
      measured([1, 10, 20], 'ranges', EXACT, 1),
      ...graphs,
    ]);

  it('never makes a wider beam or ACORN the cheaper way', () => {
    const acorn: SearchMode = { kind: 'acorn', beam: 200 };
    const constants = noisy(
      measured(half, 'ranges', graph(200), 9),
      measured(half, 'ranges', graph(512), 2),
      measured(half, 'ranges', acorn, 1),
    );
    expect(plan(...half, constants).mode).toEqual(graph(200));
  });

  it('never makes the graph worth it that saves less than a fifth', () => {
    expect(plan(...half, noisy(measured(half, 'ranges', graph(200), 17))).mode).toEqual(EXACT);
    expect(plan(...half, noisy(measured(half, 'ranges', graph(200), 15))).mode).toEqual(graph(200));
  });
});

describe('The fit', () => {
  it('finds the costs that made the figures', () => {
    const rows = [1, 5, 40, 900, 7_000].flatMap((a) => [1, 30, 800].map((b) => [1, a, b]));
    const targets = rows.map(([, a = 0, b = 0]) => 2 + 0.001 * a + 0.02 * b);
    const [base, perA, perB] = fitNonNegative(rows, targets);
    expect(base).toBeCloseTo(2, 3);
    expect(perA).toBeCloseTo(0.001, 5);
    expect(perB).toBeCloseTo(0.02, 4);
  });

  it('gives nothing a negative cost', () => {
    const rows = [1, 2, 3, 4].map((x) => [1, x]);
    const [base, slope] = fitNonNegative(rows, [8, 6, 4, 2]);
    expect(slope).toBe(0);
    expect(base).toBeGreaterThan(1);
  });
});

describe('A drawn set of classes', () => {
  const sizes = new Map(Array.from({ length: 1_000 }, (_, i) => [classId(i + 64), 1 + (i % 5)]));
  const total = [...sizes.values()].reduce((sum, chunks) => sum + chunks, 0);
  let state = 7;
  const random = () => {
    state = (state * 16_807) % 2_147_483_647;
    return state / 2_147_483_647;
  };

  it.each([1, 10, 100])('in %i runs holds its share in at most as many ranges', (runs) => {
    for (const share of [0.2, 0.5]) {
      const set = drawVisible(sizes, runs, share, random);
      expect(set?.visible.ranges.length).toBeLessThanOrEqual(runs);
      expect(set?.visible.ranges.length).toBeGreaterThan(runs / 3);
      expect((set?.chunks ?? 0) / total).toBeGreaterThan(share * 0.8);
      expect((set?.chunks ?? 0) / total).toBeLessThan(share * 1.6);
    }
  });

  it('from anywhere holds its share in many ranges', () => {
    const set = drawVisible(sizes, 'scattered', 0.2, random);
    expect((set?.chunks ?? 0) / total).toBeCloseTo(0.2, 2);
    expect(set?.visible.ranges.length).toBeGreaterThan(100);
  });

  it('that is everything is one range with everything in it', () => {
    const set = drawVisible(sizes, 1, 1, random);
    expect([set?.chunks, set?.visible.ranges.length]).toEqual([total, 1]);
  });

  it('needs as many classes as runs, and classes that hold something', () => {
    expect(drawVisible(new Map([[classId(1), 5]]), 10, 0.5, random)).toBeUndefined();
    expect(drawVisible(new Map([[classId(1), 0]]), 1, 0.5, random)).toBeUndefined();
  });
});
