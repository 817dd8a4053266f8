/**
 * Text in, vectors out. The model runs in worker threads: one answers queries only, so that a question never waits
 * for an import; the others embed documents.
 */
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { BulkheadError } from '../errors.ts';
import { downloadModel } from './hub-download.ts';
import {
  fingerprintOf,
  localFolder,
  type ModelManifest,
  type ModelSpec,
  readManifest,
} from './model-manifest.ts';
import { silenceOnnxRuntime } from './no-telemetry.ts';
import type { WorkerAnswer, WorkerInput, WorkerRequest } from './protocol.ts';
import { openPool, type WorkerPool } from './worker-pool.ts';

/** Texts whose tokens are counted in one request. */
const COUNT_BATCH = 64;

/**
 * Texts sent to a worker in one request, whatever it computes together: it has work while the main thread, which is
 * also the embedded database, is busy for tens of milliseconds.
 */
const TEXTS_PER_REQUEST = 8;

const HUB = 'https://huggingface.co';

export interface Embedder {
  /** SHA-256 in hex of everything that decides what a vector looks like; an index belongs to one fingerprint. */
  readonly fingerprint: string;
  /** Numbers in a vector. */
  readonly dimension: number;
  /**
   * The longest input in tokens. The passage prefix and the tokenizer's special tokens (two with BERT) take their
   * part of it; what is longer loses its end, without an error.
   */
  readonly maxTokens: number;
  readonly name: string;
  /**
   * The vector of a question, of length 1, for the dot product with passages. Nothing is cached. The caller bounds
   * the length: the tokenizer reads a text whole before it is cut.
   *
   * @throws {BulkheadError} `invalid_request` when the text is blank, `embedding_unavailable`
   */
  embedQuery(text: string): Promise<Float32Array>;
  /**
   * The vectors of passages, of length 1, in their order. Texts of one call share batches, those of two calls never
   * do. In a model that is quantised dynamically (as int8 ones are) a text's vector depends a little on the others in
   * its batch: pass passages of one label only, such as those of one document.
   *
   * @throws {BulkheadError} `internal` when a text is blank, since the splitter makes none; `embedding_unavailable`
   */
  embedPassages(texts: readonly string[]): Promise<Float32Array[]>;
  /**
   * Tokens of each whole text by the model's own tokenizer, without special tokens and prefix.
   *
   * @throws {BulkheadError} `embedding_unavailable`
   */
  countTokens(texts: readonly string[]): Promise<number[]>;
  /** Ends the workers; what they were at is rejected with `embedding_unavailable`. */
  close(): Promise<void>;
}

export interface EmbedderOptions {
  /** A `manifest.json`, see model-manifest.ts. */
  readonly manifestPath: string;
  /** Workers for questions: 1, or 0 in a process that is asked none; default 1. */
  readonly queryWorkers?: 0 | 1;
  /** Workers for passages, 0 in a process that takes none in; default: one less than there are processors. */
  readonly ingestWorkers?: number;
  /** Default 1: two workers of one thread are faster than one of two. */
  readonly threadsPerWorker?: number;
  /**
   * Passages computed together, at least 1. Default 1: no vector then depends on any other text, and on one thread
   * it is no slower.
   */
  readonly batchSize?: number;
  /** Where a model of the Hub is kept; needed when the manifest names one. */
  readonly cacheFolder?: string;
  /** A mirror of huggingface.co. */
  readonly hubUrl?: string;
  /** Told about every worker that died, for the log. Each is started again, with growing delays. */
  readonly onWorkerFailure?: (error: BulkheadError) => void;
}

/**
 * Verifies the model's files against its manifest and loads it.
 *
 * @throws {BulkheadError} `config_invalid` (the manifest), `model_missing` or `model_tampered` (naming the file),
 *   `embedding_unavailable` when the model does not load
 */
export async function openEmbedder(options: EmbedderOptions): Promise<Embedder> {
  silenceOnnxRuntime();
  const spec = await locate(await readManifest(options.manifestPath), options);
  const shared = {
    startWorker: () => startWorker({ spec, threads: options.threadsPerWorker ?? 1 }),
    restartDelay,
    onFailure: options.onWorkerFailure ?? (() => {}),
  };
  const ingestWorkers = options.ingestWorkers ?? Math.max(1, availableParallelism() - 1);
  const [query, ingest] = await openBoth(
    openPool({ ...shared, size: options.queryWorkers ?? 1 }),
    openPool({ ...shared, size: ingestWorkers }),
  );
  return new WorkerEmbedder(spec, query, ingest, options.batchSize ?? 1);
}

/** What an index of the model must know of it; none of its files is read. @throws as `readManifest` does */
export async function describeSpace(
  manifestPath: string,
): Promise<Pick<Embedder, 'fingerprint' | 'dimension' | 'name'>> {
  const manifest = await readManifest(manifestPath);
  return { fingerprint: fingerprintOf(manifest), dimension: manifest.dimension, name: manifest.name };
}

class WorkerEmbedder implements Embedder {
  readonly fingerprint: string;
  readonly dimension: number;
  readonly maxTokens: number;
  readonly name: string;
  readonly #spec: ModelSpec;
  readonly #query: WorkerPool;
  readonly #ingest: WorkerPool;
  readonly #batchSize: number;

  constructor(spec: ModelSpec, query: WorkerPool, ingest: WorkerPool, batchSize: number) {
    this.fingerprint = fingerprintOf(spec);
    this.dimension = spec.dimension;
    this.maxTokens = spec.maxTokens;
    this.name = spec.name;
    this.#spec = spec;
    this.#query = query;
    this.#ingest = ingest;
    this.#batchSize = batchSize;
  }

  async embedQuery(text: string): Promise<Float32Array> {
    if (isBlank(text)) throw new BulkheadError('invalid_request', 'The question is empty.');
    return vectorsOf(await this.#query.run({ kind: 'embed', texts: [this.#spec.queryPrefix + text] }));
  }

  async embedPassages(texts: readonly string[]): Promise<Float32Array[]> {
    if (texts.some(isBlank)) throw new BulkheadError('internal', 'A blank passage cannot be embedded.');
    const vectors = new Array<Float32Array>(texts.length);
    const perRequest = this.#batchSize * Math.ceil(TEXTS_PER_REQUEST / this.#batchSize);
    const requests = batchesByLength(texts, perRequest);
    await Promise.all(requests.map((positions) => this.#embedSome(texts, positions, vectors)));
    return vectors;
  }

  async countTokens(texts: readonly string[]): Promise<number[]> {
    const requests: WorkerRequest[] = [];
    for (let i = 0; i < texts.length; i += COUNT_BATCH) {
      requests.push({ kind: 'count', texts: texts.slice(i, i + COUNT_BATCH) });
    }
    const answers = await Promise.all(requests.map((request) => this.#ingest.run(request)));
    return answers.flatMap(countsOf);
  }

  async close(): Promise<void> {
    await Promise.all([this.#query.close(), this.#ingest.close()]);
  }

  /** @param positions in `texts`, and so in `vectors` */
  async #embedSome(
    texts: readonly string[],
    positions: readonly number[],
    vectors: Float32Array[],
  ): Promise<void> {
    const prefixed = positions.map((position) => this.#spec.passagePrefix + (texts[position] ?? ''));
    const values = vectorsOf(
      await this.#ingest.run({ kind: 'embed', texts: prefixed, batch: this.#batchSize }),
    );
    for (const [row, position] of positions.entries()) {
      vectors[position] = values.slice(row * this.dimension, (row + 1) * this.dimension);
    }
  }
}

/** Positions of texts of like length together, since a batch is padded to its longest. */
function batchesByLength(texts: readonly string[], size: number): number[][] {
  const lengths = texts.map((text) => text.length);
  const order = [...lengths.keys()].sort((a, b) => (lengths[a] ?? 0) - (lengths[b] ?? 0));
  return Array.from({ length: Math.ceil(order.length / size) }, (_, i) =>
    order.slice(i * size, (i + 1) * size),
  );
}

async function locate(manifest: ModelManifest, options: EmbedderOptions): Promise<ModelSpec> {
  const { hub: source, folder: _, ...rest } = manifest;
  if (source === undefined) return { ...rest, folder: localFolder(manifest, options.manifestPath) };
  const { cacheFolder, hubUrl: baseUrl = HUB } = options;
  if (cacheFolder === undefined) {
    throw new BulkheadError(
      'config_invalid',
      `${manifest.name} is downloaded: a cache folder must be configured.`,
    );
  }
  return { ...rest, folder: await downloadModel({ source, files: manifest.files, cacheFolder, baseUrl }) };
}

/** The environment stays behind: a model needs none of it, and it holds secrets. */
function startWorker(workerData: WorkerInput): Worker {
  return new Worker(new URL('./worker-entry.mjs', import.meta.url), { workerData, env: {}, execArgv: [] });
}

/** If one pool does not open, the other must not stay. */
async function openBoth(
  ...opening: readonly [Promise<WorkerPool>, Promise<WorkerPool>]
): Promise<[WorkerPool, WorkerPool]> {
  const settled = await Promise.allSettled(opening);
  if (settled[0].status === 'fulfilled' && settled[1].status === 'fulfilled') {
    return [settled[0].value, settled[1].value];
  }
  await Promise.all(settled.map((pool) => (pool.status === 'fulfilled' ? pool.value.close() : undefined)));
  return Promise.all(opening);
}

/** Half a second, doubled with every failure in a row, half a minute at most. */
function restartDelay(failures: number): number {
  return Math.min(500 * 2 ** (failures - 1), 30_000);
}

function vectorsOf(answer: WorkerAnswer): Float32Array {
  if (answer.kind === 'vectors') return answer.values;
  throw new BulkheadError('internal', 'The embedding worker answered another question.');
}

function countsOf(answer: WorkerAnswer): readonly number[] {
  if (answer.kind === 'counts') return answer.counts;
  throw new BulkheadError('internal', 'The embedding worker answered another question.');
}

function isBlank(text: string): boolean {
  return text.trim() === '';
}
