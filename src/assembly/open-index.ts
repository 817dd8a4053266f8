import type { Config } from '../config/config.ts';
import { isSentInClear, type QdrantConnection } from '../config/connections.ts';
import type { Embedder } from '../embed/embedder.ts';
import { BulkheadError } from '../errors.ts';
import { PgvectorCollections } from '../index/pgvector-collections.ts';
import { PgvectorReader } from '../index/pgvector-reader.ts';
import type { PlanConstants } from '../index/planner.ts';
import type { QdrantCollections } from '../index/qdrant-collections.ts';
import type { VectorCollections, VectorIndex } from '../index/vector-index.ts';
import type { Database } from '../store/database.ts';
import type { Log } from '../telemetry/log.ts';
import { openCalibration } from './open-planning.ts';
import { does } from './roles.ts';

/** The index of one model, as far as the process may use it. */
export interface OpenIndex {
  readonly collections: Pick<VectorCollections, 'live'>;
  /** Only where the process writes it. */
  readonly writable: VectorCollections | undefined;
  readonly index: VectorIndex;
  close(): void;
}

type Space = Pick<Embedder, 'fingerprint' | 'dimension' | 'name'>;

export interface IndexOptions {
  /** Go on with an index of another model, to re-embed it. */
  readonly allowOtherModel?: boolean | undefined;
}

/**
 * The index that is configured: Qdrant, or else the one in the database.
 * @throws BulkheadError `model_changed` when what is live was built with another embedding model; what Qdrant's
 *   adapter refuses
 */
export async function openIndex(
  { config, database, log }: { readonly config: Config; readonly database: Database; readonly log: Log },
  space: Space,
  { allowOtherModel = false }: IndexOptions = {},
): Promise<OpenIndex> {
  const isReader = config.role === 'retrieve';
  if (config.qdrant !== undefined) {
    if (isSentInClear(config.qdrant.url))
      log.warn(
        'Qdrant is reached without TLS: keys and vectors can be read on the way; production refuses that',
      );
    const qdrant = await openQdrantFor(config, config.qdrant, () => planning(config, database, log, space));
    try {
      if (!allowOtherModel) await requireSameModel(qdrant, space);
      const index = await qdrant.open(space);
      return {
        collections: qdrant,
        writable: isReader ? undefined : qdrant,
        index,
        close: () => qdrant.close(),
      };
    } catch (error) {
      qdrant.close();
      throw error;
    }
  }
  const writable = isReader ? undefined : new PgvectorCollections(database);
  const collections = writable ?? new PgvectorReader(database);
  if (!allowOtherModel) await requireSameModel(collections, space);
  return { collections, writable, index: await collections.open(space), close: () => {} };
}

/** With the key of the role: a process that only searches has none that writes. */
async function openQdrantFor(
  { role }: Config,
  { url, ca, timeoutMs, quantization, readKey, writeKey }: QdrantConnection,
  plans: () => Promise<() => PlanConstants | undefined>,
): Promise<QdrantCollections> {
  const { openQdrant } = await import('../index/qdrant-collections.ts');
  const canWrite = does(role, 'indexer');
  const key = canWrite ? writeKey : readKey;
  return openQdrant({ url, key, ca, timeoutMs, quantization, canWrite, calibration: await plans() });
}

/** Searches are planned where callers search. */
async function planning(
  { role }: Config,
  database: Database,
  log: Log,
  { fingerprint }: Space,
): Promise<() => PlanConstants | undefined> {
  return does(role, 'retrieve') ? openCalibration(database, log, fingerprint) : () => undefined;
}

async function requireSameModel(collections: Pick<VectorCollections, 'live'>, space: Space): Promise<void> {
  const live = await collections.live();
  if (live === undefined || live === space.fingerprint) return;
  throw new BulkheadError(
    'model_changed',
    `The index was built with another embedding model (${live.slice(0, 12)}…) than the one configured, ${space.name} (${space.fingerprint.slice(0, 12)}…). Set BULKHEAD_MODEL back, or run: bulkhead reembed`,
  );
}
