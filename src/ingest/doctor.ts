/** Compares the index with Postgres, which is right, and repairs the index. */
import type { IndexedPoint, VectorIndex } from '../index/vector-index.ts';
import { type ChunkId, chunkId, type DocumentId, type TenantId } from '../policy/ids.ts';
import type { Database } from '../store/database.ts';
import { type LiveChunk, LiveChunks } from '../store/live-chunks.ts';
import { Outbox } from '../store/outbox.ts';
import { Indexer } from './indexer.ts';

export interface Difference {
  /**
   * `missing` from the index; `stale-version`: not the live version of its document; `wrong-class`; `orphan`: of no
   * chunk that there is.
   */
  readonly kind: 'missing' | 'stale-version' | 'wrong-class' | 'orphan';
  readonly chunk: ChunkId;
  readonly document: DocumentId;
}

export interface DoctorOptions {
  readonly database: Database;
  readonly tenant: TenantId;
  readonly index: Pick<
    VectorIndex,
    'listPoints' | 'upsert' | 'moveDocument' | 'removeDocument' | 'removePoints'
  >;
  /** Of the model whose collection `index` is. */
  readonly fingerprint: string;
  readonly repair: boolean;
  /** Told after each page how many chunks have been compared. */
  readonly onProgress?: (compared: number) => void;
}

const PAGE = 4096;

/** The part of both sides with chunk ids above `after` and up to `upTo`. */
interface Stretch {
  readonly after: number;
  readonly upTo: number;
  readonly chunks: readonly LiveChunk[];
  readonly points: readonly IndexedPoint[];
}

/** What there should be is part of it: the same difference is seen twice only where that has not changed. */
interface Seen extends Difference {
  readonly wanted: LiveChunk | undefined;
  readonly found: IndexedPoint | undefined;
}

/**
 * Reads both in the order of chunk ids, a page at a time, and yields every difference; with `repair`, the documents
 * of a page are mended before its differences are yielded. Others may write meanwhile: documents that the outbox
 * names are left to it, and a difference counts when a second look finds it with nothing changed in between.
 */
export async function* doctor(options: DoctorOptions): AsyncGenerator<Difference> {
  let compared = 0;
  for (let after = 0; after < Number.POSITIVE_INFINITY; ) {
    const stretch = await readPage(options, after);
    const differences = await confirmed(options, stretch, await unexplained(options, stretch));
    if (options.repair) await mend(options, differences);
    for (const { kind, chunk, document } of differences) yield { kind, chunk, document };
    compared += Math.max(stretch.chunks.length, stretch.points.length);
    options.onProgress?.(compared);
    after = stretch.upTo;
  }
  yield* await neverPublished(options);
}

async function readPage({ database, tenant, index }: DoctorOptions, after: number): Promise<Stretch> {
  const [points, chunks] = await Promise.all([
    index.listPoints(tenant, chunkId(after), PAGE),
    LiveChunks.of(database, tenant).list(after, PAGE),
  ]);
  const end = (page: readonly { readonly chunkId: ChunkId }[]) =>
    page.length < PAGE ? Number.POSITIVE_INFINITY : (page.at(-1)?.chunkId ?? Number.POSITIVE_INFINITY);
  const upTo = Math.min(end(points), end(chunks));
  const within = ({ chunkId: id }: { readonly chunkId: ChunkId }) => id <= upTo;
  return { after, upTo, chunks: chunks.filter(within), points: points.filter(within) };
}

/** The differences of documents for which the outbox has nothing to do. */
async function unexplained(options: DoctorOptions, stretch: Stretch): Promise<readonly Seen[]> {
  const seen = compare(stretch);
  if (seen.length === 0) return seen;
  const documents = [...new Set(seen.map(({ document }) => document))];
  const lagging = await new Outbox(options.database).pending(documents);
  return seen.filter(({ document }) => !lagging.has(document));
}

/**
 * The second look is at the index first: what Postgres says before and after, and the outbox with it, then holds for
 * the moment in which the index was read.
 */
async function confirmed(
  options: DoctorOptions,
  { after, upTo }: Stretch,
  seen: readonly Seen[],
): Promise<readonly Difference[]> {
  if (seen.length === 0) return seen;
  const { database, tenant, index } = options;
  const live = LiveChunks.of(database, tenant);
  const points = await all((from) => index.listPoints(tenant, chunkId(from), PAGE), after, upTo);
  const chunks = await all((from) => live.list(from, PAGE), after, upTo);
  const again = new Set((await unexplained(options, { after, upTo, chunks, points })).map(keyOf));
  const twice = seen.filter((one) => again.has(keyOf(one)));
  const versions = await live.liveVersions(twice.map(({ document }) => document));
  return twice.map((one) => ({ ...one, kind: kindOf(one, versions.get(one.document)) }));
}

async function all<T extends { readonly chunkId: ChunkId }>(
  read: (from: number) => Promise<readonly T[]>,
  after: number,
  upTo: number,
): Promise<readonly T[]> {
  const items: T[] = [];
  for (let from = after; from < upTo; ) {
    const page = await read(from);
    items.push(...page.filter(({ chunkId: id }) => id <= upTo));
    from = page.length < PAGE ? upTo : (page.at(-1)?.chunkId ?? upTo);
  }
  return items;
}

function compare({ chunks, points }: Stretch): readonly Seen[] {
  const found = new Map(points.map((point) => [point.chunkId, point]));
  const seen: Seen[] = [];
  for (const wanted of chunks) {
    const point = found.get(wanted.chunkId);
    found.delete(wanted.chunkId);
    const kind = differenceOf(wanted, point);
    if (kind !== undefined)
      seen.push({ kind, chunk: wanted.chunkId, document: wanted.documentId, wanted, found: point });
  }
  for (const point of found.values())
    seen.push({
      kind: 'orphan',
      chunk: point.chunkId,
      document: point.documentId,
      wanted: undefined,
      found: point,
    });
  return seen.sort((a, b) => a.chunk - b.chunk);
}

function differenceOf(wanted: LiveChunk, found: IndexedPoint | undefined): Difference['kind'] | undefined {
  if (found === undefined) return 'missing';
  if (found.version !== wanted.version || found.documentId !== wanted.documentId) return 'stale-version';
  return found.classId === wanted.classId ? undefined : 'wrong-class';
}

/** A point that no live chunk answers is of another version, if its document is there and its version another. */
function kindOf({ kind, found }: Seen, live: number | undefined): Difference['kind'] {
  return kind === 'orphan' && live !== undefined && live !== found?.version ? 'stale-version' : kind;
}

function keyOf({ kind, chunk, wanted }: Seen): string {
  return [kind, chunk, wanted?.documentId, wanted?.version, wanted?.classId].join(' ');
}

/** Points without a chunk go, which no chunk will ever have again; the others are written by who holds the document. */
async function mend(options: DoctorOptions, differences: readonly Difference[]): Promise<void> {
  const { database, tenant, index, fingerprint } = options;
  if (differences.length === 0) return;
  const gone = await LiveChunks.of(database, tenant).outdated(differences.map(({ chunk }) => chunk));
  if (gone.length > 0) await index.removePoints(tenant, gone);
  const outdated = new Set(gone);
  const rest = differences.filter(({ chunk }) => !outdated.has(chunk));
  const indexer = new Indexer({ database, index, fingerprint, onFailure: () => {} });
  await indexer.mend(tenant, [...new Set(rest.map(({ document }) => document))]);
}

/** Versions that were accepted, and that nobody is going to publish: the outbox has lost them. */
async function neverPublished({ database, tenant, repair }: DoctorOptions): Promise<readonly Difference[]> {
  const chunks = await LiveChunks.of(database, tenant).unpublished();
  const documents = [...new Set(chunks.map(({ documentId }) => documentId))];
  if (repair && documents.length > 0) await new Outbox(database).add(tenant, documents, 'publish');
  return chunks.map(({ chunkId: chunk, documentId: document }) => ({ kind: 'missing', chunk, document }));
}
