import type { Configuration, KoaContextWithOIDC, interactionPolicy as policies } from 'oidc-provider';
import { ACCESS_TOKEN_SECONDS, authenticationClaims, DEV_CLIENT_ID } from './access-token.ts';
import { createDevAdapter } from './dev-adapter.ts';
import type { DevKey } from './dev-keys.ts';
import type { DevUser } from './load-directory.ts';
import { interactionPolicy } from './oidc-provider.ts';
import { messagePage, pagePolicy, signOutPage } from './provider-pages.ts';

export const ACR_VALUES = ['pwd', 'mfa'];
const SESSION_SECONDS = 8 * 3600;
const INTERACTION_SECONDS = 600;

export interface ProviderSetup {
  readonly name: string;
  /** Accounts that may sign in. */
  readonly users: readonly DevUser[];
  readonly key: DevKey;
  readonly cookieSecret: string;
  readonly mountPath: string;
  readonly resource: string;
  readonly clientRedirectUri: string;
  readonly postLogoutRedirectUri: string;
}

/** oidc-provider as Bulkhead's sign-in needs it: code flow with PKCE only, JWT access tokens, no consent. */
export function providerConfiguration(setup: ProviderSetup): Configuration {
  return {
    adapter: createDevAdapter(),
    jwks: { keys: [{ ...setup.key }] },
    clients: [
      {
        client_id: DEV_CLIENT_ID,
        token_endpoint_auth_method: 'none',
        redirect_uris: [setup.clientRedirectUri],
        post_logout_redirect_uris: [setup.postLogoutRedirectUri],
        grant_types: ['authorization_code'],
        response_types: ['code'],
        id_token_signed_response_alg: 'ES256',
      },
    ],
    clientDefaults: { id_token_signed_response_alg: 'ES256' },
    responseTypes: ['code'],
    pkce: { required: () => true },
    scopes: ['openid'],
    acrValues: ACR_VALUES,
    claims: { iss: null, sid: null, openid: ['sub', 'name', 'email', 'acr', 'auth_time'] },
    ttl: {
      AccessToken: ACCESS_TOKEN_SECONDS,
      AuthorizationCode: 60,
      IdToken: ACCESS_TOKEN_SECONDS,
      Interaction: INTERACTION_SECONDS,
      Session: SESSION_SECONDS,
      Grant: SESSION_SECONDS,
    },
    cookies: cookies(setup),
    features: features(setup),
    interactions: {
      policy: withoutConsent(),
      url: (_, interaction) => `${setup.mountPath}/interaction/${interaction.uid}`,
    },
    findAccount: (_, id) => findAccount(setup.users, id),
    loadExistingGrant: (context) => grantWithoutConsent(context, setup.resource),
    extraTokenClaims: (context) => {
      const code = context.oidc.entities.AuthorizationCode;
      return authenticationClaims(code?.acr, code?.authTime);
    },
    renderError: async (context, out) =>
      showPage(context, setup, await messagePage('The sign-in failed', out.error_description ?? out.error)),
  };
}

/** Two providers on one host: cookies of the same name would overwrite each other. */
function cookies(setup: ProviderSetup): Configuration['cookies'] {
  const name = (kind: string) => `dev_${setup.name}_${kind}`;
  return {
    keys: [setup.cookieSecret],
    names: { session: name('session'), interaction: name('interaction'), resume: name('resume') },
  };
}

function features(setup: ProviderSetup): Configuration['features'] {
  return {
    devInteractions: { enabled: false },
    dPoP: { enabled: false },
    pushedAuthorizationRequests: { enabled: false },
    userinfo: { enabled: false },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => setup.resource,
      useGrantedResource: () => true,
      getResourceServerInfo: () => ({
        scope: '',
        audience: setup.resource,
        accessTokenFormat: 'jwt',
        accessTokenTTL: ACCESS_TOKEN_SECONDS,
        jwt: { sign: { alg: 'ES256' } },
      }),
    },
    rpInitiatedLogout: {
      enabled: true,
      logoutSource: async (context, form) => showPage(context, setup, await signOutPage(form)),
      postLogoutSuccessSource: async (context) =>
        showPage(context, setup, await messagePage('Signed out', 'You may close this page.')),
    },
  };
}

function withoutConsent(): policies.DefaultPolicy {
  const policy = interactionPolicy.base();
  policy.remove('consent');
  return policy;
}

/** Nobody is asked for consent to their own company's page: the grant is made on the spot. */
async function grantWithoutConsent(context: KoaContextWithOIDC, resource: string) {
  const { provider, session, client } = context.oidc;
  if (client === undefined || session?.accountId === undefined) return undefined;
  const held = session.grantIdFor(client.clientId);
  const existing = held === undefined ? undefined : await provider.Grant.find(held);
  if (existing !== undefined) return existing;
  const grant = new provider.Grant({ accountId: session.accountId, clientId: client.clientId });
  grant.addOIDCScope('openid');
  grant.addResourceScope(resource, '');
  await grant.save();
  return grant;
}

function findAccount(users: readonly DevUser[], id: string) {
  const user = users.find(({ account }) => account === id);
  if (user === undefined) return undefined;
  return { accountId: id, claims: () => ({ sub: id, name: user.name, email: user.email }) };
}

function showPage(context: KoaContextWithOIDC, setup: ProviderSetup, page: string): void {
  context.set('content-security-policy', pagePolicy(new URL(setup.clientRedirectUri).origin));
  context.type = 'html';
  context.body = page;
}
