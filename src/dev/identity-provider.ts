import type { HttpBindings } from '@hono/node-server';
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response';
import { type Context, Hono } from 'hono';
import type { Provider as OidcProvider } from 'oidc-provider';
import { BulkheadError } from '../errors.ts';
import { DEV_CLIENT_ID, DEV_MOUNT, devIssuerUrl } from './access-token.ts';
import { keySetFetch, loadDevKeys } from './dev-keys.ts';
import { DEV_ISSUERS, type DevDirectory, type DevIssuerName } from './load-directory.ts';
import { type MintOptions, mintAccessToken } from './mint-token.ts';
import { Provider } from './oidc-provider.ts';
import { ACR_VALUES, type ProviderSetup, providerConfiguration } from './provider-configuration.ts';
import { messagePage, pagePolicy, signInPage } from './provider-pages.ts';

export interface DevIdentityProviderOptions {
  /** True refuses: a provider without passwords has no place there. */
  readonly production: boolean;
  readonly accounts: DevDirectory;
  /** Private keys, created on first use with mode 0600. */
  readonly keysFile: string;
  /** As the browser and the token verifier see this server, without a path: `http://127.0.0.1:7777`. */
  readonly baseUrl: string;
  /** Audience of the access tokens, an absolute URI (RFC 8707). */
  readonly resource: string;
  readonly clientRedirectUri: string;
  readonly postLogoutRedirectUri: string;
}

type Env = { Bindings: HttpBindings };

export interface DevIdentityProviders {
  readonly issuers: readonly {
    readonly name: DevIssuerName;
    readonly issuer: string;
    readonly jwksUri: string;
  }[];
  /** Answers for the key sets without a network, so that tokens verify before and without listening. */
  readonly fetch: typeof fetch;
  /** The client to sign in with; it is public. */
  readonly clientId: string;
  /** To be mounted at `/dev/idp`, in front of anything that reads request bodies. */
  readonly handle: Hono<Env>;
  mintToken(account: string, options: MintOptions): Promise<string>;
}

/**
 * An OpenID provider inside the process, for development: real protocol, real keys, no passwords.
 * @throws BulkheadError `development_only` in production, `config_invalid` for an unreadable keys file
 */
export function createDevIdentityProviders(options: DevIdentityProviderOptions): DevIdentityProviders {
  if (options.production)
    throw new BulkheadError(
      'development_only',
      'The development identity provider does not run in production.',
    );
  const keys = loadDevKeys(options.keysFile);
  const issuerUrl = (name: DevIssuerName) => devIssuerUrl(options.baseUrl, name);
  const handle = new Hono<Env>();

  for (const name of DEV_ISSUERS) {
    const setup: ProviderSetup = {
      name,
      users: options.accounts.users.filter((user) => user.issuer === name && user.status === 'active'),
      key: keys.issuers[name],
      cookieSecret: keys.cookieSecret,
      mountPath: `${DEV_MOUNT}/${name}`,
      resource: options.resource,
      clientRedirectUri: options.clientRedirectUri,
      postLogoutRedirectUri: options.postLogoutRedirectUri,
    };
    mountProvider(handle, setup, issuerUrl(name));
  }

  const mint = { directory: options.accounts, keys, issuerUrl, resource: options.resource };
  return {
    issuers: DEV_ISSUERS.map((name) => ({
      name,
      issuer: issuerUrl(name),
      jwksUri: `${issuerUrl(name)}/jwks`,
    })),
    fetch: keySetFetch(new Map(DEV_ISSUERS.map((name) => [`${issuerUrl(name)}/jwks`, keys.issuers[name]]))),
    clientId: DEV_CLIENT_ID,
    handle,
    mintToken: (account, mintOptions) => mintAccessToken(mint, account, mintOptions),
  };
}

function mountProvider(handle: Hono<Env>, setup: ProviderSetup, issuer: string): void {
  const provider = new Provider(issuer, providerConfiguration(setup));
  // Makes it build its URLs from the forwarded headers, which `passOn` sets: the Host header is anybody's.
  provider.proxy = true;
  const callback = provider.callback();
  handle.get(`/${setup.name}/interaction/:uid`, (c) => chooseAccount(c, provider, setup));
  handle.post(`/${setup.name}/interaction/:uid`, (c) => signInAs(c, provider, setup));
  handle.all(`/${setup.name}/*`, (c) => passOn(c, callback, setup, new URL(issuer)));
}

async function passOn(
  c: Context<Env>,
  callback: ReturnType<OidcProvider['callback']>,
  setup: ProviderSetup,
  issuer: URL,
) {
  const { incoming, outgoing } = c.env;
  const url = incoming.url ?? '';
  if (!url.startsWith(`${setup.mountPath}/`)) return c.notFound();
  incoming.headers['x-forwarded-host'] = issuer.host;
  incoming.headers['x-forwarded-proto'] = issuer.protocol.slice(0, -1);
  // oidc-provider finds the path it is mounted at by comparing the two.
  Object.assign(incoming, { originalUrl: url, url: url.slice(setup.mountPath.length) });
  await callback(incoming, outgoing);
  return RESPONSE_ALREADY_SENT;
}

async function chooseAccount(
  c: Context<Env>,
  provider: OidcProvider,
  setup: ProviderSetup,
): Promise<Response> {
  const interaction = await interactionOf(c, provider);
  if (interaction === undefined) return expired(c, setup);
  const page = await signInPage({
    issuer: setup.name,
    users: setup.users,
    acr: requestedAcr(interaction.params.acr_values),
    action: (account) => `?${new URLSearchParams({ account })}`,
  });
  return showPage(c, setup, page, 200);
}

async function signInAs(c: Context<Env>, provider: OidcProvider, setup: ProviderSetup): Promise<Response> {
  const interaction = await interactionOf(c, provider);
  const user = setup.users.find(({ account }) => account === c.req.query('account'));
  if (interaction === undefined || user === undefined) return expired(c, setup);
  const acr = requestedAcr(interaction.params.acr_values) ?? user.acr;
  const login = { accountId: user.account, acr };
  return c.redirect(await provider.interactionResult(c.env.incoming, c.env.outgoing, { login }), 303);
}

function interactionOf(c: Context<Env>, provider: OidcProvider) {
  // Found by its cookie, which is bound to the path; it throws when either is gone, which is ordinary after a while.
  return provider.interactionDetails(c.env.incoming, c.env.outgoing).catch(() => undefined);
}

function requestedAcr(acrValues: unknown): string | undefined {
  if (typeof acrValues !== 'string') return undefined;
  return acrValues.split(' ').find((acr) => ACR_VALUES.includes(acr));
}

async function expired(c: Context<Env>, setup: ProviderSetup): Promise<Response> {
  const page = await messagePage(
    'Please start again',
    'This sign-in has expired or was opened in another browser.',
  );
  return showPage(c, setup, page, 400);
}

function showPage(c: Context<Env>, setup: ProviderSetup, page: string, status: 200 | 400): Response {
  c.header('content-security-policy', pagePolicy(new URL(setup.clientRedirectUri).origin));
  c.header('cache-control', 'no-store');
  return c.html(page, status);
}
