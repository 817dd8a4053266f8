import type { Embedder } from '../embed/embedder.ts';
import type { Caller, Services } from '../http/services.ts';
import { type Authority, authorize } from '../store/authority.ts';
import { requireScheme } from '../store/level-scheme.ts';
import { requireRootRight } from '../store/rights.ts';
import type { Parts } from './core.ts';
import { encryptionService } from './encryption-service.ts';
import { indexService } from './index-service.ts';
import { compareIndex, embedAgain, type ReembedProgress, requireOnly } from './index-work.ts';
import { need } from './need.ts';
import { spaceOf } from './open-model.ts';
import { repairService } from './repair-service.ts';

/** Work on the index as a whole, for the caller's tenant; needs `administer` on the root. */
export function maintenanceService(
  parts: Parts,
  onReembedProgress?: ReembedProgress,
): Services['maintenance'] {
  return {
    ...encryptionService(parts, async (caller) => [(await requireAdminister(parts, caller)).subject.tenant]),
    ...indexService(parts, (caller) => requireAdminister(parts, caller)),
    ...repairService({ ...parts, space: () => spaceOf(parts) }, (caller) => requireAdminister(parts, caller)),
    doctor: async (caller, { repair }) => {
      const { subject } = await requireAdminister(parts, caller);
      return compareIndex(parts, subject.tenant, repair);
    },
    reembed: async (caller) => {
      const { subject } = await requireAdminister(parts, caller);
      const tenants = await requireOnly(parts.database, subject.tenant);
      const embedder = need(parts.embedder, 'embedding model');
      const embedded = await embedAgain(parts, embedder, tenants, onReembedProgress);
      return embedded.get(subject.tenant) ?? 0;
    },
  };
}

async function requireAdminister({ database, scheme }: Parts, { identity }: Caller): Promise<Authority> {
  const authority = await authorize(database, 'admin', scheme, identity);
  await requireRootRight(database, 'admin', authority, 'administer');
  return authority;
}

type Readiness = Readonly<Record<string, boolean>>;

const LOOK_AGAIN_MS = 5_000;

/**
 * Whether each part that a query needs works, tried and not assumed. Anybody may ask, so all who ask within five
 * seconds share one look.
 */
export function readinessOf(parts: Parts, now: () => number): () => Promise<Readiness> {
  let lookedAt = Number.NEGATIVE_INFINITY;
  let last: Promise<Readiness> | undefined;
  return () => {
    if (last === undefined || now() - lookedAt > LOOK_AGAIN_MS) {
      lookedAt = now();
      last = look(parts);
    }
    return last;
  };
}

async function look(parts: Parts): Promise<Readiness> {
  const { config, database, scheme, embedder, indexedModel, indexer } = parts;
  const role = config.role === 'all' ? 'retrieve' : config.role;
  const tries: Record<string, (() => Promise<boolean>) | undefined> = {
    database: () => database.unitOfWork(role, undefined, async () => true),
    levels: () => requireScheme(database, role, scheme).then(() => true),
    embedding: embedder && (() => embeds(parts, embedder)),
    index: indexedModel && (async () => (await indexedModel.live()) === (await spaceOf(parts)).fingerprint),
    outbox: role === 'indexer' && indexer ? async () => (await indexer.backlog()).documents >= 0 : undefined,
  };
  const looked = Object.entries(tries).map(async ([part, attempt]) =>
    attempt === undefined ? [] : [[part, await attempt().catch(() => false)] as const],
  );
  return Object.fromEntries((await Promise.all(looked)).flat());
}

/** With the worker that this process has. */
async function embeds({ retrieve }: Parts, embedder: Embedder): Promise<boolean> {
  if (retrieve === undefined) return (await embedder.countTokens(['ready'])).length > 0;
  return (await embedder.embedQuery('ready')).length > 0;
}
