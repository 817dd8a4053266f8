/**
 * Work on the index as a whole for the operator, who holds the indexer's own credentials: over every tenant, and without
 * asking for a right, since the indexer sees no policy. Recorded like an administrator's.
 */
import type { EventBodies } from '../audit/audit-event.ts';
import { BulkheadError } from '../errors.ts';
import type { Caller, Services } from '../http/services.ts';
import { rebuild } from '../ingest/rebuild.ts';
import type { TenantId } from '../policy/ids.ts';
import { requireIdle } from '../store/index-work.ts';
import { LiveChunks } from '../store/live-chunks.ts';
import { allTenants } from '../store/tenant-ids.ts';
import type { Parts } from './core.ts';
import { encryptionService } from './encryption-service.ts';
import { measure, requireCalibratable } from './index-service.ts';
import { type Comparison, compareIndex, embedAgain, type ReembedProgress, sumOf } from './index-work.ts';
import { need } from './need.ts';
import { openModel, spaceOf } from './open-model.ts';

export function operatorService(parts: Parts, onReembedProgress?: ReembedProgress): Services['maintenance'] {
  const { config, log, database } = parts;
  const tenants = async () => (await allTenants(database)).map(({ id }) => id);
  return {
    ...NOT_THE_OPERATORS,
    ...encryptionService(parts, tenants),
    doctor: async (caller, { repair }) => {
      const compared = new Map<TenantId, Comparison>();
      for (const tenant of await tenants()) compared.set(tenant, await compareIndex(parts, tenant, repair));
      await record(parts, caller, compared, 'index.checked', ({ differences }) => ({
        repaired: repair,
        differences: total(Object.values(differences)),
      }));
      return sumOf([...compared.values()]);
    },
    reembed: async (caller) => {
      const embedder = await openModel(config, log);
      try {
        const embedded = await embedAgain(parts, embedder, await tenants(), onReembedProgress);
        const { fingerprint } = embedder;
        await record(parts, caller, embedded, 'index.reembedded', (passages) => ({ fingerprint, passages }));
        return total([...embedded.values()]);
      } finally {
        await embedder.close();
      }
    },
    rebuild: async (caller) => {
      const collections = need(parts.collections, 'index to write');
      await requireIdle(database);
      return async (onProgress) => {
        const space = await spaceOf(parts);
        const copied = await rebuild({ database, collections, space, tenants: await tenants(), onProgress });
        await record(parts, caller, copied, 'index.rebuilt', (passages) => ({ passages }));
        return { passages: total([...copied.values()]) };
      };
    },
    calibrate: async (_, { seconds }) => {
      const tenant = await largest(parts, await tenants());
      const { fingerprint } = await spaceOf(parts);
      const settings = { index: requireCalibratable(need(parts.index, 'index')), tenant, fingerprint };
      return (onProgress) => measure(database, settings, seconds * 1000, onProgress);
    },
  };
}

/** What an administrator of a tenant does, by the rights that policy gives. */
const NOT_THE_OPERATORS: Pick<Services['maintenance'], 'indexStats' | 'deadLetters' | 'retryDeadLetters'> = {
  indexStats: refuse,
  deadLetters: refuse,
  retryDeadLetters: refuse,
};

async function refuse(): Promise<never> {
  throw new BulkheadError('not_found', 'This is for an administrator, in the role admin or all.');
}

/** The index is measured where there is most to search. */
async function largest({ database }: Parts, tenants: readonly TenantId[]): Promise<TenantId> {
  const sizes = await Promise.all(
    tenants.map(async (tenant) => ({ tenant, chunks: await LiveChunks.of(database, tenant).count() })),
  );
  const [first] = sizes.sort((a, b) => b.chunks - a.chunks);
  if (first === undefined) throw new BulkheadError('not_initialised', 'There is no tenant yet.');
  return first.tenant;
}

type IndexEvent = 'index.checked' | 'index.reembedded' | 'index.rebuilt';

/** With each tenant's log, and of it alone: it is their index, and how much the others have is not their business. */
async function record<K extends IndexEvent, T>(
  { audit }: Parts,
  { identity, requestId }: Caller,
  found: ReadonlyMap<TenantId, T>,
  kind: K,
  bodyOf: (own: T) => Omit<EventBodies[K], 'subject' | 'actor' | 'request'>,
): Promise<void> {
  const by = { subject: identity.user, actor: null, request: requestId };
  for (const [tenant, own] of found)
    await need(audit, 'audit log').appendEvent(tenant, kind, { ...by, ...bodyOf(own) } as EventBodies[K]);
}

function total(numbers: readonly number[]): number {
  return numbers.reduce((sum, n) => sum + n, 0);
}
