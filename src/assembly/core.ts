import { randomBytes, randomUUID } from 'node:crypto';
import { join } from 'node:path';
import type { AdminParts } from '../admin/change.ts';
import { type AuditKey, loadAuditKey } from '../audit/audit-key.ts';
import { type AuditLog, createAuditLog } from '../audit/audit-log.ts';
import type { Config } from '../config/config.ts';
import { type Embedder, openEmbedder } from '../embed/embedder.ts';
import { BulkheadError } from '../errors.ts';
import { type RedactionPolicy, redactionPolicy } from '../guard/redaction-policy.ts';
import { PgvectorCollections } from '../index/pgvector-collections.ts';
import type { VectorIndex } from '../index/vector-index.ts';
import { Indexer } from '../ingest/indexer.ts';
import { ParsePool } from '../ingest/parsers/parse-pool.ts';
import type { IngestParts } from '../ingest/submission.ts';
import { documentId, type Instant, instant, tenantId } from '../policy/ids.ts';
import type { LabelScheme } from '../policy/label.ts';
import { createDriftWatch, type Drift } from '../retrieve/drift.ts';
import { IndexLagMeter } from '../retrieve/freshness.ts';
import type { RetrieveParts } from '../retrieve/retrieve.ts';
import { VisibleSets } from '../retrieve/visible-sets.ts';
import type { Database } from '../store/database.ts';
import { TenantIds } from '../store/tenant-ids.ts';
import { syncLevels } from '../store/tenants.ts';
import { type Log, summarizeError } from '../telemetry/log.ts';

/** The parts behind every edge: what answers, what takes in, what changes policy, what records. */
export interface Core {
  readonly config: Config;
  readonly tenants: TenantIds;
  readonly log: Log;
  readonly database: Database;
  readonly scheme: LabelScheme;
  readonly redaction: RedactionPolicy;
  readonly embedder: Embedder;
  readonly collections: PgvectorCollections;
  readonly index: VectorIndex;
  readonly auditKey: AuditKey;
  readonly checkpointsFile: string;
  readonly retrieve: RetrieveParts;
  readonly ingest: IngestParts & { readonly indexer: Indexer };
  readonly admin: AdminParts & { readonly redaction: RedactionPolicy };
  close(): Promise<void>;
}

export interface CoreOptions {
  /** Go on with an index of another model, to re-embed it. */
  readonly allowOtherModel?: boolean;
}

/**
 * Builds the parts on an open database, and finishes what a killed process left in the outbox.
 * @throws BulkheadError `model_changed` when the index was built with another embedding model; `model_tampered`,
 *   `model_missing`, `config_invalid`
 */
export async function openCore(
  config: Config,
  database: Database,
  log: Log,
  options: CoreOptions = {},
): Promise<Core> {
  const scheme = labelScheme(config);
  const redaction = redactionPolicy(config.policy.levels);
  await syncLevels(database, scheme.levels);
  const embedder = await openEmbedder({
    manifestPath: config.modelManifest,
    cacheFolder: join(config.dataFolder, 'models'),
    onWorkerFailure: (error) => log.error({ error: summarizeError(error) }, 'embedding worker failed'),
    ...(config.ingestWorkers === undefined ? {} : { ingestWorkers: config.ingestWorkers }),
  });
  const collections = new PgvectorCollections(database);
  const index = await openIndex(collections, embedder, options).catch(async (error: unknown) => {
    await embedder.close();
    throw error;
  });
  const auditKey = await loadAuditKey(join(config.dataFolder, 'audit.key'), randomBytes);
  const checkpointsFile = join(config.dataFolder, 'audit-checkpoints.ndjson');
  const audit = openAudit(config, database, log, auditKey, checkpointsFile);
  const indexer = openIndexer(database, index, embedder, log);
  const lag = new IndexLagMeter(database, now);
  const parser = new ParsePool();
  const parts = { database, scheme, audit, redaction };
  return {
    config,
    log,
    database,
    tenants: new TenantIds(database),
    scheme,
    redaction,
    embedder,
    collections,
    index,
    auditKey,
    checkpointsFile,
    retrieve: {
      ...parts,
      embedder,
      index,
      questionKey: auditKey.questionKey,
      visibleSets: new VisibleSets(database),
      drift: createDriftWatch(database, driftAlarms(audit, log)),
      indexLag: () => lag.read(),
    },
    ingest: { ...parts, parser, embedder, indexer, newDocumentId: () => documentId(randomUUID()) },
    admin: parts,
    close: async () => {
      await audit.close();
      await Promise.all([parser.close(), embedder.close()]);
    },
  };
}

export function now(): Instant {
  return instant(Date.now());
}

function labelScheme({ policy }: Config): LabelScheme {
  return {
    levels: policy.levels.map(({ name, acr, maxAuthAgeSeconds, maxDirectoryAgeSeconds }, rank) => ({
      name,
      rank,
      safeguards: { acr, maxAuthAgeSeconds, maxDirectoryAgeSeconds },
    })),
    compartments: new Set(policy.compartments),
  };
}

async function openIndex(
  collections: PgvectorCollections,
  embedder: Embedder,
  { allowOtherModel = false }: CoreOptions,
): Promise<VectorIndex> {
  if (!allowOtherModel) await requireSameModel(collections, embedder);
  return collections.open(embedder);
}

async function requireSameModel(collections: PgvectorCollections, embedder: Embedder): Promise<void> {
  const live = await collections.live();
  if (live === undefined || live === embedder.fingerprint) return;
  throw new BulkheadError(
    'model_changed',
    `The index was built with another embedding model (${live.slice(0, 12)}…) than the one configured, ${embedder.name} (${embedder.fingerprint.slice(0, 12)}…). Set BULKHEAD_MODEL back, or run: bulkhead reembed`,
  );
}

function openAudit(
  config: Config,
  database: Database,
  log: Log,
  key: AuditKey,
  checkpointsFile: string,
): AuditLog {
  return createAuditLog({
    database,
    role: 'retrieve',
    writer: config.auditWriter,
    key,
    checkpointsFile,
    now,
    random: randomBytes,
    onCheckpointFailure: (error) => log.error({ error: summarizeError(error) }, 'audit checkpoint failed'),
  });
}

function openIndexer(database: Database, index: VectorIndex, embedder: Embedder, log: Log): Indexer {
  return new Indexer({
    database,
    index,
    fingerprint: embedder.fingerprint,
    onFailure: (document, error) =>
      log.error({ document, error: summarizeError(error) }, 'document could not be indexed yet'),
  });
}

/** Enforcers that disagree are logged and recorded; somebody must look. */
function driftAlarms(audit: AuditLog, log: Log) {
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
