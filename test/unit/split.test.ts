import { describe, expect, it } from 'vitest';
import { BulkheadError } from '../../src/errors.ts';
import { type SplitOptions, split } from '../../src/ingest/5-split.ts';
import { parse } from '../../src/ingest/parsers/parse.ts';

/** Words and punctuation marks; a word costs one token for every six letters. */
async function countTokens(texts: readonly string[]): Promise<number[]> {
  return texts.map((text) =>
    (text.match(/[\p{L}\p{N}]+|[^\s\p{L}\p{N}]/gu) ?? []).reduce(
      (sum, token) => sum + Math.ceil(token.length / 6),
      0,
    ),
  );
}

function splitText(text: string, options: Partial<SplitOptions> = {}, mediaType = 'text/markdown') {
  return split(parse(text, mediaType), { maxTokens: 32, countTokens, ...options });
}

const sentence = (n: number) => `Probe number ${n} was calibrated in the tank.`;
const paragraph = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, i) => sentence(from + i)).join(' ');

describe('split', () => {
  it('keeps a short document in one chunk with its place and its size', async () => {
    const text = '# Head\n\nOne two three.\n';
    expect(await splitText(text)).toEqual([
      { ordinal: 0, text: 'Head\n\nOne two three.', headingPath: ['Head'], start: 0, end: 22, tokens: 5 },
    ]);
  });

  it('begins a new chunk at a heading and keeps the heading with what follows', async () => {
    const text = `# Top\n\n## A\n\n${paragraph(0, 2)}\n\n## B\n\n${paragraph(2, 4)}\n`;
    const chunks = await splitText(text);
    expect(chunks.map(({ headingPath }) => headingPath)).toEqual([
      ['Top', 'A'],
      ['Top', 'B'],
    ]);
    expect(chunks[0]?.text.startsWith('Top\n\nA\n\nProbe number 0')).toBe(true);
    expect(chunks[1]?.text.startsWith('B\n\nProbe number 2')).toBe(true);
  });

  it('joins tiny sections under the same heading, under their common path', async () => {
    const chunks = await splitText('# Top\n\n## A\n\none\n\n## B\n\ntwo\n\n## C\n\nthree\n');
    expect(chunks).toHaveLength(1);
    expect(chunks[0]?.headingPath).toEqual(['Top']);
  });

  it('never joins two top sections, however tiny', async () => {
    const chunks = await splitText('# A\n\none\n\n# B\n\ntwo\n');
    expect(chunks.map(({ text }) => text)).toEqual(['A\n\none', 'B\n\ntwo']);
  });

  it('does not pull a tiny section into a large one', async () => {
    const chunks = await splitText(`# Top\n\n## A\n\n${paragraph(0, 2)}\n\n## B\n\ntiny\n`);
    expect(chunks.map(({ headingPath }) => headingPath.at(-1))).toEqual(['A', 'B']);
  });

  it('leaves no heading at the end of a chunk that its section goes on after', async () => {
    const text = `# Top\n\n${paragraph(0, 3)}\n\n${paragraph(3, 9)}\n`;
    for (const chunk of await splitText(text)) expect(chunk.text).not.toMatch(/^Top$/);
  });

  it('moves a heading that would end a chunk to the next, where a heading is repeated', async () => {
    const chunks = await splitText(`# A\n\n${paragraph(0, 3)}\n\n# A\n\n${paragraph(3, 6)}\n`);
    for (const { text } of chunks) expect(text).not.toMatch(/\n\nA$/);
  });

  it('cuts a paragraph that is too long between sentences, with exact offsets', async () => {
    const text = `${paragraph(0, 12)}`;
    const chunks = await splitText(text, {}, 'text/plain');
    expect(chunks.length).toBeGreaterThan(2);
    for (const chunk of chunks) {
      expect(chunk.text).toMatch(/^Probe .*tank\.$/s);
      expect(text.slice(chunk.start, chunk.end)).toBe(chunk.text);
    }
  });

  it('cuts a sentence that is too long between words, and a word between graphemes', async () => {
    const words = Array.from({ length: 100 }, (_, i) => `word${i}`).join(' ');
    for (const chunk of await splitText(words)) expect(chunk.text).toMatch(/^word\d+( word\d+)*$/);
    const family = '\u{1F468}\u200D\u{1F469}\u200D\u{1F467}';
    const chunks = await splitText(family.repeat(60));
    expect(chunks.length).toBeGreaterThan(1);
    expect(chunks.map(({ text }) => text.replaceAll(family, '')).join('')).toBe('');
  });

  it('cuts a grapheme only when it alone is too long, and never a surrogate pair', async () => {
    const monster = `a${'\u{1E8D0}'.repeat(400)}`;
    const perCodePoint = async (texts: readonly string[]) => texts.map((text) => [...text].length);
    const chunks = await splitText(monster, { countTokens: perCodePoint });
    expect(chunks.map(({ text }) => text).join('')).toBe(monster);
    for (const { text, tokens } of chunks) {
      expect(tokens).toBeLessThanOrEqual(32);
      expect(text).not.toMatch(/\p{Cs}/u);
    }
  });

  it('does not let one token stand for a whole book', async () => {
    const oneToken = async (texts: readonly string[]) => texts.map(() => 1);
    const chunks = await splitText('x'.repeat(10_000), { countTokens: oneToken });
    expect(Math.max(...chunks.map(({ text }) => text.length))).toBeLessThanOrEqual(32 * 32);
  });

  it('repeats the last sentences of a chunk in the next of its section, and nothing across sections', async () => {
    const text = `# A\n\n${paragraph(0, 8)}\n\n# B\n\n${paragraph(8, 10)}\n`;
    const chunks = await splitText(text, { overlapTokens: 12 });
    const inA = chunks.filter(({ headingPath }) => headingPath[0] === 'A');
    for (const [i, chunk] of inA.entries()) {
      const last = inA[i - 1]?.text.match(/Probe[^.]*\.$/)?.[0];
      if (last !== undefined) expect(chunk.text.startsWith(last)).toBe(true);
      expect(chunk.tokens).toBeLessThanOrEqual(32);
    }
    expect(inA.length).toBeGreaterThan(1);
    expect(
      chunks.find(({ headingPath }) => headingPath[0] === 'B')?.text.startsWith('B\n\nProbe number 8'),
    ).toBe(true);
  });

  it('asks for counts in a few large batches', async () => {
    let calls = 0;
    const counting = (texts: readonly string[]) => {
      calls += 1;
      return countTokens(texts);
    };
    const text = Array.from({ length: 50 }, (_, i) => `## H${i}\n\n${paragraph(i, i + 9)}`).join('\n\n');
    expect((await splitText(text, { countTokens: counting })).length).toBeGreaterThan(50);
    expect(calls).toBeLessThanOrEqual(8);
  });

  it('keeps under the limit with a counter that charges for joins', async () => {
    const withBreaks = async (texts: readonly string[]) =>
      (await countTokens(texts)).map((count, i) => count + (texts[i]?.match(/\n/g)?.length ?? 0) * 3);
    const text = Array.from({ length: 40 }, (_, i) => `short ${i}`).join('\n\n');
    for (const overlapTokens of [0, 8])
      for (const { tokens } of await splitText(text, { countTokens: withBreaks, overlapTokens }))
        expect(tokens).toBeLessThanOrEqual(32);
  });

  it.each([{ maxTokens: 7 }, { maxTokens: 32, overlapTokens: 17 }, { maxTokens: 32, overlapTokens: -1 }])(
    'refuses limits that cannot be kept: %j',
    async (limits) => {
      await expect(splitText('x', limits)).rejects.toBeInstanceOf(BulkheadError);
    },
  );
});
