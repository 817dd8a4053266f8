const MOST_ROUNDS = 5_000;
/** Relative to the targets, which are 1. */
const CONVERGED = 1e-9;

/**
 * Coefficients ≥ 0 that come closest to the targets, each target's error taken relative to it: non-negative least
 * squares (Lawson and Hanson, "Solving Least Squares Problems", 1974, ch. 23) by coordinate descent, which for a
 * handful of features needs no linear algebra.
 * @param rows the features of each observation, all equally many
 * @param targets above 0
 */
export function fitNonNegative(rows: readonly (readonly number[])[], targets: readonly number[]): number[] {
  const weighted = rows.map((row, i) => row.map((feature) => feature / (targets[i] ?? 1)));
  const features = rows[0]?.length ?? 0;
  const squares = Array.from({ length: features }, (_, j) =>
    weighted.reduce((sum, row) => sum + (row[j] ?? 0) ** 2, 0),
  );
  const fitted = new Array<number>(features).fill(0);
  // what is still to be explained of each target, which is 1 in its own measure
  const rest = weighted.map(() => 1);
  for (let round = 0; round < MOST_ROUNDS; round += 1) {
    let moved = 0;
    for (let j = 0; j < features; j += 1) {
      const square = squares[j] ?? 0;
      if (square === 0) continue;
      const before = fitted[j] ?? 0;
      const slope = weighted.reduce((sum, row, i) => sum + (row[j] ?? 0) * (rest[i] ?? 0), 0);
      const after = Math.max(0, before + slope / square);
      fitted[j] = after;
      weighted.forEach((row, i) => {
        rest[i] = (rest[i] ?? 0) - (row[j] ?? 0) * (after - before);
      });
      moved = Math.max(moved, Math.abs(after - before) * Math.sqrt(square));
    }
    if (moved < CONVERGED) break;
  }
  return fitted;
}
