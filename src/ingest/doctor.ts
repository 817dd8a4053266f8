/** Compares the index with Postgres, which is right, and repairs the index. */
import type { IndexedPoint, VectorIndex } from '../index/vector-index.ts';
import { type ChunkId, chunkId, type DocumentId, type TenantId } from '../policy/ids.ts';
import type { Database } from '../store/database.ts';
import { type LiveChunk, LiveChunks } from '../store/live-chunks.ts';
import { Outbox } from '../store/outbox.ts';

export interface Difference {
  /**
   * `missing` from the index; `stale-version`: not the live version of its document; `wrong-class`; `orphan`: of no
   * chunk that there is.
   */
  readonly kind: 'missing' | 'stale-version' | 'wrong-class' | 'orphan';
  readonly chunk: ChunkId;
  readonly document: DocumentId;
}

/** With the version of the point, if there is one. */
type Found = Difference & { readonly version?: number };

export interface DoctorOptions {
  readonly database: Database;
  readonly tenant: TenantId;
  readonly index: Pick<VectorIndex, 'listPoints' | 'upsert' | 'removeDocument'>;
  /** Of the model whose collection `index` is. */
  readonly fingerprint: string;
  readonly repair: boolean;
}

const PAGE = 1024;
const POINTS_PER_STEP = 32;

/**
 * Reads both in the order of chunk ids, a page at a time, and yields every difference; with `repair`, each document
 * concerned is mended before its differences are yielded. Documents that the outbox still names are left to it.
 */
export async function* doctor(options: DoctorOptions): AsyncGenerator<Difference> {
  const { database, tenant, index } = options;
  const chunks = LiveChunks.of(database, tenant);
  const expected = pages(
    (after) => chunks.list(after, PAGE),
    (chunk: LiveChunk) => chunk.chunkId,
  );
  const actual = pages(
    (after) => index.listPoints(tenant, chunkId(after), PAGE),
    (point: IndexedPoint) => point.chunkId,
  );
  let batch: Found[] = [];
  for await (const difference of merge(expected, actual)) {
    batch.push(difference);
    if (batch.length < PAGE) continue;
    yield* await settle(options, batch);
    batch = [];
  }
  yield* await settle(options, batch);
}

async function* pages<T>(
  read: (after: number) => Promise<readonly T[]>,
  idOf: (item: T) => number,
): AsyncGenerator<T> {
  for (let after = 0; ; ) {
    const page = await read(after);
    yield* page;
    const last = page.at(-1);
    if (last === undefined) return;
    after = idOf(last);
  }
}

async function* merge(
  expected: AsyncIterator<LiveChunk>,
  actual: AsyncIterator<IndexedPoint>,
): AsyncGenerator<Found> {
  let [chunk, point] = await Promise.all([expected.next(), actual.next()]);
  while (!chunk.done || !point.done) {
    const [wanted, found] = [chunk.value as LiveChunk | undefined, point.value as IndexedPoint | undefined];
    const wantedId = wanted?.chunkId ?? Number.POSITIVE_INFINITY;
    const foundId = found?.chunkId ?? Number.POSITIVE_INFINITY;
    const difference = compare(
      wantedId <= foundId ? wanted : undefined,
      foundId <= wantedId ? found : undefined,
    );
    if (difference !== undefined) yield difference;
    if (wantedId <= foundId) chunk = await expected.next();
    if (foundId <= wantedId) point = await actual.next();
  }
}

function compare(wanted: LiveChunk | undefined, found: IndexedPoint | undefined): Found | undefined {
  if (wanted === undefined)
    return (
      found && { kind: 'orphan', chunk: found.chunkId, document: found.documentId, version: found.version }
    );
  const of = { chunk: wanted.chunkId, document: wanted.documentId };
  if (found === undefined) return { kind: 'missing', ...of };
  if (found.version !== wanted.version || found.documentId !== wanted.documentId)
    return { kind: 'stale-version', ...of };
  return found.classId === wanted.classId ? undefined : { kind: 'wrong-class', ...of };
}

async function settle(options: DoctorOptions, found: readonly Found[]): Promise<readonly Difference[]> {
  if (found.length === 0) return found;
  const documents = [...new Set(found.map(({ document }) => document))];
  const lagging = await new Outbox(options.database).pending(documents);
  const differences = found.filter(({ document }) => !lagging.has(document));
  const classified = await Promise.all(differences.map((difference) => withVersion(options, difference)));
  if (options.repair)
    for (const document of new Set(classified.map((difference) => difference.document)))
      await mend(
        options,
        document,
        classified.some((one) => one.document === document && one.kind === 'orphan'),
      );
  return classified;
}

/** A point that no live chunk answers is of another version, if its document is there and its version another. */
async function withVersion(
  { database, tenant }: DoctorOptions,
  { version, ...difference }: Found,
): Promise<Difference> {
  if (difference.kind !== 'orphan') return difference;
  const live = await LiveChunks.of(database, tenant).liveVersion(difference.document);
  return live === undefined || live === version ? difference : { ...difference, kind: 'stale-version' };
}

/** A document is gone from the index in between only where it has a point that cannot be removed by its version. */
async function mend(options: DoctorOptions, document: DocumentId, hasOrphans: boolean): Promise<void> {
  const { database, tenant, index, fingerprint } = options;
  const version = await LiveChunks.of(database, tenant).liveVersion(document);
  if (version === undefined || version === 0) return index.removeDocument(tenant, document);
  if (hasOrphans) await index.removeDocument(tenant, document);
  const outbox = new Outbox(database);
  for (let after = 0; ; ) {
    const points = await outbox.points([{ document, version }], fingerprint, after, POINTS_PER_STEP);
    const last = points.at(-1);
    if (last === undefined) break;
    await index.upsert(points);
    after = last.chunkId;
  }
  await index.removeDocument(tenant, document, version);
}
