/** A tenant with many chunks and classes, for measuring time and memory. */
import type { BenchDocument } from './collections.ts';
import { keptFolder, type OpenFolder } from './data-folder.ts';
import { type Dealing, deal } from './dealing.ts';
import { progress } from './progress.ts';
import { seeded } from './random.ts';
import { sourceTexts } from './source-texts.ts';
import { ingestAll, makeTenant, submissionsOf, submitterOf } from './tenant.ts';

export const TENANT = 'bench';
const SEED = 7;
const SLICE = 200;
/** About three chunks a document. */
const PARAGRAPHS = 5;
const WORDS_PER_PARAGRAPH = 110;
const WORDS_PER_QUESTION = 10;

/** Documents of several paragraphs, each put together from random texts: no two are alike. */
export function documentsFrom(
  texts: readonly string[],
  count: number,
  seed: number,
): readonly BenchDocument[] {
  const random = seeded(seed);
  const paragraph = () => {
    const words: string[] = [];
    while (words.length < WORDS_PER_PARAGRAPH)
      words.push(...pick(texts, random).split(/\s+/).filter(Boolean));
    return words.slice(0, WORDS_PER_PARAGRAPH).join(' ');
  };
  return Array.from({ length: count }, (_, i) => ({
    id: `bench-${seed}-${i}`,
    title: pick(texts, random).split(/\s+/).slice(0, 8).join(' '),
    text: Array.from({ length: PARAGRAPHS }, paragraph).join('\n\n'),
  }));
}

/** Questions of ten words, as they stand in the texts. */
export function questionsFrom(texts: readonly string[], count: number, seed: number): readonly string[] {
  const random = seeded(seed);
  return Array.from({ length: count }, () => {
    const words = pick(texts, random).split(/\s+/).filter(Boolean);
    const start = Math.floor(random() * Math.max(1, words.length - WORDS_PER_QUESTION));
    return words.slice(start, start + WORDS_PER_QUESTION).join(' ');
  });
}

function pick(texts: readonly string[], random: () => number): string {
  return texts[Math.floor(random() * texts.length)] ?? '';
}

/**
 * A folder with at least so many chunks. Their vectors are random: an exact scan reads each of them whatever it
 * holds, and embedding as many would take ten minutes. All else is the real pipeline.
 */
export function spineFolder(chunks: number): Promise<string> {
  const documents = documentsFrom(sourceTexts(), chunks, SEED);
  const dealing = deal(documents.length, SEED);
  return keptFolder(`spine-${chunks}`, [String(chunks), documents[0]?.text ?? ''], ({ core }) =>
    fill(core, documents, dealing, chunks),
  );
}

async function fill(
  core: OpenFolder['core'],
  documents: readonly BenchDocument[],
  dealing: Dealing,
  enough: number,
): Promise<void> {
  await makeTenant(core, TENANT, dealing);
  const parts = {
    ...core.ingest,
    embedder: { ...randomVectors(core), countTokens: core.embedder.countTokens.bind(core.embedder) },
  };
  const submissions = submissionsOf(documents, dealing);
  const said = progress('Filling with chunks', enough);
  let chunks = 0;
  for (let start = 0; chunks < enough && start < submissions.length; start += SLICE) {
    const results = await ingestAll(
      parts,
      await submitterOf(core, TENANT),
      submissions.slice(start, start + SLICE),
    );
    chunks += results.reduce((sum, result) => sum + (result.chunks ?? 0), 0);
    said(chunks);
  }
}

function randomVectors({ embedder }: OpenFolder['core']) {
  const random = seeded(SEED);
  return {
    fingerprint: embedder.fingerprint,
    maxTokens: embedder.maxTokens,
    embedPassages: async (texts: readonly string[]) =>
      texts.map(() => unitVector(embedder.dimension, random)),
  };
}

function unitVector(dimension: number, random: () => number): Float32Array {
  const vector = Float32Array.from({ length: dimension }, () => random() - 0.5);
  const length = Math.hypot(...vector);
  return vector.map((x) => x / length);
}
