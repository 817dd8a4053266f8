/** Access tokens for scripts and the command line, without a server and without a browser. */
import { devIssuerUrl } from './access-token.ts';
import { DEMO_DIRECTORY } from './company.ts';
import { loadDevKeys } from './dev-keys.ts';
import { type DevIssuerName, loadDirectory } from './load-directory.ts';
import { type MintOptions, mintAccessToken } from './mint-token.ts';

export interface AccountTokensOptions {
  readonly keysFile: string;
  /** Of the server that is to accept the token: it is in the token's `iss`. */
  readonly baseUrl: string;
  readonly resource: string;
}

/** An account of the development directory. */
export interface ListedAccount {
  readonly account: string;
  readonly issuer: string;
  readonly name: string;
  /** A person's title, or what kind of service it is. */
  readonly title: string;
}

/**
 * The token of an account, by the keys in the data folder.
 * @throws BulkheadError `subject_unknown`, `unknown_principal` for an actor, `config_invalid`
 */
export async function accountToken(
  { keysFile, baseUrl, resource }: AccountTokensOptions,
  account: string,
  options: MintOptions,
): Promise<string> {
  const directory = await loadDirectory(DEMO_DIRECTORY);
  const keys = loadDevKeys(keysFile);
  const mint = { directory, keys, resource, issuerUrl: (name: DevIssuerName) => devIssuerUrl(baseUrl, name) };
  return mintAccessToken(mint, account, options);
}

/** Everybody a token can be had for: people first, as the directory has them. */
export async function listAccounts(): Promise<readonly ListedAccount[]> {
  const { users, services } = await loadDirectory(DEMO_DIRECTORY);
  return [
    ...users.map(({ account, issuer, name, title, status }) => ({
      account,
      issuer,
      name,
      title: status === 'left' ? `${title} (left)` : title,
    })),
    ...services.map(({ account, issuer, name = account, kind }) => ({ account, issuer, name, title: kind })),
  ];
}
