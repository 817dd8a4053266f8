import { randomBytes, randomUUID } from 'node:crypto';
import type { AuditLog } from '../audit/audit-log.ts';
import type { Config } from '../config/config.ts';
import { keyBinding } from '../crypto/data-key.ts';
import { openFileKeyService } from '../crypto/file-key-service.ts';
import type { KeyService } from '../crypto/key-service.ts';
import { Keyring } from '../crypto/keyring.ts';
import { createSealer, NO_SEALER, type Sealer } from '../crypto/sealer.ts';
import { BulkheadError, isBulkheadError } from '../errors.ts';
import type { RedactionPolicy } from '../guard/redaction-policy.ts';
import type { Indexer } from '../ingest/indexer.ts';
import { Resealer } from '../ingest/reseal.ts';
import type { TenantId } from '../policy/ids.ts';
import type { LabelScheme } from '../policy/label.ts';
import type { UnopenedPassage } from '../retrieve/unseal.ts';
import { DataKeys } from '../store/data-keys.ts';
import type { Database } from '../store/database.ts';
import { SealingWork } from '../store/sealing-work.ts';
import { type Log, summarizeError } from '../telemetry/log.ts';

type SealingRole = 'retrieve' | 'ingest' | 'indexer';
const SEALING_ROLES: readonly SealingRole[] = ['retrieve', 'ingest', 'indexer'];

/** What seals and opens texts in this process: nothing, where no level asks for it and no data key is there. */
export interface Encryption {
  readonly as: Readonly<Record<SealingRole, Sealer>>;
  /** The levels that ask for it, lowest first. */
  readonly levels: readonly string[];
  /** Absent without a key file. */
  readonly keys: KeyService | undefined;
  /**
   * Takes note that the tenant's keys were rotated. Term keys are made anew at once: questions ask with every key
   * there is, and must know the new one before the first passage is hashed with it.
   */
  rotated(tenant: TenantId): Promise<void>;
}

/**
 * Opens the key file, and tries it on the data keys that are there.
 * @throws BulkheadError `config_invalid` in one line: a level asks for encryption and there is no key file, or the key
 *   file cannot be used, or it does not open the data keys that are there
 */
export async function openSealer(config: Config, database: Database): Promise<Encryption> {
  const levels = config.policy.levels.filter(({ encrypt }) => encrypt).map(({ name }) => name);
  const nothing = { as: all(() => NO_SEALER), levels, keys: undefined, rotated: async () => {} };
  const role = config.role === 'all' ? 'indexer' : config.role;
  // admin and audit touch no text
  if (!isSealing(role)) return nothing;
  if (config.keyFile === undefined) {
    await refuseWithoutKeys(levels, DataKeys.as(database, role));
    return nothing;
  }
  const keys = openFileKeyService(config.keyFile, randomBytes);
  await tryKeys(keys, config.keyFile, DataKeys.as(database, role));
  const keyrings = all(
    (as) =>
      new Keyring({
        keys,
        store: DataKeys.as(database, as),
        now: Date.now,
        newKeyId: randomUUID,
        randomBytes,
      }),
  );
  return {
    as: all((as) => createSealer(config.policy.levels, keyrings[as], randomBytes)),
    levels,
    keys,
    rotated: async (tenant) => {
      for (const level of levels) await keyrings.indexer.forTerms(tenant, level);
      for (const keyring of Object.values(keyrings)) keyring.forget();
    },
  };
}

function all<T>(make: (role: SealingRole) => T): Readonly<Record<SealingRole, T>> {
  return { retrieve: make('retrieve'), ingest: make('ingest'), indexer: make('indexer') };
}

function isSealing(role: string): role is SealingRole {
  return SEALING_ROLES.some((sealing) => sealing === role);
}

async function refuseWithoutKeys(levels: readonly string[], stored: DataKeys): Promise<void> {
  if (levels.length > 0)
    throw new BulkheadError(
      'config_invalid',
      `The level ${levels.join(', ')} asks for encryption and BULKHEAD_KEY_FILE is not set.`,
    );
  const [sample] = await stored.samples();
  if (sample !== undefined)
    throw new BulkheadError(
      'config_invalid',
      `The database holds data keys wrapped with the key "${sample.keyId}" and BULKHEAD_KEY_FILE is not set.`,
    );
}

async function tryKeys(keys: KeyService, file: string, stored: DataKeys): Promise<void> {
  for (const sample of await stored.samples()) {
    try {
      await keys.unwrap(sample.wrapped, sample.keyId, keyBinding(sample));
    } catch (error) {
      if (!isBulkheadError(error)) throw error;
      const why = error.code === 'keys_unavailable' ? 'has no key' : 'has another key';
      throw new BulkheadError(
        'config_invalid',
        `The key file ${file} ${why} "${sample.keyId}", with which ${sample.keys} data keys are wrapped.`,
        { cause: error },
      );
    }
  }
}

/** Follows what is relabelled, from now on; what waits is begun when it is told to. */
export async function openResealer(
  {
    database,
    scheme,
    redaction,
    log,
  }: {
    readonly database: Database;
    readonly scheme: LabelScheme;
    readonly redaction: RedactionPolicy;
    readonly log: Log;
  },
  { as, levels }: Encryption,
  indexer: Pick<Indexer, 'drain'>,
  audit: AuditLog | undefined,
): Promise<Resealer> {
  await new SealingWork(database).configure(levels);
  const onUnopened = unopenedAlarm(audit, log);
  return new Resealer({ database, scheme, sealer: as.indexer, redaction, indexer, onUnopened });
}

/** A ciphertext that does not open was tampered with, or a restore went wrong: somebody must look. */
export function unopenedAlarm(audit: AuditLog | undefined, log: Log): (passage: UnopenedPassage) => void {
  return (passage) => {
    const { tenant, ...body } = passage;
    log.error({ passage }, 'an encrypted passage did not open and was withheld');
    const nobody = { subject: null, actor: null, request: null };
    audit
      ?.appendEvent(tenant, 'alert.decryption_failed', { ...nobody, ...body })
      .catch((error: unknown) => log.error({ error: summarizeError(error) }, 'an alert was not recorded'));
  };
}
