import { setImmediate as immediate, setTimeout as pause } from 'node:timers/promises';
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parse } from '../../src/ingest/parsers/parse.ts';
import { ParsePool, type ParsePoolOptions } from '../../src/ingest/parsers/parse-pool.ts';

let pools: ParsePool[];
/** For what leaves a pool as it was. */
const shared = new ParsePool({ deadlineMs: 20_000 });

beforeEach(() => {
  pools = [];
});

afterEach(async () => {
  await Promise.all(pools.map((pool) => pool.close()));
});

afterAll(() => shared.close());

/** With time enough for any honest document on a machine that is busy with other tests. */
function open(options: ParsePoolOptions = {}): ParsePool {
  const pool = new ParsePool({ deadlineMs: 20_000, ...options });
  pools.push(pool);
  return pool;
}

const bytes = (text: string) => new TextEncoder().encode(text);
const read = (pool: ParsePool, text: string, mediaType = 'text/markdown') =>
  pool.parse(bytes(text), mediaType);

/** Runs of one backtick, two, three …, none of which closes another. */
function backtickRuns(length: number): string {
  let text = '';
  for (let run = 1; text.length < length; run += 1) text += `${'`'.repeat(run)}a`;
  return text;
}

/** Each takes seconds to minutes where nothing stops it. */
const HOSTILE: readonly (readonly [what: string, mediaType: string, text: string])[] = [
  ['backtick runs that grow', 'text/markdown', backtickRuns(600_000)],
  ['quotes in quotes', 'text/markdown', '> '.repeat(20_000)],
  ['images in images', 'text/markdown', '![[]('.repeat(40_000)],
  ['links in links', 'text/markdown', '[a]('.repeat(40_000)],
  ['lists in lists around many lines', 'text/html', '<ol><li>'.repeat(510) + 'a<br>'.repeat(60_000)],
];

/** The longest that a timer of this thread was late while the work went on, in milliseconds. */
async function longestStall(work: Promise<unknown>): Promise<number> {
  let isDone = false;
  const done = work.finally(() => {
    isDone = true;
  });
  let longest = 0;
  while (!isDone) {
    const before = performance.now();
    await pause(10);
    longest = Math.max(longest, performance.now() - before - 10);
  }
  await done;
  return longest;
}

describe('the parser in its own thread', () => {
  it('parses as the parser itself does, one document after another', async () => {
    const markdown =
      '---\ntitle: T\nlevel: internal\n---\n# One\n\ntext\n\n## Two\n\n<p>a <b>b</b></p>\n\n- c\n- d';
    const documents = [
      [markdown, 'text/markdown'],
      ['<title>T</title><h1>A</h1><p>b</p><h2>C</h2><p>d</p>', 'text/html; charset=utf-8'],
      ['Title\n\nFirst.\n\nSecond.', 'text/plain'],
    ] as const;
    const parsed = await Promise.all(documents.map(([text, mediaType]) => read(shared, text, mediaType)));
    expect(parsed).toEqual(documents.map(([text, mediaType]) => parse(text, mediaType)));
  });

  it.each(HOSTILE)(
    'gives up on %s at the deadline, while this thread goes on, and parses the next',
    async (_, mediaType, text) => {
      const pool = open({ deadlineMs: 300 });
      const hostile = expect(read(pool, text, mediaType)).rejects.toMatchObject({
        code: 'unparsable',
        detail: 'The document took longer than 0.3 seconds to read.',
      });
      const next = read(pool, 'next', 'text/plain');
      expect(await longestStall(hostile)).toBeLessThan(2_000);
      expect((await next).segments).toMatchObject([{ text: 'next' }]);
    },
  );

  it('says 5 seconds when nothing else was asked for', async () => {
    const pool = new ParsePool();
    pools.push(pool);
    await expect(read(pool, '> '.repeat(60_000))).rejects.toMatchObject({
      code: 'unparsable',
      detail: 'The document took longer than 5 seconds to read.',
    });
  });

  it('counts from when the worker starts on a document, not from when it came', async () => {
    const pool = open({ deadlineMs: 1_000 });
    const hostile = [1, 2].map(() => read(pool, '> '.repeat(60_000)).catch(({ code }) => code));
    const honest = read(pool, 'I waited twice as long.', 'text/plain');
    expect(await Promise.all(hostile)).toEqual(['unparsable', 'unparsable']);
    expect((await honest).segments).toHaveLength(1);
  });

  it('takes an answer that was there in time although this thread was too busy to see it', async () => {
    const pool = open({ deadlineMs: 1_000 });
    await read(pool, 'warm', 'text/plain');
    // after an immediate, timers that are due come before answers
    await immediate();
    const answer = read(pool, 'in time', 'text/plain');
    const until = performance.now() + 1_500;
    while (performance.now() < until);
    expect((await answer).segments).toMatchObject([{ text: 'in time' }]);
  });

  it('gives up on front matter at the deadline, too', async () => {
    const pool = open({ deadlineMs: 50 });
    const keys = Array.from({ length: 8_000 }, (_, i) => `k${i}:`).join('\n');
    await expect(pool.readFrontMatter(bytes(`---\n${keys}\n---\n`))).rejects.toMatchObject({
      code: 'unparsable',
      detail: 'The document took longer than 0.05 seconds to read.',
    });
  });

  it('reads front matter alone', async () => {
    const text = '---\nlevel: internal\nentries: [{ allow: everyone }]\n---\n# Body';
    expect(await shared.readFrontMatter(bytes(text))).toEqual({
      level: 'internal',
      entries: [{ allow: 'everyone' }],
    });
    expect(await shared.readFrontMatter(bytes('# Body'))).toBeUndefined();
  });

  it.each([
    ['PDF', '%PDF-1.7', 'text/plain', 'binary_content', 'The content is a PDF file, not text.'],
    ['an empty document', ' \n', 'text/plain', 'empty_document', 'The document holds no text.'],
    ['an unknown type', 'a', 'text/rtf', 'unsupported_media_type', expect.stringContaining('text/markdown')],
    [
      'open front matter',
      '---\na: b\n',
      'text/markdown',
      'unparsable',
      expect.stringContaining('not closed'),
    ],
    ['deep nesting', '<b>'.repeat(2_000), 'text/html', 'unparsable', expect.stringContaining('512')],
  ])('refuses %s with the code and the detail of the parser', async (_, text, mediaType, code, detail) => {
    await expect(read(shared, text, mediaType)).rejects.toMatchObject({ code, detail });
  });

  it('refuses a document that needs more memory than it may have, and parses the next', async () => {
    const pool = open({ maxHeapMb: 32 });
    await expect(read(pool, 'word *word*\n\n'.repeat(100_000))).rejects.toMatchObject({
      code: 'unparsable',
      detail: 'The document took more than 32 MB of memory to read.',
    });
    expect((await read(pool, 'next')).segments).toHaveLength(1);
  });

  it('refuses a document whose text is many times as long as itself', async () => {
    const text = '<ol><li>'.repeat(200) + 'a<br>'.repeat(1_000);
    await expect(read(shared, text, 'text/html')).rejects.toMatchObject({
      code: 'unparsable',
      detail: "The document's text is over 8 times its own length.",
    });
  });

  it('carries a long heading once, however many blocks are below it', async () => {
    const heading = 'h'.repeat(200_000);
    const { segments } = await read(shared, `# ${heading}\n\n${'a\n\n'.repeat(10_000)}`);
    expect(segments).toHaveLength(10_001);
    expect(segments.every(({ headingPath }) => headingPath[0] === heading)).toBe(true);
  });

  it('sends the document alone when it is a part of a larger buffer, and leaves the buffer whole', async () => {
    const buffer = bytes('before|the document|after');
    const { segments } = await shared.parse(buffer.subarray(7, 19), 'text/plain');
    expect(segments).toMatchObject([{ text: 'the document' }]);
    expect(buffer).toHaveLength(25);
  });

  it('rejects what is under way, what waits and what comes when it is closed', async () => {
    const pool = open();
    await read(pool, 'warm');
    const outcomes = ['> '.repeat(60_000), 'waiting'].map((text) =>
      read(pool, text).catch(({ code }) => code),
    );
    await pool.close();
    expect(await Promise.all(outcomes)).toEqual(['shutting_down', 'shutting_down']);
    await expect(read(pool, 'late')).rejects.toMatchObject({ code: 'shutting_down' });
  });
});
