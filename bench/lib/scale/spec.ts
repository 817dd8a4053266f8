/** What one data set of the production benches holds; two of the same specification are the same to the byte. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { PROJECT } from '../folders.ts';

export interface DataSpec {
  readonly chunks: number;
  /** Ad-hoc classes; containers come on top. */
  readonly classes: number;
  /** Words in a chunk. */
  readonly words: number;
  /** Chunks below the container `/fixed`, whatever else there is. */
  readonly fixedChunks: number;
  /** `full`: a reader of every share. `simple`: all that is not in `/fixed` is in `/big`. */
  readonly layout: 'full' | 'simple';
}

export const SEED = 7;
const LONGEST_DOCUMENT = 5;

/** Every class has a document, and no document more than five chunks. */
export function documentCount({ chunks, classes }: DataSpec): number {
  return Math.max(classes, Math.ceil(chunks / LONGEST_DOCUMENT));
}

/** The first chunk of a document, counted from 0; that of the document after the last is the number of chunks. */
export function firstChunk(spec: DataSpec, document: number): number {
  return Math.floor((document * spec.chunks) / documentCount(spec));
}

/** Position of a document's class. Documents and classes are random to each other, which is harder than life. */
export function classOf({ classes }: DataSpec, document: number): number {
  return document % classes;
}

/** Chunks in each class, by its position. */
export function chunksByClass(spec: DataSpec): Int32Array {
  const counts = new Int32Array(spec.classes);
  for (let document = 0; document < documentCount(spec); document += 1) {
    const position = classOf(spec, document);
    counts[position] = (counts[position] ?? 0) + firstChunk(spec, document + 1) - firstChunk(spec, document);
  }
  return counts;
}

/**
 * Sources that decide what is loaded: what becomes of a text in the index, and the generator itself. Not the migrations:
 * what an earlier run has loaded is migrated as an installation is.
 */
const SOURCES = [
  'src/index/terms.ts',
  'src/index/stem.ts',
  'src/index/stop-words.ts',
  'bench/lib/scale/layout.ts',
  'bench/lib/scale/corpus.ts',
  'bench/lib/scale/load-tenant.ts',
  'bench/lib/scale/load-classes.ts',
  'bench/lib/scale/load-documents.ts',
  'bench/lib/scale/load-qdrant.ts',
];

/** @param texts that the passages are made of */
export function keyOf(spec: DataSpec, texts: readonly string[]): string {
  const hash = createHash('sha256').update(JSON.stringify([spec, texts]));
  for (const file of SOURCES) hash.update(file).update(readFileSync(join(PROJECT, file)));
  return `${spec.chunks}-${spec.classes}-${hash.digest('hex').slice(0, 10)}`;
}

const MOST_CLASSES = 100_000;
const WORDS = 150;

/** What the contest is about: a reader of every share. */
export function fullSpec(chunks: number): DataSpec {
  const classes = Math.min(MOST_CLASSES, Math.floor(chunks / 2));
  return { chunks, classes, words: WORDS, fixedChunks: Math.round(chunks * 0.01), layout: 'full' };
}
