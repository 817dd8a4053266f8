import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Chunk, split } from '../../src/ingest/5-split.ts';
import type { ParsedDocument } from '../../src/ingest/parsers/document.ts';
import { parse } from '../../src/ingest/parsers/parse.ts';

const RUNS = { numRuns: Number(process.env.BULKHEAD_TEST_RUNS ?? 150) };

/** Like a word-piece tokenizer: joins add nothing. */
const wordPieces = async (texts: readonly string[]) =>
  texts.map((text) =>
    (text.match(/[\p{L}\p{N}]+|[^\s\p{L}\p{N}]/gu) ?? []).reduce(
      (sum, token) => sum + Math.ceil(token.length / 5),
      0,
    ),
  );
/** Like a byte tokenizer: white space costs too, and tokens do not add up over joins. */
const bytes = async (texts: readonly string[]) =>
  texts.map((text) => Math.ceil(new TextEncoder().encode(text).length / 3));

const word = fc.oneof(
  { weight: 8, arbitrary: fc.stringMatching(/^[a-z]{1,9}[.,!?]?$/) },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      'Übergröße',
      '海洋',
      '\u{1F468}\u200D\u{1F469}\u200D\u{1F467}',
      'e\u0301te',
      'x'.repeat(120),
    ),
  },
);
const sentence = fc.array(word, { minLength: 1, maxLength: 30 }).map((words) => words.join(' '));
const paragraph = fc.array(sentence, { minLength: 1, maxLength: 4 }).map((all) => all.join('\n'));
const heading = fc.tuple(fc.integer({ min: 1, max: 3 }), fc.stringMatching(/^[a-z]{1,8}( [a-z]{1,8})?$/));
const markdown = fc
  .array(
    fc.oneof(
      { weight: 3, arbitrary: paragraph },
      { weight: 2, arbitrary: heading.map(([depth, text]) => `${'#'.repeat(depth)} ${text}`) },
      {
        weight: 1,
        arbitrary: fc
          .array(sentence, { minLength: 1, maxLength: 3 })
          .map((all) => all.map((s) => `- ${s}`).join('\n')),
      },
      {
        weight: 1,
        arbitrary: sentence.map((text) => `some **${text}** [more](https://x.example) \`${'code'}\``),
      },
    ),
    { minLength: 1, maxLength: 10 },
  )
  .map((blocks) => blocks.join('\n\n'));
const options = fc.record({
  maxTokens: fc.integer({ min: 16, max: 60 }),
  overlapTokens: fc.constantFrom(0, 0, 5, 8),
  countTokens: fc.constantFrom(wordPieces, bytes),
});
const mediaType = fc.constantFrom('text/markdown', 'text/plain');

function holds(
  check: (given: {
    source: string;
    document: ParsedDocument;
    chunks: Chunk[];
    maxTokens: number;
    overlap: number;
    count: typeof bytes;
  }) => void | Promise<void>,
) {
  return fc.assert(
    fc.asyncProperty(markdown, mediaType, options, async (source, type, chosen) => {
      const document = parse(source, type);
      const chunks = await split(document, chosen);
      await check({
        source,
        document,
        chunks,
        maxTokens: chosen.maxTokens,
        overlap: chosen.overlapTokens,
        count: chosen.countTokens,
      });
    }),
    RUNS,
  );
}

const ink = (text: string) => text.replace(/\s+/g, '');

describe('the chunks of any document', () => {
  it('hold every character of the segments that is not space, in order', () =>
    holds(({ document, chunks, overlap }) => {
      const expected = ink(document.segments.map(({ text }) => text).join(''));
      const actual = chunks.map(({ text }) => ink(text));
      if (overlap === 0) expect(actual.join('')).toBe(expected);
      else expect(isCoveredInOrder(expected, actual)).toBe(true);
    }));

  it('keep to the limit, and say their true size', () =>
    holds(async ({ chunks, maxTokens, count }) => {
      const counts = await count(chunks.map(({ text }) => text));
      expect(chunks.map(({ tokens }) => tokens)).toEqual(counts);
      for (const tokens of counts) expect(tokens).toBeLessThanOrEqual(maxTokens);
    }));

  it('are numbered, ascending, and inside the original', () =>
    holds(({ source, chunks }) => {
      for (const [i, { ordinal, start, end }] of chunks.entries()) {
        expect(ordinal).toBe(i);
        expect(start).toBeGreaterThanOrEqual(chunks[i - 1]?.start ?? 0);
        expect(end).toBeGreaterThanOrEqual(chunks[i - 1]?.end ?? 0);
        expect(start).toBeLessThan(end);
        expect(end).toBeLessThanOrEqual(source.length);
      }
    }));

  it('stand in the original with their words in order', () =>
    holds(({ source, chunks }) => {
      for (const { text, start, end } of chunks) {
        const place = source.slice(start, end);
        let at = 0;
        for (const word of text.split(/\s+/)) {
          const found = place.indexOf(word, at);
          expect(found).toBeGreaterThanOrEqual(at);
          at = found + word.length;
        }
      }
    }));

  it('cut no grapheme cluster', () =>
    holds(({ chunks }) => {
      for (const { text } of chunks) {
        expect(text).not.toMatch(/\p{Cs}/u);
        expect(text).not.toMatch(/^[\u200D\u0301]|\u200D$/);
      }
    }));

  it('share only top headings that are the same', () =>
    holds(({ document, chunks }) => {
      for (const { start, end } of chunks) {
        const inside = document.segments.filter((s) => s.start < end && s.end > start);
        expect(new Set(inside.map(({ headingPath }) => headingPath[0])).size).toBeLessThanOrEqual(1);
      }
    }));
});

/** True when every chunk begins inside or at the end of what was covered, and together they cover all. */
function isCoveredInOrder(expected: string, actual: readonly string[]): boolean {
  let reached = new Set([0]);
  for (const chunk of actual) {
    const next = new Set<number>();
    const furthest = Math.max(...reached);
    for (let at = expected.indexOf(chunk); at >= 0 && at <= furthest; at = expected.indexOf(chunk, at + 1))
      next.add(Math.max(furthest, at + chunk.length));
    if (next.size === 0) return false;
    reached = next;
  }
  return reached.has(expected.length);
}
