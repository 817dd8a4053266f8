/** Measures of a ranking against judgements, as trec_eval computes them. */

/**
 * Normalised discounted cumulative gain at a cut-off: gain = grade, discount = log2(rank + 1), the ideal taken
 * from all judged documents (Järvelin and Kekäläinen, "Cumulated gain-based evaluation of IR techniques", 2002).
 */
export function ndcg(ranked: readonly string[], grades: ReadonlyMap<string, number>, cutoff = 10): number {
  const gained = ranked.slice(0, cutoff).map((document) => grades.get(document) ?? 0);
  const ideal = [...grades.values()].sort((a, b) => b - a).slice(0, cutoff);
  const best = discounted(ideal);
  return best === 0 ? 0 : discounted(gained) / best;
}

function discounted(gains: readonly number[]): number {
  return gains.reduce((sum, gain, i) => sum + gain / Math.log2(i + 2), 0);
}

/** The share of relevant documents among the first so many. */
export function recall(ranked: readonly string[], grades: ReadonlyMap<string, number>, cutoff = 100): number {
  const found = ranked.slice(0, cutoff).filter((document) => (grades.get(document) ?? 0) > 0).length;
  const relevant = [...grades.values()].filter((grade) => grade > 0).length;
  return relevant === 0 ? 0 : found / relevant;
}

/** The share that two lists have in common; two empty ones agree. */
export function overlap(a: readonly string[], b: readonly string[]): number {
  const longest = Math.max(a.length, b.length);
  const common = a.filter((item) => b.includes(item)).length;
  return longest === 0 ? 1 : common / longest;
}

export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);
}

/** The value below which the given share of the values lies, by linear interpolation. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (sorted.length - 1) * share;
  const [low, high] = [sorted[Math.floor(at)] ?? 0, sorted[Math.ceil(at)] ?? 0];
  return low + (high - low) * (at - Math.floor(at));
}
