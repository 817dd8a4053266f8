/** A real OpenID provider on a port of its own, whose people and troubles a test decides. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { exportJWK, generateKeyPair, type JWK, type JWTPayload, SignJWT } from 'jose';
import Provider, { type Configuration, interactionPolicy } from 'oidc-provider';

type Context = Parameters<Parameters<Provider['use']>[0]>[0];

import type { IssuerProfile } from '../../src/identity/issuer.ts';

export const RESOURCE = 'https://bulkhead.example/api';
export const CLIENT = 'bulkhead';
const LOGOUT_EVENT = 'http://schemas.openid.net/event/backchannel-logout';

type Trouble = 'down' | 'slow' | 'garbage';

export class BrowserProvider {
  /** Who signs in next, without being asked. */
  account = 'anna';
  acr = 'pwd';
  /** Seconds. */
  accessTokenLifetime = 300;
  refreshes = 0;
  /** Requests to the token endpoint, whatever came of them. */
  tokenRequests = 0;
  /** Refresh tokens are good for nothing any more. */
  renewsNothing = false;
  /** Whose token a renewal gives, when not the same person's. */
  renewsAs: string | undefined;
  trouble: Trouble | undefined;
  /** What goes wrong at the token endpoint alone. */
  tokenTrouble: Trouble | undefined;
  /** Sign-ins asked for, as their query. */
  readonly asked: URLSearchParams[] = [];
  readonly name: string;
  #provider: Provider | undefined;
  readonly #server: Server;
  readonly #key: JWK;

  private constructor(name: string, server: Server, key: JWK) {
    this.name = name;
    this.#server = server;
    this.#key = key;
  }

  static async start(name = 'corp'): Promise<BrowserProvider> {
    const server = createServer((request, response) => void provider.#answer(request, response));
    const { privateKey } = await generateKeyPair('ES256', { extractable: true });
    const key = { ...(await exportJWK(privateKey)), kid: `${name}-1`, alg: 'ES256', use: 'sig' };
    const provider = new BrowserProvider(name, server, key);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return provider;
  }

  /** @param appUrl of the service that people sign in to @param namesItself whether it says so in its answers (RFC 9207) */
  serve(appUrl: string, { namesItself = true } = {}): void {
    const callbacks = [`${appUrl}/callback`, `${appUrl}/callback/${this.name}`];
    this.#provider = new Provider(this.url, this.#configuration(appUrl, callbacks));
    this.#provider.use(async (context, next) => {
      if (context.path === '/auth') this.asked.push(new URLSearchParams(context.querystring));
      await next();
      if (!namesItself) withoutName(context);
    });
    this.#provider.on('grant.success', (context) => {
      if (context.oidc.params?.grant_type === 'refresh_token') this.refreshes += 1;
    });
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  profile(changes: Partial<IssuerProfile> = {}): IssuerProfile {
    return {
      name: this.name,
      tenant: 'meridian',
      issuer: this.url,
      audience: RESOURCE,
      algorithms: ['ES256'],
      typ: ['at+jwt'],
      claims: { subject: 'sub', client: 'client_id', session: 'sid', acr: 'acr', authTime: 'auth_time' },
      groupSource: 'directory',
      clockToleranceSeconds: 0,
      ...changes,
    };
  }

  /** A logout token as the specification has it, but for what is changed; `undefined` leaves a claim out. */
  logoutToken(claims: JWTPayload, header: Record<string, unknown> = {}): Promise<string> {
    const now = Math.floor(Date.now() / 1000);
    return this.sign(
      {
        iss: this.url,
        aud: CLIENT,
        iat: now,
        exp: now + 120,
        jti: crypto.randomUUID(),
        events: { [LOGOUT_EVENT]: {} },
        ...claims,
      },
      { typ: 'logout+jwt', ...header },
    );
  }

  /** Signed with the provider's own key. */
  sign(claims: JWTPayload, header: Record<string, unknown> = {}): Promise<string> {
    return new SignJWT(claims)
      .setProtectedHeader({ alg: 'ES256', kid: this.#key.kid ?? '', ...header })
      .sign(this.#key);
  }

  close(): Promise<void> {
    return new Promise((resolve) => {
      this.#server.close(() => resolve());
      this.#server.closeAllConnections();
    });
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const isToken = request.url?.startsWith('/token') === true;
    if (isToken) this.tokenRequests += 1;
    const trouble = this.trouble ?? (isToken ? this.tokenTrouble : undefined);
    if (trouble === 'slow') return;
    if (trouble === 'down') return void request.socket.destroy();
    if (trouble === 'garbage') {
      response.writeHead(200, { 'content-type': 'text/html' }).end('<h1>It works!</h1>');
      return;
    }
    const provider = this.#provider;
    if (provider === undefined) return void response.writeHead(503).end();
    if (isToken && this.renewsNothing) {
      response.writeHead(400, { 'content-type': 'application/json' }).end('{"error":"invalid_grant"}');
      return;
    }
    if (request.url?.startsWith('/interaction/') === true) {
      const login = { accountId: this.account, acr: this.acr, ts: Math.floor(Date.now() / 1000) };
      await provider.interactionFinished(request, response, { login });
      return;
    }
    await provider.callback()(request, response);
  }

  #configuration(appUrl: string, callbacks: string[]): Configuration {
    const policy = interactionPolicy.base();
    policy.remove('consent');
    return {
      jwks: { keys: [{ ...this.#key } as never] },
      clients: [
        {
          client_id: CLIENT,
          token_endpoint_auth_method: 'none',
          redirect_uris: callbacks,
          post_logout_redirect_uris: [`${appUrl}/signed-out`],
          grant_types: ['authorization_code', 'refresh_token'],
          response_types: ['code'],
          id_token_signed_response_alg: 'ES256',
          backchannel_logout_uri: `${appUrl}/backchannel-logout/${this.name}`,
          backchannel_logout_session_required: true,
        },
      ],
      clientDefaults: { id_token_signed_response_alg: 'ES256' },
      responseTypes: ['code'],
      pkce: { required: () => true },
      scopes: ['openid', 'offline_access'],
      acrValues: ['pwd', 'mfa'],
      claims: { iss: null, sid: null, acr: null, auth_time: null, openid: ['sub'] },
      cookies: { keys: ['test'], names: namesOf(this.name) },
      // its own refuses addresses of this machine
      fetch: (url, { method, headers, body } = {}) =>
        fetch(url, { ...(method && { method }), ...(headers && { headers }), ...(body && { body }) }),
      issueRefreshToken: async () => true,
      rotateRefreshToken: true,
      formats: {
        customizers: {
          jwt: (_context, _token, parts) => {
            if (this.renewsAs !== undefined) Object.assign(parts.payload, { sub: this.renewsAs });
          },
        },
      },
      ttl: {
        AccessToken: () => this.accessTokenLifetime,
        AuthorizationCode: 60,
        IdToken: 600,
        Interaction: 600,
        Session: 3600,
        Grant: 3600,
        RefreshToken: 3600,
      },
      features: {
        devInteractions: { enabled: false },
        dPoP: { enabled: false },
        userinfo: { enabled: false },
        backchannelLogout: { enabled: true },
        rpInitiatedLogout: {
          enabled: true,
          // the person says yes at once
          logoutSource: async (context, form) => {
            context.type = 'html';
            context.body = form.replace('</form>', '<input name="logout" value="yes"></form>');
          },
        },
        resourceIndicators: {
          enabled: true,
          defaultResource: () => RESOURCE,
          useGrantedResource: () => true,
          getResourceServerInfo: () => ({
            scope: '',
            audience: RESOURCE,
            accessTokenFormat: 'jwt',
            accessTokenTTL: this.accessTokenLifetime,
            jwt: { sign: { alg: 'ES256' } },
          }),
        },
      },
      interactions: { policy, url: (_, interaction) => `/interaction/${interaction.uid}` },
      findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
      loadExistingGrant: async ({ oidc: { provider, session, client } }) => {
        if (client === undefined || session?.accountId === undefined) return undefined;
        const grant = new provider.Grant({ accountId: session.accountId, clientId: client.clientId });
        grant.addOIDCScope('openid offline_access');
        grant.addResourceScope(RESOURCE, '');
        await grant.save();
        return grant;
      },
      extraTokenClaims: (context) => {
        const source = context.oidc.entities.AuthorizationCode ?? context.oidc.entities.RefreshToken;
        const { acr, authTime: auth_time, sid } = source ?? {};
        return { acr, auth_time, sid };
      },
    };
  }
}

/** As a provider that was made before RFC 9207. */
function withoutName(context: Context): void {
  if (context.path === '/.well-known/openid-configuration')
    Object.assign(context.body as object, { authorization_response_iss_parameter_supported: undefined });
  const location = context.response.get('location');
  if (location === '') return;
  const url = new URL(location, 'http://localhost');
  url.searchParams.delete('iss');
  if (url.origin !== 'http://localhost') context.set('location', url.href);
}

/** Cookies know no ports: two providers of one host keep theirs apart by name. */
function namesOf(name: string) {
  return { session: `${name}_session`, interaction: `${name}_interaction`, resume: `${name}_resume` };
}
