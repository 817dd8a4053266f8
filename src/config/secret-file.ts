import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { BulkheadError } from '../errors.ts';

/**
 * Secrets are files, never values in a configuration that is shown and copied.
 * @param beside a file or folder name that a relative path starts from
 * @throws BulkheadError `config_invalid` when it cannot be read or is empty
 */
export function readSecret(path: string | undefined, beside = './.'): string | undefined {
  if (path === undefined) return undefined;
  const file = resolve(dirname(beside), path);
  let secret: string;
  try {
    secret = readFileSync(file, 'utf8').trim();
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new BulkheadError('config_invalid', `The secret file ${file} could not be read: ${why}.`, {
      cause: error,
    });
  }
  if (secret === '') throw new BulkheadError('config_invalid', `The secret file ${file} is empty.`);
  return secret;
}
