import { declareLosses } from '../audit/declare-losses.ts';
import type { SignedLoss } from '../audit/loss.ts';
import type { Config } from '../config/config.ts';
import { BulkheadError } from '../errors.ts';
import { tenantId } from '../policy/ids.ts';
import { type BegunIncarnation, beginIncarnations } from '../store/restore.ts';
import { createLog } from '../telemetry/log.ts';
import { now } from './core.ts';
import { openRecording, type Recording } from './open-audit.ts';
import { openStore, type Store } from './open-store.ts';

interface Restored {
  /** By tenant; none where the role may not change policy. */
  readonly incarnations: readonly BegunIncarnation[];
  readonly losses: readonly SignedLoss[];
}

const NOBODY = { subject: null, actor: null, request: null };

/**
 * What must be done once after a database was put back to a backup, before anything is served from it: with the
 * role `admin` or `all`, a new incarnation of every tenant's policy; with every role that writes an audit chain, a
 * signed word in its checkpoint file about records that are gone. Both are recorded in the log.
 * @throws BulkheadError `config_invalid` for a role that has neither; `data_folder_locked`, `store_unsafe`
 */
export async function restored(config: Config): Promise<Restored> {
  if (config.role === 'indexer')
    throw new BulkheadError('config_invalid', 'The role "indexer" has no part in this: it keeps no policy.');
  const store = await openStore(config);
  try {
    const recording = await openRecording(config, store.database, createLog({ level: 'silent' }), now);
    try {
      const losses = await declare(config, store, recording);
      const mayChangePolicy = config.role === 'admin' || config.role === 'all';
      return { losses, incarnations: mayChangePolicy ? await begin(store, recording) : [] };
    } finally {
      await recording.audit.close();
    }
  } finally {
    await store.close();
  }
}

/** The change and its records are one transaction. */
async function begin({ database }: Store, { audit }: Recording): Promise<readonly BegunIncarnation[]> {
  const begun = await database.unitOfWork('admin', undefined, async (trx) => {
    const incarnations = await beginIncarnations(trx);
    const events = incarnations.map(({ tenant, before, incarnation }) => ({
      tenant,
      kind: 'database.restored' as const,
      body: { ...NOBODY, before, incarnation },
    }));
    if (events.length > 0) await audit.appendWithin(trx, events);
    return incarnations;
  });
  await database.flush();
  return begun;
}

/** The file first: a loss that the log tells of is then one that verification knows. */
async function declare(
  { role }: Config,
  { database }: Store,
  { audit, auditKey, checkpointsFile }: Recording,
): Promise<readonly SignedLoss[]> {
  const reader = role === 'all' ? 'retrieve' : role;
  const losses = await declareLosses({ database, role: reader, key: auditKey, checkpointsFile, now });
  for (const { tenant, writer, kept, lost } of losses)
    await audit.appendEvent(tenantId(tenant), 'audit.loss_declared', {
      ...NOBODY,
      writer,
      kept,
      lost,
    });
  return losses;
}
