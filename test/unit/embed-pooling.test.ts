import { describe, expect, it } from 'vitest';
import { poolRows } from '../../src/embed/pooling.ts';

/** Two rows of three tokens of two numbers; the second row has one token of padding. */
const hidden = {
  values: Float32Array.of(3, 0, 0, 4, 3, 4, 1, 0, 0, 1, 900, 0),
  length: 3,
  dimension: 2,
  tokenCounts: [3, 2],
};

describe('pooling', () => {
  it('averages the tokens of a row, not its padding, and scales to length 1', () => {
    const pooled = poolRows(hidden, 'mean');
    expect([...pooled]).toEqual([0.6, 0.8, Math.SQRT1_2, Math.SQRT1_2].map(Math.fround));
  });

  it('takes the first token alone for cls', () => {
    expect([...poolRows(hidden, 'cls')]).toEqual([1, 0, 1, 0]);
  });

  it('refuses a vector that points nowhere or is not finite', () => {
    const single = (x: number) => ({
      values: Float32Array.of(x, 0),
      length: 1,
      dimension: 2,
      tokenCounts: [1],
    });
    expect(() => poolRows(single(0), 'mean')).toThrow('without direction');
    expect(() => poolRows(single(Number.NaN), 'cls')).toThrow('without direction');
    expect(() => poolRows(single(Number.POSITIVE_INFINITY), 'mean')).toThrow('without direction');
  });
});
