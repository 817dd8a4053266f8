import { randomBytes, randomUUID } from 'node:crypto';
import type { Config } from '../config/config.ts';
import { BulkheadError } from '../errors.ts';
import { type BulkheadApp, createApp } from '../http/app.ts';
import { listen } from '../http/server.ts';
import { createLog, type Log } from '../telemetry/log.ts';
import { type Core, now, openCore } from './core.ts';
import { DEMO_TENANT, type Identity, openIdentity } from './open-identity.ts';
import { openStore, type Store } from './open-store.ts';
import { createServices } from './services.ts';

/** The whole program, in one process, not yet listening. */
export interface Bulkhead {
  readonly config: Config;
  readonly core: Core;
  readonly identity: Identity;
  readonly app: BulkheadApp;
  /** Listens, and tells the command line where. Resolves to the address people open. */
  listen(): Promise<URL>;
  /** Finishes what is under way and closes everything, in order. */
  close(): Promise<void>;
}

export interface BulkheadOptions {
  readonly log?: Log;
  /** Where log lines go; default: standard output. */
  readonly logTo?: { write(line: string): void };
  readonly allowOtherModel?: boolean;
  /** Told while the demo company is loaded. */
  readonly onDemoProgress?: (done: number, total: number) => void;
  /** Told while all is embedded again, in passages. */
  readonly onReembedProgress?: (done: number, total: number) => void;
}

/**
 * Opens the store, builds the parts, loads the demo where it is wanted and missing.
 * @throws BulkheadError whatever part refuses to start; what was opened is closed again
 */
export async function openBulkhead(config: Config, options: BulkheadOptions = {}): Promise<Bulkhead> {
  const log = options.log ?? createLog({ level: config.logLevel, destination: options.logTo });
  const store = await openStore(config);
  let core: Core | undefined;
  try {
    core = await openCore(config, store.database, log, options);
    await core.ingest.indexer.takeOver();
    if (config.demo) await loadDemoCompany(core, options);
    return await openApp(config, store, core, log, options);
  } catch (error) {
    await core?.close();
    await store.close();
    throw error;
  }
}

async function loadDemoCompany(core: Core, { onDemoProgress }: BulkheadOptions): Promise<void> {
  const { loadDemo } = await import('../dev/demo.ts');
  await loadDemo(core.ingest, {
    tenant: DEMO_TENANT,
    folder: core.config.dataFolder,
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

async function openApp(
  config: Config,
  store: Store,
  core: Core,
  log: Log,
  { onReembedProgress }: BulkheadOptions,
): Promise<Bulkhead> {
  const baseUrl = new URL(config.publicUrl ?? `http://localhost:${config.port}`);
  const identity = await openIdentity(config, baseUrl, now);
  const { development } = identity;
  const app = createApp(createServices(core, identity, onReembedProgress), {
    version: '0.1.0',
    log,
    newRequestId: randomUUID,
    publicUrl: baseUrl,
    levels: core.scheme.levels.map(({ name }) => name),
    now,
    randomBytes,
    signIn: identity.signIn,
    signInChoices: identity.choices,
    mounts: development === undefined ? [] : [{ path: '/dev/idp', app: development.handle }],
  });
  let stopListening = async () => {};
  return {
    config,
    core,
    identity,
    app,
    listen: async () => {
      const server = await listen(app, { port: config.port, host: config.host });
      stopListening = server.close;
      const url = new URL(baseUrl);
      if (config.publicUrl === undefined) url.port = String(server.port);
      store.lock.announce(`http://127.0.0.1:${server.port}`);
      return url;
    },
    close: async () => {
      await stopListening();
      await app.close();
      await core.close();
      await store.close();
    },
  };
}
