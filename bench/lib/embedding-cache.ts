/**
 * Vectors kept between runs, by model and text. The model's vector of a passage depends on that passage alone, so
 * a kept one is the one that it would make again. Never used where embedding itself is measured.
 */
import { createHash } from 'node:crypto';
import { appendFileSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { IngestParts } from '../../src/ingest/submission.ts';

const KEY_BYTES = 16;
const KEPT_AT_ONCE = 256;

type PassageEmbedder = IngestParts['embedder'];

/** The same embedder, which asks the file first. `keep` writes what is new. */
export function cachedEmbedder(
  embedder: PassageEmbedder & { readonly dimension: number },
  file: string,
): PassageEmbedder & { readonly keep: () => void } {
  const recordBytes = KEY_BYTES + embedder.dimension * 4;
  const known = readVectors(file, recordBytes, embedder.dimension);
  let fresh: Buffer[] = [];
  const keep = () => {
    if (fresh.length > 0) appendFileSync(file, Buffer.concat(fresh));
    fresh = [];
  };
  const add = (key: string, vector: Float32Array) => {
    known.set(key, vector);
    fresh.push(Buffer.from(key, 'hex'), Buffer.from(vector.buffer, vector.byteOffset, vector.byteLength));
    if (fresh.length >= 2 * KEPT_AT_ONCE) keep();
  };
  return {
    fingerprint: embedder.fingerprint,
    maxTokens: embedder.maxTokens,
    countTokens: (texts) => embedder.countTokens(texts),
    embedPassages: async (texts) => {
      const missing = texts.filter((text) => !known.has(keyOf(text)));
      const vectors = missing.length === 0 ? [] : await embedder.embedPassages(missing);
      for (const [i, text] of missing.entries()) {
        const vector = vectors[i];
        if (vector !== undefined) add(keyOf(text), vector);
      }
      return texts.map((text) => known.get(keyOf(text)) ?? new Float32Array());
    },
    keep,
  };
}

function readVectors(file: string, recordBytes: number, dimension: number): Map<string, Float32Array> {
  const known = new Map<string, Float32Array>();
  mkdirSync(dirname(file), { recursive: true });
  if (!existsSync(file)) return known;
  const bytes = readFileSync(file);
  for (let at = 0; at + recordBytes <= bytes.length; at += recordBytes) {
    const vector = new Float32Array(dimension);
    new Uint8Array(vector.buffer).set(bytes.subarray(at + KEY_BYTES, at + recordBytes));
    known.set(bytes.toString('hex', at, at + KEY_BYTES), vector);
  }
  return known;
}

function keyOf(text: string): string {
  return createHash('sha256')
    .update(text)
    .digest('hex')
    .slice(0, 2 * KEY_BYTES);
}
