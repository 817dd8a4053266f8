/** The index anew from Postgres: a second generation is filled beside the live one, then takes its place. */
import { BulkheadError } from '../errors.ts';
import type { EmbeddingSpace, VectorCollections, VectorIndex } from '../index/vector-index.ts';
import type { TenantId } from '../policy/ids.ts';
import type { Database } from '../store/database.ts';
import { alone } from '../store/index-work.ts';
import { LiveChunks } from '../store/live-chunks.ts';
import { doctor } from './doctor.ts';

export interface RebuildOptions {
  readonly database: Database;
  readonly collections: Pick<VectorCollections, 'open' | 'rebuild'>;
  /** Of the model whose collection is rebuilt. */
  readonly space: EmbeddingSpace;
  /** All that there are: what the new generation lacks is not found. */
  readonly tenants: readonly TenantId[];
  /** In passages, of all tenants together. */
  readonly onProgress: (done: number, total: number) => void;
}

const POINTS_PER_STEP = 256;
/** With what others write meanwhile going to both generations, the second round finds nothing. */
const MOST_ROUNDS = 5;

/**
 * Searches go on in the old generation until the new one has all. Broken off anywhere, it leaves the old one live, and
 * the next call starts over.
 * @returns how many passages the new generation was given of each tenant
 * @throws BulkheadError `conflict` where passages are not embedded with this model, and while another process rebuilds
 *   the index or embeds it again; `index_unavailable`, `model_changed`
 */
export function rebuild(options: RebuildOptions): Promise<ReadonlyMap<TenantId, number>> {
  return alone(options.database, 'rebuild', (requireHeld) => rebuildAlone(options, requireHeld));
}

async function rebuildAlone(
  options: RebuildOptions,
  requireHeld: () => Promise<void>,
): Promise<ReadonlyMap<TenantId, number>> {
  const { database, collections, space, tenants } = options;
  if (await LiveChunks.othersWithout(database, space.fingerprint, []))
    throw new BulkheadError(
      'conflict',
      'Some passages are not embedded with this model yet. Run: bulkhead reembed',
    );
  const generation = await collections.rebuild(space);
  let copied: ReadonlyMap<TenantId, number>;
  try {
    copied = await copyAll(options, generation.index);
    for (const tenant of tenants) await catchUp(options, generation.index, tenant);
    await requireHeld();
    await generation.swap();
  } catch (error) {
    // the first reason counts; the next rebuild removes what this one could not
    await generation.abandon().catch(() => {});
    throw error;
  }
  const index = await collections.open(space);
  for (const tenant of tenants) await catchUp(options, index, tenant);
  return copied;
}

async function copyAll(
  { database, space, tenants, onProgress }: RebuildOptions,
  index: VectorIndex,
): Promise<ReadonlyMap<TenantId, number>> {
  let total = 0;
  for (const tenant of tenants) total += await LiveChunks.of(database, tenant).count();
  let done = 0;
  const copied = new Map<TenantId, number>();
  for (const tenant of tenants) {
    const before = done;
    for (let after = 0; ; ) {
      const points = await LiveChunks.of(database, tenant).points(space.fingerprint, after, POINTS_PER_STEP);
      const last = points.at(-1);
      if (last === undefined) break;
      await index.upsert(points);
      done += points.length;
      after = last.chunkId;
      onProgress(done, Math.max(done, total));
    }
    copied.set(tenant, done - before);
  }
  return copied;
}

/** What was written, moved or removed while it was copied. */
async function catchUp(
  { database, space }: RebuildOptions,
  index: VectorIndex,
  tenant: TenantId,
): Promise<void> {
  const { fingerprint } = space;
  for (let round = 1; round <= MOST_ROUNDS; round += 1) {
    let found = 0;
    for await (const _ of doctor({ database, tenant, index, fingerprint, repair: true })) found += 1;
    if (found === 0) return;
  }
  throw new BulkheadError('index_unavailable', 'The index did not keep what it was given.');
}
