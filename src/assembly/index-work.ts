/** Work on the index as a whole, whoever asked for it: an administrator for the tenant, or the operator for all. */
import type { Embedder } from '../embed/embedder.ts';
import { type Difference, doctor } from '../ingest/doctor.ts';
import { reembed } from '../ingest/reembed.ts';
import type { TenantId } from '../policy/ids.ts';
import type { Parts } from './core.ts';
import { need } from './need.ts';
import { spaceOf } from './open-model.ts';

/** In passages. */
export type ReembedProgress = (done: number, total: number) => void;

type Differences = Readonly<Record<Difference['kind'], number>>;

/** How many passages differ, by kind, and how many of them still do after the repair. */
export interface Comparison {
  readonly differences: Differences;
  readonly remaining: Differences;
}

/** Compares, and repairs and looks again when told to. */
export async function compareIndex(
  parts: Parts,
  tenants: readonly TenantId[],
  repair: boolean,
): Promise<Comparison> {
  const differences = await countDifferences(parts, tenants, repair);
  const isSame = Object.values(differences).every((passages) => passages === 0);
  const remaining = repair && !isSame ? await countDifferences(parts, tenants, false) : differences;
  return { differences, remaining };
}

async function countDifferences(
  parts: Parts,
  tenants: readonly TenantId[],
  repair: boolean,
): Promise<Differences> {
  const { database } = parts;
  const { fingerprint } = await spaceOf(parts);
  const counts: Record<Difference['kind'], number> = {
    missing: 0,
    'stale-version': 0,
    'wrong-class': 0,
    orphan: 0,
  };
  for (const tenant of tenants) {
    const index = need(parts.index, 'index');
    for await (const { kind } of doctor({ database, tenant, index, fingerprint, repair })) counts[kind] += 1;
  }
  return counts;
}

/** @returns how many passages were embedded */
export async function embedAgain(
  parts: Parts,
  embedder: Embedder,
  tenants: readonly TenantId[],
  onProgress: ReembedProgress | undefined,
): Promise<number> {
  const { database, redaction } = parts;
  // of all tenants: the counter of the next one starts over
  let before = 0;
  let last = 0;
  await reembed({
    database,
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
  return before + last;
}
