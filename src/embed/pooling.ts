/** From one vector per token to one vector per text. */

export type Pooling = 'mean' | 'cls';

/** The last hidden state of a batch: `rows × length × dimension` numbers, padded on the right. */
export interface HiddenState {
  readonly values: Float32Array;
  readonly length: number;
  readonly dimension: number;
  /** Tokens of each row that are not padding, special tokens included. */
  readonly tokenCounts: readonly number[];
}

/**
 * Pools each row and scales it to length 1. `mean` averages the row's tokens, special ones included, as
 * Sentence-BERT does (Reimers and Gurevych, 2019); `cls` takes the first token, as BERT does.
 *
 * @returns `rows × dimension` numbers
 * @throws {RangeError} when a row has no direction (all zero) or is not finite
 */
export function poolRows(hidden: HiddenState, pooling: Pooling): Float32Array {
  const { dimension, tokenCounts } = hidden;
  const pooled = new Float32Array(tokenCounts.length * dimension);
  for (const [row, tokens] of tokenCounts.entries()) {
    const sum = sumTokens(hidden, row, pooling === 'cls' ? 1 : tokens);
    pooled.set(normalised(sum), row * dimension);
  }
  return pooled;
}

/** The sum points where the mean points, and the length is normalised away, so no division is needed. */
function sumTokens({ values, length, dimension }: HiddenState, row: number, tokens: number): Float64Array {
  const sum = new Float64Array(dimension);
  for (let token = 0; token < tokens; token++) {
    const start = (row * length + token) * dimension;
    for (let i = 0; i < dimension; i++) sum[i] = (sum[i] ?? 0) + (values[start + i] ?? 0);
  }
  return sum;
}

function normalised(vector: Float64Array): Float64Array {
  const length = Math.sqrt(vector.reduce((total, x) => total + x * x, 0));
  if (!Number.isFinite(length) || length === 0)
    throw new RangeError('The model gave a vector without direction.');
  return vector.map((x) => x / length);
}
