/**
 * Work on the index as a whole for the operator, who holds the indexer's own credentials: over every tenant, and without
 * asking for a right, since the indexer sees no policy. Recorded like an administrator's.
 */
import type { EventBodies } from '../audit/audit-event.ts';
import { BulkheadError } from '../errors.ts';
import type { Caller, Services } from '../http/services.ts';
import { rebuild } from '../ingest/rebuild.ts';
import type { TenantId } from '../policy/ids.ts';
import { LiveChunks } from '../store/live-chunks.ts';
import { allTenants } from '../store/tenant-ids.ts';
import type { Parts } from './core.ts';
import { encryptionService } from './encryption-service.ts';
import { measure, requireCalibratable } from './index-service.ts';
import { compareIndex, embedAgain, type ReembedProgress } from './index-work.ts';
import { need } from './need.ts';
import { openModel, spaceOf } from './open-model.ts';

export function operatorService(parts: Parts, onReembedProgress?: ReembedProgress): Services['maintenance'] {
  const { config, log, database } = parts;
  const tenants = async () => (await allTenants(database)).map(({ id }) => id);
  return {
    ...NOT_THE_OPERATORS,
    ...encryptionService(parts, tenants),
    doctor: async (caller, { repair }) => {
      const compared = await compareIndex(parts, await tenants(), repair);
      const differences = Object.values(compared.differences).reduce((sum, passages) => sum + passages, 0);
      await record(parts, caller, await tenants(), 'index.checked', { repaired: repair, differences });
      return compared;
    },
    reembed: async (caller) => {
      const embedder = await openModel(config, log);
      try {
        const passages = await embedAgain(parts, embedder, await tenants(), onReembedProgress);
        const { fingerprint } = embedder;
        await record(parts, caller, await tenants(), 'index.reembedded', { fingerprint, passages });
        return passages;
      } finally {
        await embedder.close();
      }
    },
    rebuild: async (caller) => async (onProgress) => {
      const collections = need(parts.collections, 'index to write');
      const all = await tenants();
      const options = { database, collections, space: await spaceOf(parts), tenants: all, onProgress };
      const passages = await rebuild(options);
      await record(parts, caller, all, 'index.rebuilt', { passages });
      return { passages };
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

/** With each tenant's log: it is their index. */
async function record<K extends IndexEvent>(
  { audit }: Parts,
  { identity, requestId }: Caller,
  tenants: readonly TenantId[],
  kind: K,
  body: Omit<EventBodies[K], 'subject' | 'actor' | 'request'>,
): Promise<void> {
  const by = { subject: identity.user, actor: null, request: requestId };
  for (const tenant of tenants)
    await need(audit, 'audit log').appendEvent(tenant, kind, { ...by, ...body } as EventBodies[K]);
}
