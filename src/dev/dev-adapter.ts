import { LRUCache } from 'lru-cache';
import type { Adapter, AdapterFactory, AdapterPayload } from 'oidc-provider';

const MAX_ENTRIES = 5_000;

/**
 * oidc-provider's storage, in memory and bounded, one for each provider. Its own in-memory adapter would do, but
 * warns on the console.
 */
export function createDevAdapter(): AdapterFactory {
  const entries = new LRUCache<string, AdapterPayload>({ max: MAX_ENTRIES });
  return (model) => adapterFor(model, entries);
}

function adapterFor(model: string, entries: LRUCache<string, AdapterPayload>): Adapter {
  const key = (id: string) => `${model}:${id}`;
  return {
    async upsert(id, payload, expiresIn) {
      entries.set(key(id), payload, expiresIn === undefined ? {} : { ttl: expiresIn * 1000 });
    },
    find: async (id) => entries.get(key(id)),
    async findByUid(uid) {
      for (const [name, payload] of entries.entries())
        if (name.startsWith(key('')) && payload.uid === uid) return payload;
      return undefined;
    },
    // Only the device flow asks for it, which is off.
    findByUserCode: async () => undefined,
    async consume(id) {
      const payload = entries.get(key(id));
      if (payload !== undefined) payload.consumed = true;
    },
    async destroy(id) {
      entries.delete(key(id));
    },
    async revokeByGrantId(grantId) {
      for (const [name, payload] of [...entries.entries()])
        if (name.startsWith(key('')) && payload.grantId === grantId) entries.delete(name);
    },
  };
}
