import { join } from 'node:path';
import type { Config } from '../config/config.ts';
import { describeSpace, type Embedder, openEmbedder } from '../embed/embedder.ts';
import { type Log, summarizeError } from '../telemetry/log.ts';
import { does } from './roles.ts';

/**
 * The embedding model with the workers that the role has use for: one for questions where they are answered, the
 * others where passages are embedded.
 * @throws BulkheadError as `openEmbedder` does
 */
export function openModel(config: Config, log: Log): Promise<Embedder> {
  const { role, ingestWorkers } = config;
  return openEmbedder({
    manifestPath: config.modelManifest,
    cacheFolder: join(config.dataFolder, 'models'),
    onWorkerFailure: (error) => log.error({ error: summarizeError(error) }, 'embedding worker failed'),
    queryWorkers: does(role, 'retrieve') ? 1 : 0,
    ...(role === 'retrieve' ? { ingestWorkers: 0 } : ingestWorkers !== undefined && { ingestWorkers }),
  });
}

/** The vector space of the configured model, whether or not this process has loaded it. */
export async function spaceOf({
  embedder,
  config,
}: {
  readonly embedder: Embedder | undefined;
  readonly config: Config;
}): Promise<Pick<Embedder, 'fingerprint' | 'dimension' | 'name'>> {
  return embedder ?? describeSpace(config.modelManifest);
}
