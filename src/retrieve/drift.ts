import type { IndexedPoint, VectorIndex } from '../index/vector-index.ts';
import type { ChunkId } from '../policy/ids.ts';
import type { Database } from '../store/database.ts';
import { type Probe, probeDocuments } from '../store/drift-probe.ts';
import type { Judgement } from './judge.ts';
import type { Authorized, Searched } from './stages.ts';

/** A passage that one enforcer let through and a later one refused, though nothing had changed. */
export interface Drift {
  readonly enforcer: 'row-level-security' | 'decide';
  readonly tenant: number;
  readonly document: string;
  readonly version: number;
  readonly class: number;
}

export interface DriftWatch {
  /**
   * Looks at the drops of one query after the fact; never delays or changes the answer.
   * @param askAgain the same search once more
   */
  watch(authorized: Authorized, judgement: Judgement, askAgain: () => Promise<Searched>): void;
  /** Resolves when every drop so far has been looked at. */
  settled(): Promise<void>;
}

export interface DriftAlarms {
  /** Enforcers disagree: somebody must look at this now. */
  drift(drift: Drift): Promise<void>;
  /** The index was behind the database: expected, counted. */
  lag(passages: number): void;
  /** The look itself failed; the drops stay unexplained. */
  failed(error: unknown): void;
}

/** A change this little before the question may have been committed after it. */
const COMMIT_MS = 5_000;

interface DriftSources {
  readonly database: Database;
  readonly index: Pick<VectorIndex, 'locate'>;
}

/**
 * A drop is drift when the index has the chunk's document in its present class and version, neither the epoch nor
 * the document changed since the question came or shortly before, and the same search finds the chunk again. All
 * else is lag: an index that was behind when it was searched may have caught up since, but then it finds the chunk
 * no more.
 */
export function createDriftWatch(sources: DriftSources, alarms: DriftAlarms): DriftWatch {
  let pending: Promise<void> = Promise.resolve();
  return {
    watch(authorized, judgement, askAgain) {
      if (judgement.missing.length + judgement.refused.length === 0) return;
      pending = pending
        .then(() => examine(sources, alarms, authorized, judgement, askAgain))
        .catch((error: unknown) => alarms.failed(error));
    },
    settled: () => pending,
  };
}

async function examine(
  sources: DriftSources,
  alarms: DriftAlarms,
  authorized: Authorized,
  { missing, refused }: Judgement,
  askAgain: () => Promise<Searched>,
): Promise<void> {
  const dropped = [...missing, ...refused];
  const settled = await settledPoints(sources, authorized, dropped);
  const drifted = settled.length === 0 ? settled : await foundBy(askAgain, settled);
  alarms.lag(dropped.length - drifted.length);
  const byDecide = new Set(refused);
  const { tenant } = authorized.authority.subject;
  await Promise.all(
    drifted.map(({ chunkId, documentId, version, classId }) =>
      alarms.drift({
        enforcer: byDecide.has(chunkId) ? 'decide' : 'row-level-security',
        tenant,
        document: documentId,
        version,
        class: classId,
      }),
    ),
  );
}

/** The points of these chunks that are as the database has had them since before the question. */
async function settledPoints(
  { database, index }: DriftSources,
  { authority }: Authorized,
  chunks: readonly ChunkId[],
): Promise<readonly IndexedPoint[]> {
  const points = await index.locate(authority.subject.tenant, chunks);
  const documents = new Set(points.map(({ documentId }) => documentId));
  const { epoch, ...probe } = await probeDocuments(database, authority.context, [...documents]);
  const isSamePolicy =
    epoch.counter === authority.epoch.counter && epoch.incarnation === authority.epoch.incarnation;
  if (!isSamePolicy) return [];
  return points.filter((point) => agrees(point, probe, authority.now - COMMIT_MS));
}

function agrees(
  point: IndexedPoint,
  { documents }: Pick<Probe, 'documents'>,
  changedBefore: number,
): boolean {
  const now = documents.get(point.documentId);
  if (now === undefined || now.changedAt > changedBefore) return false;
  return now.class === point.classId && now.version === point.version;
}

async function foundBy(
  askAgain: () => Promise<Searched>,
  points: readonly IndexedPoint[],
): Promise<readonly IndexedPoint[]> {
  const { candidates } = await askAgain();
  const found = new Set(candidates.map(({ hit }) => hit.chunkId));
  return points.filter(({ chunkId }) => found.has(chunkId));
}
