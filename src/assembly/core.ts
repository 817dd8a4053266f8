import { randomUUID } from 'node:crypto';
import type { AdminParts } from '../admin/change.ts';
import type { AuditKey } from '../audit/audit-key.ts';
import type { AuditLog } from '../audit/audit-log.ts';
import type { Config } from '../config/config.ts';
import { describeSpace, type Embedder } from '../embed/embedder.ts';
import { type RedactionPolicy, redactionPolicy } from '../guard/redaction-policy.ts';
import type { VectorCollections, VectorIndex } from '../index/vector-index.ts';
import { Indexer } from '../ingest/indexer.ts';
import { ParsePool } from '../ingest/parsers/parse-pool.ts';
import type { Resealer } from '../ingest/reseal.ts';
import type { IngestParts } from '../ingest/submission.ts';
import { documentId, type Instant, instant } from '../policy/ids.ts';
import type { LabelScheme } from '../policy/label.ts';
import { createDriftWatch } from '../retrieve/drift.ts';
import { IndexLagMeter } from '../retrieve/freshness.ts';
import type { RetrieveParts } from '../retrieve/retrieve.ts';
import { VisibleSets } from '../retrieve/visible-sets.ts';
import { GivenClassIds } from '../store/class-ids.ts';
import type { Database } from '../store/database.ts';
import { KnownCallers } from '../store/known-callers.ts';
import { requireLevels, syncLevels } from '../store/level-scheme.ts';
import { TenantIds } from '../store/tenant-ids.ts';
import { type Log, summarizeError } from '../telemetry/log.ts';
import { labelScheme } from './label-scheme.ts';
import { driftAlarms, openRecording } from './open-audit.ts';
import { type OpenIndex, openIndex } from './open-index.ts';
import { openModel } from './open-model.ts';
import { openClassCounts } from './open-planning.ts';
import { type Encryption, openResealer, openSealer, unopenedAlarm } from './open-sealer.ts';
import { does, usesIndex } from './roles.ts';

/** What every process has. */
interface Base {
  readonly config: Config;
  readonly log: Log;
  readonly database: Database;
  readonly scheme: LabelScheme;
  readonly redaction: RedactionPolicy;
  /** Finishes what is under way and ends what was started. */
  close(): Promise<void>;
}

/** What a role may have besides: what answers, what takes in, what changes policy, what records. */
interface RoleParts {
  readonly tenants: TenantIds;
  readonly audit: AuditLog;
  readonly auditKey: AuditKey;
  readonly checkpointsFile: string;
  readonly embedder: Embedder;
  readonly index: VectorIndex;
  readonly indexedModel: Pick<VectorCollections, 'live'>;
  readonly collections: VectorCollections;
  readonly indexer: Indexer;
  readonly retrieve: RetrieveParts;
  readonly ingest: IngestParts;
  readonly admin: AdminParts & { readonly redaction: RedactionPolicy };
  readonly encryption: Encryption;
  /** Follows relabellings and rotated keys. */
  readonly resealer: Resealer;
}

/** The parts behind the edge of one process; what its role has no use for is not there. */
export type Parts = Base & { readonly [K in keyof RoleParts]: RoleParts[K] | undefined };

/** The parts of a process that is all roles. */
export type Core = Base & RoleParts;

export interface CoreOptions {
  /** Work on the index for whoever holds the indexer's credentials: it is recorded. */
  readonly isOperator?: boolean | undefined;
  /** Go on with an index of another model, to re-embed it. */
  readonly allowOtherModel?: boolean;
}

/** `openParts` for a process that is all roles. */
export async function openCore(
  config: Config,
  database: Database,
  log: Log,
  options: CoreOptions = {},
): Promise<Core> {
  const parts = await openParts({ ...config, role: 'all' }, database, log, options);
  return parts as Core;
}

/**
 * Builds the parts of the role on an open database, and nothing that the role has no use for.
 * @throws BulkheadError `model_changed` when the index was built with another embedding model; `model_tampered`,
 *   `model_missing`, `config_invalid`; what was opened is closed again
 */
export async function openParts(
  config: Config,
  database: Database,
  log: Log,
  options: CoreOptions = {},
): Promise<Parts> {
  const scheme = labelScheme(config.policy);
  await agreeOnLevels(config, database, scheme);
  const opened: (() => Promise<void>)[] = [];
  const close = async () => {
    for (const end of opened.splice(0).reverse()) await end();
  };
  const base = { config, log, database, scheme, redaction: redactionPolicy(config.policy.levels), close };
  try {
    return await partsOf(base, options, (end) => opened.push(end));
  } catch (error) {
    await close();
    throw error;
  }
}

async function partsOf(
  base: Base,
  options: CoreOptions,
  onClose: (end: () => Promise<void>) => void,
): Promise<Parts> {
  const { config, log, database, scheme, redaction } = base;
  const { role } = config;
  const encryption = await openSealer(config, database);
  const embedder = await modelOf(config, log);
  if (embedder !== undefined) onClose(() => embedder.close());
  const index = usesIndex(role)
    ? await openIndex(base, embedder ?? (await describeSpace(config.modelManifest)), options)
    : undefined;
  if (index !== undefined) onClose(async () => index.close());
  const indexer = does(role, 'indexer') && index !== undefined ? await openIndexer(base, index) : undefined;
  // an indexer answers nobody, so there is nothing to record but what its operator does
  const records = role !== 'indexer' || options.isOperator === true;
  const recording = records ? await openRecording(config, database, log, now) : undefined;
  if (recording !== undefined) onClose(() => recording.audit.close());
  const known = recording && { database, scheme, redaction, audit: recording.audit };
  const retrieve =
    known && index && embedder && does(role, 'retrieve')
      ? {
          ...retrieveParts(base, { ...known, embedder, index: index.index }, recording.auditKey),
          sealer: encryption.as.retrieve,
          onUnopened: unopenedAlarm(recording.audit, log),
        }
      : undefined;
  const ingest =
    known && embedder && does(role, 'ingest')
      ? { ...known, ...ingestParts(onClose), embedder, indexer, sealer: encryption.as.ingest }
      : undefined;
  const resealer = indexer && (await openResealer(base, encryption, indexer, recording?.audit));
  return {
    ...base,
    encryption,
    resealer,
    tenants: role === 'indexer' ? undefined : new TenantIds(database, role === 'all' ? 'audit' : role),
    audit: recording?.audit,
    auditKey: recording?.auditKey,
    checkpointsFile: recording?.checkpointsFile,
    embedder,
    index: index?.index,
    indexedModel: index?.collections,
    collections: index?.writable,
    indexer,
    retrieve,
    ingest,
    admin: does(role, 'admin') ? known : undefined,
  };
}

function modelOf(config: Config, log: Log): Promise<Embedder | undefined> {
  const embeds = does(config.role, 'retrieve') || does(config.role, 'ingest');
  return embeds ? openModel(config, log) : Promise.resolve(undefined);
}

function retrieveParts(
  { config, database, log }: Base,
  known: Pick<RetrieveParts, 'database' | 'scheme' | 'redaction' | 'audit' | 'embedder' | 'index'>,
  { questionKey }: AuditKey,
): RetrieveParts {
  const lag = new IndexLagMeter(database, now);
  return {
    ...known,
    questionKey,
    callers: new KnownCallers(),
    visibleSets: new VisibleSets(database),
    givenClassIds: config.qdrant && new GivenClassIds(database),
    classCounts: config.qdrant && openClassCounts(database, log),
    drift: createDriftWatch(known, driftAlarms(known.audit, log)),
    indexLag: () => lag.read(),
  };
}

function ingestParts(onClose: (end: () => Promise<void>) => void) {
  const parser = new ParsePool();
  onClose(() => parser.close());
  return { parser, newDocumentId: () => documentId(randomUUID()) };
}

async function openIndexer({ config, database, scheme, log }: Base, { index }: OpenIndex): Promise<Indexer> {
  const { fingerprint } = await describeSpace(config.modelManifest);
  return new Indexer({
    database,
    scheme,
    index,
    fingerprint,
    onFailure: (document, error) =>
      log.error({ document, error: summarizeError(error) }, 'document could not be indexed yet'),
  });
}

/** The database's levels are those of who may change policy; everybody else must agree with them. */
async function agreeOnLevels({ role }: Config, database: Database, scheme: LabelScheme): Promise<void> {
  if (role === 'admin' || role === 'all') await syncLevels(database, scheme);
  else await requireLevels(database, role, scheme);
}

export function now(): Instant {
  return instant(Date.now());
}
