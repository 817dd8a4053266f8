/** Bulkhead's own parts in this process, on a data set, to load it and to measure one part by itself. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Core, openCore } from '../../../src/assembly/core.ts';
import { openStore } from '../../../src/assembly/open-store.ts';
import { loadConfig } from '../../../src/config/config.ts';
import { createLog } from '../../../src/telemetry/log.ts';
import type { Stores } from './stores.ts';

export interface Product {
  readonly core: Core;
  close(): Promise<void>;
}

/** @param environment beside what names the stores, for example another address of Qdrant */
export async function openProduct(
  { databaseUrl, qdrantUrl, qdrantKey }: Stores,
  environment: Readonly<Record<string, string>> = {},
): Promise<Product> {
  const folder = mkdtempSync(join(tmpdir(), 'bulkhead-bench-product-'));
  const config = loadConfig({
    BULKHEAD_DATA: folder,
    BULKHEAD_DEMO: 'false',
    LOG_LEVEL: 'warn',
    DATABASE_URL: databaseUrl,
    QDRANT_URL: qdrantUrl,
    ...(qdrantKey !== undefined && { QDRANT_API_KEY: qdrantKey }),
    BULKHEAD_WRITER: `bench-${process.pid}-${Math.trunc(performance.now())}`,
    ...environment,
  });
  const store = await openStore(config);
  const core = await openCore(config, store.database, createLog({ level: config.logLevel }));
  return {
    core,
    close: async () => {
      await core.close();
      await store.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
