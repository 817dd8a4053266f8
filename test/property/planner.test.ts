import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { deriveConstants, ENOUGH_RECALL, type Measurement } from '../../src/index/calibration.ts';
import { type Calibration, planSearch, type SearchPlan, type VisibleShape } from '../../src/index/planner.ts';

const modes = fc.constantFrom<SearchPlan['mode']>(
  { kind: 'exact' },
  { kind: 'graph', beam: 200 },
  { kind: 'graph', beam: 512 },
  { kind: 'acorn', beam: 200 },
);
const shapes = fc
  .record({
    ranges: fc.oneof(fc.integer({ min: 1, max: 300 }), fc.integer({ min: 1, max: 50_000 })),
    apart: fc.double({ min: 0, max: 1, noNaN: true }),
    more: fc.integer({ min: 0, max: 50_000 }),
    chunks: fc.oneof(fc.integer({ min: 0, max: 1_000 }), fc.integer({ min: 0, max: 1_000_000 })),
  })
  .map(({ ranges, apart, more, chunks }) => ({
    ranges,
    runs: Math.max(1, Math.round(apart * ranges)),
    classes: ranges + more,
    chunks,
  }));

const measurement: fc.Arbitrary<Measurement> = fc
  .record({
    shape: shapes,
    form: fc.constantFrom<SearchPlan['form']>('ranges', 'any'),
    mode: modes,
    ms: fc.double({ min: 0, max: 200, noNaN: true }),
    recall: fc.constantFrom(1, 0.995, 0.994, 0.9),
    isShort: fc.constantFrom(false, false, false, true),
  })
  .map(({ shape, form, mode, ...rest }) => ({
    ...shape,
    ...rest,
    set: '',
    queries: 4,
    plan: { form, mode },
  }));

const calibrations = fc
  .record({ measurements: fc.array(measurement, { maxLength: 60 }), points: fc.nat() })
  .map(
    ({ measurements, points }): Calibration => ({
      fingerprint: 'model',
      measuredAt: 1,
      tenant: 1,
      points,
      ...deriveConstants(measurements),
    }),
  );
const requests = fc.record({ limit: fc.integer({ min: 1, max: 1_000 }), exact: fc.constant(false) });

const RUNS = { numRuns: 300 };

describe('Whatever was measured, a plan', () => {
  it('depends on the visible shape and on the constants, and on nothing that hidden points could change', () => {
    fc.assert(
      fc.property(
        calibrations,
        shapes,
        requests,
        fc.record({ points: fc.nat(), tenant: fc.nat(), measuredAt: fc.nat(), fingerprint: fc.string() }),
        (calibration, shape, request, rest) => {
          const twin = { ...structuredClone(calibration), ...rest };
          expect(planSearch({ ...shape }, twin, { ...request })).toEqual(
            planSearch(shape, calibration, request),
          );
        },
      ),
      RUNS,
    );
  });

  it('is exact when it must be', () => {
    fc.assert(
      fc.property(calibrations, shapes, requests, (calibration, shape, { limit }) => {
        expect(planSearch(shape, calibration, { limit, exact: true }).mode.kind).toBe('exact');
        const uncounted = { ...shape, chunks: undefined };
        expect(planSearch(uncounted, calibration, { limit, exact: false }).mode.kind).toBe('exact');
        expect(planSearch(shape, undefined, { limit, exact: false }).mode.kind).toBe('exact');
      }),
      RUNS,
    );
  });

  it('sends ranges only up to the number that was measured', () => {
    fc.assert(
      fc.property(calibrations, shapes, requests, (calibration, shape, request) => {
        const { form } = planSearch(shape, calibration, request);
        if (form === 'ranges') expect(shape.ranges).toBeLessThanOrEqual(calibration.maxRanges);
      }),
      RUNS,
    );
  });

  it('leaves exact search for the graph once, as more becomes visible, and never turns back', () => {
    fc.assert(
      fc.property(calibrations, shapes, requests, fc.nat(1_000_000), (calibration, shape, request, more) => {
        const grown: VisibleShape = { ...shape, chunks: shape.chunks + more };
        if (planSearch(shape, calibration, request).mode.kind !== 'exact')
          expect(planSearch(grown, calibration, request).mode.kind).not.toBe('exact');
      }),
      RUNS,
    );
  });

  it('goes through the graph only where it was right at least half as far down, in as many runs or more', () => {
    fc.assert(
      fc.property(
        fc.array(measurement, { minLength: 5, maxLength: 60 }),
        shapes,
        requests,
        (measurements, shape, request) => {
          const plan = planSearch(shape, deriveConstants(measurements), request);
          const { mode, form } = plan;
          if (mode.kind === 'exact') return;
          const alike = measurements.filter(
            (m) =>
              m.plan.form === form &&
              m.plan.mode.kind === mode.kind &&
              (m.plan.mode.beam === mode.beam || mode.beam === request.limit),
          );
          const isWrong = (m: Measurement) => m.recall < ENOUGH_RECALL || m.isShort;
          // a beam that the limit widened may come of either of two
          const beams = new Set(alike.map((m) => JSON.stringify(m.plan.mode)));
          if (beams.size > 1) return;
          expect(
            alike.filter((m) => isWrong(m) && m.runs <= shape.runs && m.chunks * 2 >= shape.chunks),
          ).toEqual([]);
          expect(alike.some((m) => !isWrong(m) && m.chunks <= shape.chunks)).toBe(true);
        },
      ),
      RUNS,
    );
  });

  it('admits fewer, never more, as the runs grow in number', () => {
    fc.assert(
      fc.property(calibrations, (calibration) => {
        for (const { admitted } of calibration.graphs)
          admitted.forEach((admission, i) => {
            const next = admitted[i + 1];
            if (next === undefined) return;
            expect(next.runs).toBeGreaterThan(admission.runs);
            expect(next.chunks).toBeGreaterThanOrEqual(admission.chunks);
          });
      }),
      RUNS,
    );
  });
});
