/** What the server and the command line must agree on about the development identity provider. */
import { join } from 'node:path';
import type { Config } from '../config/config.ts';

export const DEVELOPMENT_AUDIENCE = 'urn:bulkhead:api';

/** Where its private keys are. */
export function developmentKeysFile({ dataFolder }: Config): string {
  return join(dataFolder, 'development-keys.json');
}
