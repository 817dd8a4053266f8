/** Who a command acts as. */
import { DEVELOPMENT_AUDIENCE, developmentKeysFile } from '../assembly/development.ts';
import type { Config } from '../config/config.ts';
import { BulkheadError } from '../errors.ts';
import { RefusedError } from './problem.ts';

export interface TokenRequest {
  readonly account: string;
  readonly actor?: string | undefined;
  readonly acr?: string | undefined;
  readonly lifetimeSeconds?: number | undefined;
}

/**
 * The bearer token of a command: of the development account it is to act as, or else the one that was given.
 * @param account of `--as`; before BULKHEAD_AS, which comes before BULKHEAD_TOKEN
 * @param baseUrl asks the server for the address that is in its tokens
 */
export async function bearerOf(
  config: Config,
  account: string | undefined,
  baseUrl: () => Promise<string>,
): Promise<string> {
  const actAs = account ?? (config.demo ? config.actAs : undefined);
  if (actAs !== undefined) {
    requireDevelopment(config);
    return developmentToken(config, { account: actAs }, await baseUrl());
  }
  if (config.token !== undefined) return config.token;
  throw new RefusedError(
    'missing_token',
    config.demo
      ? 'Say who you are: --as <account> or BULKHEAD_AS (bulkhead token --list has the accounts), or BULKHEAD_TOKEN.'
      : 'Say who you are: put an access token of your identity provider into BULKHEAD_TOKEN.',
  );
}

/** @throws BulkheadError `subject_unknown`, `unknown_principal` */
export async function developmentToken(
  config: Config,
  request: TokenRequest,
  baseUrl: string,
): Promise<string> {
  const { accountToken } = await import('../dev/account-tokens.ts');
  const { account, ...options } = request;
  const keys = { keysFile: developmentKeysFile(config), baseUrl, resource: DEVELOPMENT_AUDIENCE };
  return accountToken(keys, account, { ...options, now: Date.now() });
}

/** @throws BulkheadError `development_only` */
export function requireDevelopment({ production, demo }: Config): void {
  if (demo) return;
  throw new BulkheadError(
    'development_only',
    production
      ? 'Development accounts do not exist in production (NODE_ENV). Put a token of your identity provider into BULKHEAD_TOKEN.'
      : 'Development accounts exist in the demo only, which BULKHEAD_CONFIG and BULKHEAD_DEMO=false turn off. Put a token of your identity provider into BULKHEAD_TOKEN.',
  );
}
