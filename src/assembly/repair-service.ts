import type { Caller, Services } from '../http/services.ts';
import type { EmbeddingSpace } from '../index/vector-index.ts';
import { byWhom } from '../ingest/7-write.ts';
import { rebuild } from '../ingest/rebuild.ts';
import { documentId } from '../policy/ids.ts';
import type { Authority } from '../store/authority.ts';
import { listDeadLetters, retryDeadLetters } from '../store/dead-letters.ts';
import { requireIdle } from '../store/index-work.ts';
import type { Parts } from './core.ts';
import { requireOnly } from './index-work.ts';
import { need } from './need.ts';

const MOST_SHOWN = 1000;

/**
 * What the index could not take, and the index anew.
 * @param requireAdminister rejects a caller without `administer` on the root
 */
export function repairService(
  parts: Pick<Parts, 'database' | 'audit' | 'collections'> & {
    readonly space: () => Promise<EmbeddingSpace>;
  },
  requireAdminister: (caller: Caller) => Promise<Authority>,
): Pick<Services['maintenance'], 'deadLetters' | 'retryDeadLetters' | 'rebuild'> {
  const { database, space } = parts;
  return {
    deadLetters: async (caller) => {
      const { context } = await requireAdminister(caller);
      const letters = await listDeadLetters(database, context, MOST_SHOWN + 1);
      return { letters: letters.slice(0, MOST_SHOWN), more: letters.length > MOST_SHOWN };
    },
    retryDeadLetters: async (caller, documents) => {
      const authority = await requireAdminister(caller);
      const audit = need(parts.audit, 'audit log');
      return database.unitOfWork('admin', authority.context, async (trx) => {
        const retried = await retryDeadLetters(trx, documents?.map(documentId));
        const body = { ...byWhom({ authority, request: caller.requestId }), documents: retried.length };
        await audit.appendWithin(trx, [{ tenant: authority.subject.tenant, kind: 'index.retried', body }]);
        return retried.length;
      });
    },
    rebuild: async (caller) => {
      const authority = await requireAdminister(caller);
      const collections = need(parts.collections, 'index to write');
      const audit = need(parts.audit, 'audit log');
      const { tenant } = authority.subject;
      await requireOnly(database, tenant);
      await requireIdle(database);
      return async (onProgress) => {
        // another tenant may have been made since
        const tenants = await requireOnly(database, tenant);
        const copied = await rebuild({ database, collections, space: await space(), tenants, onProgress });
        const passages = copied.get(tenant) ?? 0;
        const body = { ...byWhom({ authority, request: caller.requestId }), passages };
        await audit.appendEvent(tenant, 'index.rebuilt', body);
        return { passages };
      };
    },
  };
}
