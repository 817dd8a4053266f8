import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { retrieve } from '../../src/retrieve/retrieve.ts';
import type { CallerIdentity } from '../../src/store/authority.ts';
import { openSpine, type Spine, type SpineDocument } from '../helpers/spine.ts';

const WORDS = [
  'harbour',
  'gate',
  'painted',
  'spring',
  'keeper',
  'sonar',
  'budget',
  'launch',
  'code',
  'the',
  'of',
  'tide',
  '4711',
];
const sentence = fc
  .array(fc.constantFrom(...WORDS), { minLength: 2, maxLength: 12 })
  .map((words) => words.join(' '));

describe('Silence', () => {
  let spine: Spine;
  beforeAll(async () => {
    spine = await openSpine();
    for (const text of [
      'The harbour gate is painted every spring.',
      'The sonar budget is approved.',
      'The tide code: ask the keeper.',
    ])
      await spine.add(spine.classes.open, text);
  });
  afterAll(() => spine.close());

  const answer = async (who: CallerIdentity, query: string, limit: number) => {
    const { content } = await retrieve(spine.parts, who, { requestId: 'same', query, limit, filters: {} });
    return JSON.stringify(content);
  };

  it('inserting and deleting documents that a caller may not read leaves the answers byte-identical', {
    timeout: 240_000,
  }, async () => {
    let bobDiffers = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.array(sentence, { minLength: 1, maxLength: 4 }),
        sentence,
        fc.integer({ min: 1, max: 10 }),
        async (hidden, question, limit) => {
          const before = await answer(spine.ann, question, limit);
          const bobBefore = await answer(spine.bob, question, limit);
          const added: SpineDocument[] = [];
          for (const text of hidden) added.push(await spine.add(spine.classes.closed, text, text));
          expect(await answer(spine.ann, question, limit)).toBe(before);
          if ((await answer(spine.bob, question, limit)) !== bobBefore) bobDiffers += 1;
          for (const document of added) await spine.remove(document);
          expect(await answer(spine.ann, question, limit)).toBe(before);
        },
      ),
      { numRuns: 25 },
    );
    // the one who may read them sees the difference: there was something to notice
    expect(bobDiffers).toBeGreaterThan(10);
  });

  it('an unknown container, a hidden one and an empty answer are the same', async () => {
    const ask = async (container: string) => {
      const { content } = await retrieve(spine.parts, spine.ann, {
        requestId: 'same',
        query: 'gate',
        limit: 5,
        filters: { container },
      });
      return JSON.stringify(content);
    };
    await spine.add(spine.classes.closed, 'The hidden gate.');
    expect(await ask('/closed')).toBe(await ask('/no-such-container'));
    expect(JSON.parse(await ask('/closed'))).toMatchObject({ passages: [], complete: true });
  });
});
