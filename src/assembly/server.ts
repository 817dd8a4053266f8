import { randomBytes, randomUUID } from 'node:crypto';
import { hostname, userInfo } from 'node:os';
import { join } from 'node:path';
import type { Config } from '../config/config.ts';
import type { ListenerCertificate } from '../config/connections.ts';
import { BulkheadError } from '../errors.ts';
import { type BulkheadApp, createApp } from '../http/app.ts';
import { listen, type RunningServer } from '../http/server.ts';
import type { Caller } from '../http/services.ts';
import type { Indexer } from '../ingest/indexer.ts';
import type { Resealer } from '../ingest/reseal.ts';
import { readKeyReloads } from '../store/key-reloads.ts';
import { PostgresSessionStore } from '../store/session-store.ts';
import { createLog, type Log, summarizeError } from '../telemetry/log.ts';
import { listenForMetrics, RequestMetrics } from '../telemetry/metrics.ts';
import { now, openParts, type Parts } from './core.ts';
import { keepReloading } from './key-reloads.ts';
import { need } from './need.ts';
import { DEMO_TENANT, type Identity, openIdentity } from './open-identity.ts';
import { keepCounting, openRateLimits } from './open-rate-limits.ts';
import { openStore, type Store } from './open-store.ts';
import { operatorService } from './operator-service.ts';
import { protectedResource } from './protected-resource.ts';
import { does } from './roles.ts';
import { createServices } from './services.ts';
import { sessionEnding } from './session-ending.ts';
import { checkStrangers } from './strangers.ts';

/** The program in its role, not yet listening. */
export interface Bulkhead {
  readonly config: Config;
  readonly parts: Parts;
  /** Absent where nobody is answered. */
  readonly identity: Identity | undefined;
  readonly app: BulkheadApp;
  /** Listens, and tells the command line where. Resolves to the address people open. */
  listen(): Promise<URL>;
  /**
   * @param sources who vouches for the certificates of services
   * @throws BulkheadError `config_invalid` for what cannot be used; the present listener then stays
   */
  renewCertificate(certificate: ListenerCertificate, sources: Config['certificates']): void;
  /** Finishes what is under way and closes everything, in order. */
  close(): Promise<void>;
}

export interface BulkheadOptions {
  readonly log?: Log;
  /** Where log lines go; default: standard output. */
  readonly logTo?: { write(line: string): void };
  readonly allowOtherModel?: boolean;
  /** Not to listen, but to answer one command of whoever holds the indexer's credentials. */
  readonly isOperator?: boolean;
  /** Told while the demo company is loaded. */
  readonly onDemoProgress?: (done: number, total: number) => void;
  /** Told while all is embedded again, in passages. */
  readonly onReembedProgress?: (done: number, total: number) => void;
}

/**
 * Opens the store, builds the parts, loads the demo where it is wanted and missing.
 * @throws BulkheadError whatever part refuses to start; what was opened is closed again
 */
export async function openBulkhead(given: Config, options: BulkheadOptions = {}): Promise<Bulkhead> {
  const config = options.isOperator === true ? operatorConfig(given) : given;
  const log = options.log ?? createLog({ level: config.logLevel, destination: options.logTo });
  const store = await openStore(config, (line) => log.warn(line));
  let parts: Parts | undefined;
  try {
    parts = await openParts(config, store.database, log, options);
    // an indexer begins when it listens, and is ready meanwhile
    if (config.role === 'all') await parts.indexer?.takeOver();
    if (config.demo) await loadDemoCompany(parts, options);
    return await openApp(config, store, parts, log, options);
  } catch (error) {
    await parts?.close();
    await store.close();
    throw error;
  }
}

async function loadDemoCompany(parts: Parts, { onDemoProgress }: BulkheadOptions): Promise<void> {
  const { loadDemo } = await import('../dev/demo.ts');
  await loadDemo(need(parts.ingest, 'ingestion'), {
    tenant: DEMO_TENANT,
    folder: parts.config.dataFolder,
    now: now(),
    onProgress: ({ done, total, failed }) => {
      const last = failed.at(-1);
      if (last !== undefined)
        throw new BulkheadError(
          'internal',
          `The demo document ${last.externalId} failed: ${last.error?.detail}`,
        );
      onDemoProgress?.(done, total);
    },
  });
}

/** Beside the indexer that runs on the same machine: a folder and an audit chain of its own. */
function operatorConfig(config: Config): Config {
  return {
    ...config,
    dataFolder: join(config.dataFolder, 'operator'),
    auditWriter: `${config.auditWriter.slice(0, 55)}-operator`,
  };
}

/** They are who the operating system says for as long as the command runs. */
function operating(parts: Parts, onReembedProgress: BulkheadOptions['onReembedProgress']) {
  return { maintenance: operatorService(parts, onReembedProgress), stillHolds: async () => {} };
}

/** Who runs the command, as the operating system says. */
function operatorCaller(): Caller {
  const identity = {
    tenant: '',
    user: `operator:${userInfo().username}@${hostname()}`,
    tokenGroups: [],
    actor: undefined,
    acr: undefined,
    authTime: undefined,
  };
  return { identity, requestId: randomUUID() };
}

async function openApp(
  config: Config,
  store: Store,
  parts: Parts,
  log: Log,
  { onReembedProgress, isOperator = false }: BulkheadOptions,
): Promise<Bulkhead> {
  const baseUrl = new URL(config.publicUrl ?? `${schemeOf(config)}://localhost:${config.port}`);
  const identity = config.role === 'indexer' ? undefined : await openIdentity(config, baseUrl, now);
  if (identity !== undefined)
    await checkStrangers(config, identity.profiles, need(parts.tenants, 'tenants'), log);
  const services = createServices(parts, identity, onReembedProgress);
  const metrics = config.metricsPort === undefined ? undefined : new RequestMetrics();
  const limits = isOperator ? undefined : openRateLimits(config, store.database, now);
  const app = createApp(isOperator ? { ...services, ...operating(parts, onReembedProgress) } : services, {
    role: isOperator ? 'operator' : config.role,
    operator: isOperator ? operatorCaller() : undefined,
    version: '0.1.0',
    log,
    newRequestId: randomUUID,
    publicUrl: baseUrl,
    levels: parts.scheme.levels.map(({ name }) => name),
    now,
    randomBytes,
    signIn: identity?.signIn,
    signInChoices: identity?.choices ?? [],
    logoutTokens: identity?.logoutTokens,
    sessionEnding: does(config.role, 'retrieve') ? sessionEnding(parts) : undefined,
    sessionStore: config.database && new PostgresSessionStore(store.database),
    idleMinutes: config.signIn?.idleMinutes,
    absoluteHours: config.signIn?.absoluteHours,
    limits,
    resource: protectedResource(config, baseUrl, identity?.profiles ?? []),
    onRequest: metrics && ((request) => metrics.observe(request)),
    mounts: identity?.development ? [{ path: '/dev/idp', app: identity.development.handle }] : [],
  });
  const running: (() => Promise<void>)[] = [];
  const renewals: RunningServer['renewCertificate'][] = [];
  const clientAuthorities = () => identity?.certificates.authorities() ?? [];
  return {
    config,
    parts,
    identity,
    app,
    listen: async () => {
      const { port, host, certificate } = config;
      if (certificate === undefined && clientAuthorities().length > 0) throw withoutTls();
      if (identity !== undefined && config.database !== undefined)
        running.push(await keepReloading(identity.keyReloads, reloadsIn(config, store), log));
      const server = await listen(app, { port, host, certificate, clientAuthorities: clientAuthorities() });
      renewals.push(server.renewCertificate);
      running.push(server.close);
      if (metrics !== undefined && config.metricsPort !== undefined)
        running.push((await listenForMetrics(metrics, { host, port: config.metricsPort })).close);
      if (limits !== undefined && config.database !== undefined) running.push(keepCounting(limits, log));
      if (parts.indexer !== undefined) running.push(keepUp(parts.indexer, log));
      if (parts.resealer !== undefined && parts.encryption?.keys !== undefined)
        running.push(keepSealed(parts.resealer, log));
      const url = new URL(baseUrl);
      if (config.publicUrl === undefined) url.port = String(server.port);
      store.lock.announce(addressOnThisMachine(config, server.port));
      return url;
    },
    renewCertificate: (certificate, sources) => {
      identity?.certificates.renew(sources);
      for (const renew of renewals) renew(certificate, clientAuthorities());
    },
    close: async () => {
      await Promise.all(running.splice(0).map((stop) => stop()));
      await app.close();
      await parts.close();
      await store.close();
    },
  };
}

/** For a process that knows callers. */
function reloadsIn({ role }: Config, { database }: Store) {
  const as = role === 'all' || role === 'indexer' ? 'retrieve' : role;
  return () => readKeyReloads(database, as);
}

/** What other processes wrote, what an administrator moved, and what waits for another attempt. */
const LOOK_FOR_WORK_MS = 250;

function keepUp(indexer: Indexer, log: Log): () => Promise<void> {
  return indexer.keepUp(LOOK_FOR_WORK_MS, (error) =>
    log.error({ error: summarizeError(error) }, 'the outbox could not be read'),
  );
}

/** What was relabelled, here or elsewhere. */
const LOOK_FOR_SEALING_MS = 2_000;

function keepSealed(resealer: Resealer, log: Log): () => Promise<void> {
  return resealer.keepUp(LOOK_FOR_SEALING_MS, (error) =>
    log.error({ error: summarizeError(error) }, 'passages could not be sealed yet'),
  );
}

function withoutTls(): BulkheadError {
  return new BulkheadError(
    'config_invalid',
    'services.certificates needs a listener of its own with TLS: set BULKHEAD_TLS_CERT and BULKHEAD_TLS_KEY.',
  );
}

function schemeOf({ certificate }: Config): 'http' | 'https' {
  return certificate === undefined ? 'http' : 'https';
}

const EVERY_ADDRESS = new Set(['0.0.0.0', '::', '*']);

/** Where commands on this machine reach it. A certificate is for a name, which the public address has. */
export function addressOnThisMachine(config: Config, port: number): string {
  const { certificate, publicUrl, host } = config;
  if (certificate !== undefined && publicUrl !== undefined)
    return `https://${new URL(publicUrl).hostname}:${port}`;
  const listening = EVERY_ADDRESS.has(host) ? 'localhost' : host;
  const name = listening.includes(':') ? `[${listening}]` : listening;
  return `${schemeOf(config)}://${name}:${port}`;
}
