import { BulkheadError } from '../errors.ts';
import type { Caller, Services } from '../http/services.ts';
import { type Difference, doctor } from '../ingest/doctor.ts';
import { reembed } from '../ingest/reembed.ts';
import { type Authority, authorize } from '../store/authority.ts';
import { rightsOn, rootContainer } from '../store/rights.ts';
import type { Core } from './core.ts';

/** In passages. */
export type ReembedProgress = (done: number, total: number) => void;

/** Work on the index as a whole; needs `administer` on the root. */
export function maintenanceService(core: Core, onReembedProgress?: ReembedProgress): Services['maintenance'] {
  const { database, embedder, index, collections, redaction } = core;
  return {
    doctor: async (caller, { repair }) => {
      const { subject } = await requireAdminister(core, caller);
      const counts: Record<Difference['kind'], number> = {
        missing: 0,
        'stale-version': 0,
        'wrong-class': 0,
        orphan: 0,
      };
      const differences = doctor({
        database,
        tenant: subject.tenant,
        index,
        fingerprint: embedder.fingerprint,
        repair,
      });
      for await (const { kind } of differences) counts[kind] += 1;
      return counts;
    },
    reembed: async (caller) => {
      const { context } = await requireAdminister(core, caller);
      let chunks = 0;
      await reembed({
        database,
        collections,
        embedder,
        redaction,
        tenants: [context],
        onProgress: ({ done, left }) => {
          chunks = done;
          onReembedProgress?.(done, done + left);
        },
      });
      return chunks;
    },
  };
}

async function requireAdminister({ database, scheme }: Core, { identity }: Caller): Promise<Authority> {
  const authority = await authorize(database, 'admin', scheme, identity);
  const rights = await database.unitOfWork('admin', authority.context, async (trx) =>
    rightsOn(trx, await rootContainer(trx)),
  );
  if (!rights.has('administer'))
    throw new BulkheadError('right_missing', 'This needs the right administer on the root container.');
  return authority;
}

type Readiness = Readonly<Record<string, boolean>>;

const LOOK_AGAIN_MS = 5_000;

/**
 * Whether each part that a query needs works, tried and not assumed. Anybody may ask, so all who ask within five
 * seconds share one look.
 */
export function readinessOf(core: Core, now: () => number): () => Promise<Readiness> {
  let lookedAt = Number.NEGATIVE_INFINITY;
  let last: Promise<Readiness> | undefined;
  return () => {
    if (last === undefined || now() - lookedAt > LOOK_AGAIN_MS) {
      lookedAt = now();
      last = look(core);
    }
    return last;
  };
}

async function look({ database, embedder, collections }: Core): Promise<Readiness> {
  const works = (attempt: () => Promise<boolean>) => attempt().catch(() => false);
  return {
    database: await works(() => database.unitOfWork('retrieve', undefined, async () => true)),
    embedding: await works(async () => (await embedder.embedQuery('ready')).length > 0),
    index: await works(async () => (await collections.live()) === embedder.fingerprint),
  };
}
