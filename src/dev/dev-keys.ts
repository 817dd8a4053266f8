import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { z } from 'zod';
import { BulkheadError } from '../errors.ts';
import { DEV_ISSUERS } from './load-directory.ts';

const keySchema = z.strictObject({
  kty: z.literal('EC'),
  crv: z.literal('P-256'),
  x: z.string(),
  y: z.string(),
  d: z.string(),
  kid: z.string().min(1),
  alg: z.literal('ES256'),
  use: z.literal('sig'),
});

const keysSchema = z.strictObject({
  cookieSecret: z.string().min(32),
  issuers: z.record(z.enum(DEV_ISSUERS), keySchema),
});

/** A private P-256 key as a JSON Web Key. */
export type DevKey = z.infer<typeof keySchema>;
export type DevKeys = z.infer<typeof keysSchema>;

/**
 * The signing keys of the development issuers, one each, so that a token of one never verifies as the other's.
 * Created on first use, readable by the owner only; kept, so that tokens outlive a restart.
 * @throws BulkheadError `config_invalid` when the file is there but is not ours
 */
export function loadDevKeys(file: string): DevKeys {
  if (!existsSync(file)) createKeysFile(file);
  try {
    return keysSchema.parse(JSON.parse(readFileSync(file, 'utf8')));
  } catch (cause) {
    throw new BulkheadError(
      'config_invalid',
      `The development keys in ${file} could not be read; delete the file to have new ones made.`,
      { cause },
    );
  }
}

function createKeysFile(file: string): void {
  const keys = {
    cookieSecret: randomBytes(32).toString('base64url'),
    issuers: Object.fromEntries(DEV_ISSUERS.map((name) => [name, createKey(name)])),
  };
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  writeFileSync(file, `${JSON.stringify(keys, undefined, 2)}\n`, { mode: 0o600, flag: 'wx' });
}

function createKey(name: string): Record<string, unknown> {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const kid = `${name}-${randomBytes(8).toString('hex')}`;
  return { ...privateKey.export({ format: 'jwk' }), kid, alg: 'ES256', use: 'sig' };
}

/** A `fetch` that answers these URLs with the public key and every other one as usual. */
export function keySetFetch(keys: ReadonlyMap<string, DevKey>): typeof fetch {
  return async (input, init) => {
    const key = keys.get(input instanceof Request ? input.url : String(input));
    if (key === undefined) return fetch(input, init);
    const { d: _private, ...publicKey } = key;
    return Response.json({ keys: [publicKey] });
  };
}
