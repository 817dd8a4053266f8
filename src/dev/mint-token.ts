import { randomBytes } from 'node:crypto';
import { importJWK, SignJWT } from 'jose';
import { BulkheadError } from '../errors.ts';
import { ACCESS_TOKEN_SECONDS, authenticationClaims, DEV_CLIENT_ID } from './access-token.ts';
import type { DevKeys } from './dev-keys.ts';
import type { DevDirectory, DevIssuerName, DevService, DevUser } from './load-directory.ts';

export interface MintOptions {
  /** Account of a service that acts for the account (RFC 8693 §4.1). */
  readonly actor?: string | undefined;
  /** Default: one hour. */
  readonly lifetimeSeconds?: number | undefined;
  /** Default: the account's own. */
  readonly acr?: string | undefined;
  /** Milliseconds since 1970. */
  readonly now: number;
}

interface Mint {
  readonly directory: DevDirectory;
  readonly keys: DevKeys;
  readonly issuerUrl: (name: DevIssuerName) => string;
  readonly resource: string;
}

/**
 * An access token as the provider itself would issue it, without a browser: same key, header and claims. Leavers
 * can have one too: theirs is a token issued before they left.
 * @param account `anna.keller`, or `workforce|anna.keller` where two issuers have the account
 * @throws BulkheadError `subject_unknown` for an account, `unknown_principal` for an actor, not in the directory
 */
export async function mintAccessToken(mint: Mint, account: string, options: MintOptions): Promise<string> {
  const { directory, keys, issuerUrl, resource } = mint;
  const who = findOne([...directory.users, ...directory.services], account);
  if (options.actor !== undefined) checkActor(directory, options.actor, who.issuer);
  const isService = 'kind' in who;
  const now = Math.floor(options.now / 1000);
  const key = keys.issuers[who.issuer];
  const claims = {
    ...authenticationClaims(options.acr ?? (isService ? undefined : who.acr), isService ? undefined : now),
    ...(options.actor === undefined ? {} : { act: { sub: options.actor } }),
    jti: randomBytes(16).toString('base64url'),
    sub: who.account,
    iat: now,
    exp: now + (options.lifetimeSeconds ?? ACCESS_TOKEN_SECONDS),
    client_id: isService ? who.account : (options.actor ?? DEV_CLIENT_ID),
    iss: issuerUrl(who.issuer),
    aud: resource,
  };
  return new SignJWT(claims)
    .setProtectedHeader({ alg: key.alg, typ: 'at+jwt', kid: key.kid })
    .sign(await importJWK(key, key.alg));
}

function findOne(accounts: readonly (DevUser | DevService)[], wanted: string): DevUser | DevService {
  const found = accounts.filter(
    ({ account, issuer }) => wanted === account || wanted === `${issuer}|${account}`,
  );
  const [only] = found;
  if (only !== undefined && found.length === 1) return only;
  if (only === undefined)
    throw new BulkheadError(
      'subject_unknown',
      `There is no account "${wanted}" in the development directory.`,
    );
  const choices = found.map(({ issuer, account }) => `"${issuer}|${account}"`).join(' or ');
  throw new BulkheadError('subject_unknown', `Two issuers have this account; say ${choices}.`);
}

function checkActor(directory: DevDirectory, actor: string, issuer: DevIssuerName): void {
  if (directory.services.some((service) => service.account === actor && service.issuer === issuer)) return;
  throw new BulkheadError(
    'unknown_principal',
    `There is no service account "${actor}" of the issuer ${issuer}.`,
  );
}
