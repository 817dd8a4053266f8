/** Exact nearest neighbours among the visible chunks, computed in this process from the vectors themselves. */
import { chunkVector, type Pieces } from './corpus.ts';
import type { Layout } from './layout.ts';
import { classOf, type DataSpec, documentCount, firstChunk } from './spec.ts';

export interface ExactHit {
  readonly chunk: number;
  readonly score: number;
}

export class ExactSearch {
  readonly #vectors: Float32Array;
  readonly #classes: Int32Array;
  readonly #dimension: number;

  /** Keeps all vectors in memory: 1.5 KB a chunk. */
  constructor(spec: DataSpec, pieces: Pieces) {
    this.#dimension = pieces.dimension;
    this.#vectors = new Float32Array(spec.chunks * pieces.dimension);
    for (let chunk = 0; chunk < spec.chunks; chunk += 1)
      chunkVector(
        pieces,
        chunk,
        this.#vectors.subarray(chunk * pieces.dimension, (chunk + 1) * pieces.dimension),
      );
    this.#classes = new Int32Array(spec.chunks);
    for (let document = 0; document < documentCount(spec); document += 1)
      this.#classes.fill(classOf(spec, document), firstChunk(spec, document), firstChunk(spec, document + 1));
  }

  /** By chunk, which are counted from 0 here. */
  scores(query: Float32Array): Float32Array {
    const [vectors, dimension] = [this.#vectors, this.#dimension];
    const scores = new Float32Array(this.#classes.length);
    for (let chunk = 0, at = 0; chunk < scores.length; chunk += 1) {
      let sum = 0;
      for (let i = 0; i < dimension; i += 1, at += 1) sum += (vectors[at] ?? 0) * (query[i] ?? 0);
      scores[chunk] = sum;
    }
    return scores;
  }

  /** Chunks the reader may read, one byte each. */
  visible(layout: Layout, reader: string): Uint8Array {
    const allowed = new Map<number, boolean>();
    return Uint8Array.from(this.#classes, (cls) => {
      const known = allowed.get(cls) ?? layout.mayRead(reader, cls);
      allowed.set(cls, known);
      return known ? 1 : 0;
    });
  }
}

/** The best so many, highest first; a chunk's id in the stores is one more than here. */
export function bestOf(scores: Float32Array, visible: Uint8Array, count: number): readonly ExactHit[] {
  const kept: ExactHit[] = [];
  let least = Number.NEGATIVE_INFINITY;
  for (let chunk = 0; chunk < scores.length; chunk += 1) {
    const score = scores[chunk] ?? 0;
    if (visible[chunk] === 0 || (kept.length >= count && score <= least)) continue;
    kept.push({ chunk, score });
    // sorted now and then, not at each: most of what is kept first does not stay
    if (kept.length >= 2 * count) least = cut(kept, count);
  }
  cut(kept, count);
  return kept;
}

function cut(kept: ExactHit[], count: number): number {
  kept.sort((a, b) => b.score - a.score || a.chunk - b.chunk);
  kept.length = Math.min(kept.length, count);
  return kept.at(-1)?.score ?? Number.NEGATIVE_INFINITY;
}
