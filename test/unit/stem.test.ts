import { expect, it } from 'vitest';
import { stem } from '../../src/index/stem.ts';

it.each([
  ['connect connected connecting connection connections', 'connect'],
  ['adopt adopted adoption', 'adopt'],
  ['complete completed completion', 'complet'],
  ['permission permissions', 'permiss'],
  ['condition conditional conditions', 'condit'],
  ['relate relation relations relational', 'relat'],
  ['nationalization nationalize', 'nation'],
  ['policy policies', 'polici'],
  ['retain retained retaining', 'retain'],
  ['hop hopping hopped', 'hop'],
])('gives the words of one root one stem: %s', (words, expected) => {
  expect(new Set(words.split(' ').map(stem))).toEqual(new Set([expected]));
});

it.each(['question', 'station', 'nation', 'sky', 'by'])(
  'leaves %s, which is short already, as it is',
  (word) => {
    expect(stem(word)).toBe(word);
  },
);
