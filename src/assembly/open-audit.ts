import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type AuditKey, loadAuditKey } from '../audit/audit-key.ts';
import { type AuditLog, createAuditLog } from '../audit/audit-log.ts';
import { CHECKPOINTS_FILE, PUBLIC_KEY_FILE } from '../audit/witnesses.ts';
import type { Config } from '../config/config.ts';
import { type Instant, tenantId } from '../policy/ids.ts';
import type { Drift } from '../retrieve/drift.ts';
import type { Database } from '../store/database.ts';
import { type Log, summarizeError } from '../telemetry/log.ts';

/** The log that this process adds to, and what it proves it with. */
export interface Recording {
  readonly audit: AuditLog;
  readonly auditKey: AuditKey;
  readonly checkpointsFile: string;
}

/** @throws BulkheadError `config_invalid` for a key file that holds none */
export async function openRecording(
  config: Config,
  database: Database,
  log: Log,
  now: () => Instant,
): Promise<Recording> {
  const auditKey = await loadAuditKey(join(config.dataFolder, 'audit.key'), randomBytes);
  // for the auditor, who holds this process's chains against it
  await writeFile(join(config.dataFolder, PUBLIC_KEY_FILE), pemOf(auditKey));
  const checkpointsFile = join(config.dataFolder, CHECKPOINTS_FILE);
  const audit = createAuditLog({
    database,
    role: config.role === 'all' ? 'retrieve' : config.role,
    writer: config.auditWriter,
    key: auditKey,
    checkpointsFile,
    now,
    random: randomBytes,
    onCheckpointFailure: (error) => log.error({ error: summarizeError(error) }, 'audit checkpoint failed'),
  });
  return { audit, auditKey, checkpointsFile };
}

function pemOf({ publicKey }: AuditKey): string {
  return publicKey.export({ type: 'spki', format: 'pem' }).toString();
}

/** Enforcers that disagree are logged and recorded; somebody must look. */
export function driftAlarms(audit: AuditLog, log: Log) {
  return {
    drift: async (drift: Drift) => {
      log.error({ drift }, 'drift: an enforcer let through what a later one refused');
      const { tenant, ...body } = drift;
      await audit.appendEvent(tenantId(tenant), 'alert.drift', {
        subject: null,
        actor: null,
        request: null,
        ...body,
      });
    },
    lag: (passages: number) => {
      if (passages > 0) log.info({ passages }, 'passages dropped: the index is behind');
    },
    failed: (error: unknown) => log.error({ error: summarizeError(error) }, 'drift could not be examined'),
  };
}
