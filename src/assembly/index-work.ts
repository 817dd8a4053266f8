/** Work on the index as a whole, whoever asked for it: an administrator for the tenant, or the operator for all. */
import type { Embedder } from '../embed/embedder.ts';
import { BulkheadError } from '../errors.ts';
import { type Difference, doctor } from '../ingest/doctor.ts';
import { reembed } from '../ingest/reembed.ts';
import type { TenantId } from '../policy/ids.ts';
import type { Database } from '../store/database.ts';
import { allTenants } from '../store/tenant-ids.ts';
import type { Parts } from './core.ts';
import { need } from './need.ts';
import { spaceOf } from './open-model.ts';

/** In passages. */
export type ReembedProgress = (done: number, total: number) => void;

type Differences = Readonly<Record<Difference['kind'], number>>;

const NONE: Differences = { missing: 0, 'stale-version': 0, 'wrong-class': 0, orphan: 0 };

/** How many passages differ, by kind, and how many of them still do after the repair. */
export interface Comparison {
  readonly differences: Differences;
  readonly remaining: Differences;
}

/**
 * All tenants, for an administrator of this one: what is done to the index is done to every tenant's, and how long
 * it takes and how far it has come would tell how much the others have.
 * @throws BulkheadError `conflict` where there are others
 */
export async function requireOnly(database: Database, tenant: TenantId): Promise<readonly TenantId[]> {
  const tenants = (await allTenants(database)).map(({ id }) => id);
  if (tenants.every((id) => id === tenant)) return tenants;
  throw new BulkheadError(
    'conflict',
    'The index is shared by several tenants: its operator does this, with the role indexer and its credentials.',
  );
}

/** Of several tenants together. */
export function sumOf(comparisons: readonly Comparison[]): Comparison {
  const add = (a: Differences, b: Differences): Differences => ({
    missing: a.missing + b.missing,
    'stale-version': a['stale-version'] + b['stale-version'],
    'wrong-class': a['wrong-class'] + b['wrong-class'],
    orphan: a.orphan + b.orphan,
  });
  return {
    differences: comparisons.map(({ differences }) => differences).reduce(add, NONE),
    remaining: comparisons.map(({ remaining }) => remaining).reduce(add, NONE),
  };
}

/** Compares, and repairs and looks again when told to. */
export async function compareIndex(parts: Parts, tenant: TenantId, repair: boolean): Promise<Comparison> {
  const differences = await countDifferences(parts, tenant, repair);
  const isSame = Object.values(differences).every((passages) => passages === 0);
  const remaining = repair && !isSame ? await countDifferences(parts, tenant, false) : differences;
  return { differences, remaining };
}

async function countDifferences(parts: Parts, tenant: TenantId, repair: boolean): Promise<Differences> {
  const { database } = parts;
  const { fingerprint } = await spaceOf(parts);
  const counts: Record<Difference['kind'], number> = { ...NONE };
  const index = need(parts.index, 'index');
  for await (const { kind } of doctor({ database, tenant, index, fingerprint, repair })) counts[kind] += 1;
  return counts;
}

/** @returns how many passages were embedded of each tenant */
export async function embedAgain(
  parts: Parts,
  embedder: Embedder,
  tenants: readonly TenantId[],
  onProgress: ReembedProgress | undefined,
): Promise<ReadonlyMap<TenantId, number>> {
  const { database, scheme, redaction } = parts;
  // of all tenants: the counter of the next one starts over
  let before = 0;
  let last = 0;
  return reembed({
    database,
    scheme,
    collections: need(parts.collections, 'index to write'),
    embedder,
    redaction,
    sealer: parts.encryption?.as.indexer,
    tenants: tenants.map((tenant) => ({ tenant })),
    onProgress: ({ done, left }) => {
      if (done < last) before += last;
      last = done;
      onProgress?.(before + done, before + done + left);
    },
  });
}
