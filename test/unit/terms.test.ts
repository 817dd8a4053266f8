import { describe, expect, it } from 'vitest';
import { BM25, documentTerms, queryTerms, terms } from '../../src/index/terms.ts';

const idOf = (word: string) => queryTerms(word)[0];
const weightOf = (vector: ReturnType<typeof documentTerms>, word: string) =>
  vector.weights[Array.from(vector.ids).indexOf(idOf(word) ?? Number.NaN)];

describe('terms', () => {
  it('are stems of words in lower case', () => {
    expect([...terms('Running POLICIES')]).toEqual(['run', 'polici']);
    expect(queryTerms('policies')).toEqual(queryTerms('Policy'));
  });

  it('leave English stop words out', () => {
    expect([...terms("What is the employee's notice period?")]).toEqual(['employe', 'notic', 'period']);
    expect(queryTerms('who are you')).toEqual([]);
  });

  it.each([
    ['see ORD-1041.', ['see', 'ord-1041', 'ord', '1041']],
    ['open tcp/8883, now', ['open', 'tcp/8883', 'tcp', '8883']],
    ['set max_connections', ['set', 'max_connections', 'max', 'connect']],
    ['at 10.0.0.1:80', ['10.0.0.1:80', '10', '0', '0', '1', '80']],
    ['a well-known thing', ['well', 'known', 'thing']],
  ])('keep identifiers whole beside their parts: %s', (text, expected) => {
    expect([...terms(text)]).toEqual(expected);
  });

  it('hold letters and digits of any script, in compatibility form', () => {
    expect([...terms('Straße café 東京 ４２ ﬁle')]).toEqual(['straße', 'café', '東京', '42', 'file']);
    expect(queryTerms('cafe\u0301')).toEqual(queryTerms('café'));
  });

  it('are cut when long, so that encoded data costs no more than a word', () => {
    const [term] = [...terms('x'.repeat(5_000))];
    expect(term).toHaveLength(64);
    expect(queryTerms('9'.repeat(64))).toEqual(queryTerms('9'.repeat(90)));
  });

  it('have ids that never change: 32-bit FNV-1a, signed', () => {
    // published test vectors: FNV-1a of "foobar" is 0xbf9cf968
    expect(queryTerms('foobar')).toEqual([0xbf9cf968 | 0]);
  });

  it('survive empty text, punctuation and lone surrogates', () => {
    for (const text of ['', ' \n', '--- /// ...', '\ud800', '\u0000']) expect(queryTerms(text)).toEqual([]);
  });
});

describe('the weights of a document', () => {
  it('are BM25 with the fixed average length', () => {
    const vector = documentTerms('bridge bridge river', 'Roads');
    const saturation = BM25.k1 * (1 - BM25.b + (BM25.b * 4) / BM25.averageLength);
    expect(weightOf(vector, 'bridge')).toBeCloseTo((2 * (BM25.k1 + 1)) / (2 + saturation), 5);
    expect(weightOf(vector, 'river')).toBeCloseTo((BM25.k1 + 1) / (1 + saturation), 5);
    expect(weightOf(vector, 'roads')).toBe(weightOf(vector, 'river'));
  });

  it('come with distinct ids in ascending order', () => {
    const { ids, weights } = documentTerms('delta alpha charlie bravo alpha');
    expect(Array.from(ids)).toEqual([...new Set(Array.from(ids))].sort((a, b) => a - b));
    expect(ids.length).toBe(4);
    expect(weights.length).toBe(4);
  });

  it('stay above 0 and below k1 + 1, however long or repetitive the text is', () => {
    for (const text of [
      'word',
      'word '.repeat(50_000),
      Array.from({ length: 9_000 }, (_, n) => `w${n}`).join(' '),
    ])
      for (const weight of Array.from(documentTerms(text).weights)) {
        expect(weight).toBeGreaterThan(0);
        expect(weight).toBeLessThanOrEqual(BM25.k1 + 1);
      }
  });

  it('are none for a text of stop words', () => {
    expect(documentTerms('the of and').ids).toHaveLength(0);
  });
});
