/** Chunks that resemble real ones: put together from real sentences, with vectors put together from theirs. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Embedder } from '../../../src/embed/embedder.ts';
import { judgedCollections } from '../collections.ts';
import { VECTORS_FOLDER } from '../folders.ts';
import { progress } from '../progress.ts';
import { seeded, shuffled } from '../random.ts';
import { sourceTexts } from '../source-texts.ts';
import { SEED } from './spec.ts';

const PIECES = 4_000;
const WORDS_PER_PIECE = 32;
/** Of a chunk's pieces besides the first. */
const COMPANIONS = 4;
const COMPANION_WEIGHT = 0.6;
/** How likely a companion stands near the first piece in its document. */
const NEARBY = 0.6;
/** Length of the noise added to a vector before it is brought back to length 1. */
const NOISE = 0.3;
/** One chunk in so many names a person's address and number. */
const PERSONAL_EVERY = 20;

/** Real sentences and their vectors, which lie one after the other. */
export interface Pieces {
  readonly texts: readonly string[];
  readonly vectors: Float32Array;
  readonly dimension: number;
}

/** Embeds once and keeps the vectors; those of the judged collections where they are, else of the fixtures. */
export async function readPieces(embedder: Embedder): Promise<Pieces> {
  const texts = pieceTexts();
  const { dimension } = embedder;
  const file = join(VECTORS_FOLDER, `pieces-${embedder.fingerprint.slice(0, 12)}-${texts.length}.f32`);
  if (!existsSync(file)) {
    mkdirSync(VECTORS_FOLDER, { recursive: true });
    const said = progress('Embedding sentences', texts.length);
    const vectors = new Float32Array(texts.length * dimension);
    for (const [i, text] of texts.entries()) {
      const [vector] = await embedder.embedPassages([text]);
      if (vector !== undefined) vectors.set(vector, i * dimension);
      said(i + 1);
    }
    writeFileSync(file, new Uint8Array(vectors.buffer));
  }
  const bytes = readFileSync(file);
  const vectors = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
  return { texts, vectors, dimension };
}

function pieceTexts(): readonly string[] {
  const pieces: string[] = [];
  for (const text of shuffled(sourceTexts(), seeded(SEED))) {
    const words = text.split(/\s+/).filter(Boolean);
    for (let at = 0; at < words.length && pieces.length < PIECES; at += WORDS_PER_PIECE)
      pieces.push(words.slice(at, at + WORDS_PER_PIECE).join(' '));
  }
  return pieces;
}

/** Which pieces a chunk is made of, the first one counting most. The same chunk is the same every time. */
function piecesOf(count: number, chunk: number): readonly number[] {
  const random = seeded(SEED * 1_000_003 + chunk);
  const first = Math.floor(random() * count);
  const companion = (i: number) =>
    random() < NEARBY ? (first + i + 1) % count : Math.floor(random() * count);
  return [first, ...Array.from({ length: COMPANIONS }, (_, i) => companion(i))];
}

export function chunkText({ texts }: Pieces, chunk: number, words: number): string {
  const all = piecesOf(texts.length, chunk)
    .map((piece) => texts[piece] ?? '')
    .join(' ')
    .split(' ');
  const text = all.slice(0, words).join(' ');
  if (chunk % PERSONAL_EVERY !== 0) return text;
  return `${text} Ask person${chunk}@example.com or call +44 20 7946 0${String(chunk % 1000).padStart(3, '0')}.`;
}

export function titleOf({ texts }: Pieces, chunk: number): string {
  return (texts[piecesOf(texts.length, chunk)[0] ?? 0] ?? '').split(' ').slice(0, 7).join(' ');
}

/** The chunk's vector, of length 1, into `into`. */
export function chunkVector({ texts, vectors, dimension }: Pieces, chunk: number, into: Float32Array): void {
  const random = seeded(SEED * 7_368_787 + chunk);
  // uniform numbers in [-1, 1) have a variance of a third
  const step = NOISE * Math.sqrt(3 / dimension);
  for (let i = 0; i < dimension; i += 1) into[i] = (2 * random() - 1) * step;
  for (const [rank, piece] of piecesOf(texts.length, chunk).entries()) {
    const weight = rank === 0 ? 1 : COMPANION_WEIGHT / COMPANIONS;
    const from = piece * dimension;
    for (let i = 0; i < dimension; i += 1) into[i] = (into[i] ?? 0) + weight * (vectors[from + i] ?? 0);
  }
  let square = 0;
  for (let i = 0; i < dimension; i += 1) square += (into[i] ?? 0) ** 2;
  const length = Math.sqrt(square);
  for (let i = 0; i < dimension; i += 1) into[i] = (into[i] ?? 0) / length;
}

/** Questions as people asked them, where the judged collections are, else ten words from the texts. */
export function questionsOf({ texts }: Pieces, count: number): readonly string[] {
  const random = seeded(SEED + 1);
  const asked = shuffled(
    judgedCollections().flatMap(({ questions }) => questions.map(({ text }) => text)),
    random,
  );
  return Array.from({ length: count }, (_, i) => asked[i] ?? tenWords(texts, random));
}

function tenWords(texts: readonly string[], random: () => number): string {
  const words = (texts[Math.floor(random() * texts.length)] ?? '').split(' ');
  const start = Math.floor(random() * Math.max(1, words.length - 10));
  return words.slice(start, start + 10).join(' ');
}
