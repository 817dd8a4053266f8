/**
 * Inverse document frequencies of what a caller may see (docs/decisions). Qdrant counts them for whole collections
 * only, where hidden points would move the scores of visible ones; so they are counted here, from the caller's
 * own visible part: all of it while it is small, an even sample of it above.
 */
import { createHash } from 'node:crypto';
import type { Schemas } from '@qdrant/js-client-rest';
import { LRUCache } from 'lru-cache';
import type { TenantId } from '../policy/ids.ts';
import { garbledAnswer, type QdrantCalls } from './qdrant-calls.ts';
import { tenantFilter, visibleFilter } from './qdrant-filters.ts';
import { TERMS } from './qdrant-names.ts';
import { unsigned, WEIGHT_STEP } from './qdrant-points.ts';
import { BM25 } from './terms.ts';
import type { VisibleClasses } from './vector-index.ts';

/** A visible part of no more chunks is counted exactly. */
const MOST_CHUNKS = 1_024;
/** Reading and parsing a chunk's terms costs about 0.02 ms of processor time, on both sides together. */
const SAMPLED_CHUNKS = 512;
const SAMPLED_CLASSES = 256;
/** A sample of the sampled classes with fewer chunks than this is replaced by one of all visible classes. */
const FEWEST_CHUNKS = 128;

/** Older counts are renewed beside the search that still uses them; much older ones are not used. */
const FRESH_MS = 30_000;
const USABLE_MS = 300_000;
const CACHE_BYTES = 64 * 2 ** 20;

/** How many of the chunks read have each term. */
interface TermCounts {
  /** Of the whole visible part. */
  readonly chunks: number;
  readonly read: number;
  /** Unsigned term ids, ascending, and in how many chunks each was. */
  readonly terms: Uint32Array;
  readonly counts: Uint16Array;
  /** Of the cache's clock, and of this process's writes, before the first chunk was read. */
  readonly at: number;
  readonly writes: number;
}

interface Visible {
  readonly tenant: TenantId;
  readonly visible: VisibleClasses;
}

export class TermWeights {
  readonly #calls: Pick<QdrantCalls, 'read'>;
  /** The collection or alias that is searched. */
  readonly #collection: string;
  readonly #cache: LRUCache<string, TermCounts, Visible>;
  readonly #hashes = new WeakMap<VisibleClasses, string>();
  #writes = 0;

  constructor(calls: Pick<QdrantCalls, 'read'>, collection: string) {
    this.#calls = calls;
    this.#collection = collection;
    this.#cache = new LRUCache<string, TermCounts, Visible>({
      maxSize: CACHE_BYTES,
      sizeCalculation: ({ terms, counts }) => terms.byteLength + counts.byteLength + 256,
      ttl: FRESH_MS,
      fetchMethod: (_key, _stale, { context }) => this.#count(context),
    });
  }

  /** Chunks written by this process are counted by the searches that follow. */
  noteWrite(): void {
    this.#writes += 1;
  }

  /**
   * How many chunks are visible, and the factor of each term, by the formula of BM25.
   * @throws BulkheadError as a search does
   */
  async of(
    tenant: TenantId,
    visible: VisibleClasses,
    terms: readonly number[],
  ): Promise<{ readonly chunks: number; readonly factors: readonly number[] }> {
    const counts = await this.#counts({ tenant, visible });
    return { chunks: counts.chunks, factors: termFactors(terms.map((term) => idf(counts, unsigned(term)))) };
  }

  async #counts(context: Visible): Promise<TermCounts> {
    const key = `${context.tenant}:${this.#hashOf(context.visible)}`;
    const writes = this.#writes;
    const isPast = (counts: TermCounts) =>
      (isExact(counts) && counts.writes < writes) || performance.now() - counts.at > USABLE_MS;
    let found = await this.#cache.forceFetch(key, { context, allowStale: true });
    while (isPast(found)) found = await this.#cache.forceFetch(key, { context, forceRefresh: true });
    return found;
  }

  async #count({ tenant, visible }: Visible): Promise<TermCounts> {
    const before = { at: performance.now(), writes: this.#writes };
    const filter = visibleFilter(tenant, visible);
    const answer = await this.#calls.read('POST', `/collections/${this.#collection}/points/count`, {
      filter,
      exact: true,
    });
    const chunks = (answer as Partial<Schemas['CountResult']> | null)?.count;
    if (chunks === undefined || !Number.isSafeInteger(chunks)) throw garbledAnswer();
    const isSmall = chunks <= MOST_CHUNKS;
    const read = isSmall ? await this.#read(filter, MOST_CHUNKS) : await this.#sample(tenant, visible);
    return { chunks: isSmall ? read.length : chunks, read: read.length, ...tally(read), ...before };
  }

  async #sample(tenant: TenantId, visible: VisibleClasses): Promise<readonly Terms[]> {
    if (visible.size > SAMPLED_CLASSES) {
      const ofClasses = { key: 'class', match: { any: evenly(visible, SAMPLED_CLASSES) } };
      const some = await this.#read({ must: [...tenantFilter(tenant).must, ofClasses] }, SAMPLED_CHUNKS);
      if (some.length >= FEWEST_CHUNKS) return some;
    }
    return this.#read(visibleFilter(tenant, visible), SAMPLED_CHUNKS);
  }

  /** Those with the lowest ids. */
  async #read(filter: Schemas['Filter'], limit: number): Promise<readonly Terms[]> {
    const answer = await this.#calls.read('POST', `/collections/${this.#collection}/points/scroll`, {
      filter,
      limit,
      with_payload: false,
      with_vector: [TERMS],
    });
    const points = (answer as Partial<Schemas['ScrollResult']> | null)?.points;
    if (!Array.isArray(points)) throw garbledAnswer();
    return points.map(({ vector }) => {
      const terms = (vector as Readonly<Record<string, Schemas['SparseVector']>> | null | undefined)?.[TERMS];
      return terms?.indices ?? [];
    });
  }

  #hashOf(visible: VisibleClasses): string {
    const known = this.#hashes.get(visible);
    if (known !== undefined) return known;
    const numbers = Int32Array.from(visible.ranges.flatMap(({ from, to }) => [from, to]));
    const hash = createHash('sha256').update(numbers).digest('base64');
    this.#hashes.set(visible, hash);
    return hash;
  }
}

type Terms = readonly number[];

function isExact({ chunks, read }: TermCounts): boolean {
  return chunks === read;
}

function tally(chunks: readonly Terms[]): Pick<TermCounts, 'terms' | 'counts'> {
  const all = new Map<number, number>();
  for (const terms of chunks) for (const term of terms) all.set(term, (all.get(term) ?? 0) + 1);
  const terms = Uint32Array.from(all.keys()).sort();
  return { terms, counts: Uint16Array.from(terms, (term) => all.get(term) ?? 0) };
}

/**
 * ln(1 + (N − df + ½) / (df + ½)), as the index in PostgreSQL has it. Of a sample, df is scaled to N; a term that
 * is not in it counts as in half a chunk of it.
 */
function idf({ chunks, read, terms, counts }: TermCounts, term: number): number {
  const found = counts[positionOf(terms, term)] ?? 0;
  const scale = read === 0 ? 0 : chunks / read;
  const df = chunks === read ? found : (found === 0 ? 0.5 : found) * scale;
  return Math.log(1 + (chunks - df + 0.5) / (df + 0.5));
}

/** -1 if it is not there. */
function positionOf(sorted: Uint32Array, value: number): number {
  let low = 0;
  let high = sorted.length - 1;
  while (low <= high) {
    const middle = (low + high) >> 1;
    const there = sorted[middle] ?? 0;
    if (there === value) return middle;
    if (there < value) low = middle + 1;
    else high = middle - 1;
  }
  return -1;
}

/** The whole numbers that single precision can tell apart. */
const EXACT = 2 ** 24;
const FINEST_STEP = 2 ** -9;

/**
 * Rounded so that no sum over a chunk's terms can be inexact in single precision (see `WEIGHT_STEP`): to steps of
 * 1/512, and coarser powers of two for questions so long that a score could pass what such steps can express.
 */
function termFactors(idfs: readonly number[]): readonly number[] {
  const sum = idfs.reduce((total, value) => total + value, 0);
  let step = FINEST_STEP;
  while ((BM25.k1 + 1) * (sum + idfs.length * step) > EXACT * step * WEIGHT_STEP) step *= 2;
  return idfs.map((value) => Math.max(1, Math.round(value / step)) * step);
}

/** Ids at even distances over the visible ones. */
function evenly({ ranges, size }: VisibleClasses, count: number): number[] {
  const picked: number[] = [];
  let before = 0;
  for (const { from, to } of ranges) {
    const length = to - from + 1;
    for (;;) {
      const next = Math.floor((picked.length * size) / count);
      if (picked.length === count || next >= before + length) break;
      picked.push(from + next - before);
    }
    before += length;
  }
  return picked;
}
