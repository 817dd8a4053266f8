/** Tokens as oidc-provider issues them, fetched and sent by openid-client: nothing here was written for Bulkhead. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { getRequestListener } from '@hono/node-server';
import { Hono } from 'hono';
import { createRemoteJWKSet, exportJWK, generateKeyPair, jwtVerify } from 'jose';
import type { Configuration, Provider as OidcProvider } from 'oidc-provider';
import * as client from 'openid-client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createDevAdapter } from '../../src/dev/dev-adapter.ts';
import { Provider } from '../../src/dev/oidc-provider.ts';
import { isBulkheadError } from '../../src/errors.ts';
import { presentedCredentials, toIdentity } from '../../src/http/authenticate.ts';
import type { Env } from '../../src/http/env.ts';
import { problemResponse } from '../../src/http/problem.ts';
import { createAuthenticator } from '../../src/identity/authenticate-credentials.ts';
import { MemoryReplayStore } from '../../src/identity/replay-store.ts';
import { createTokenVerifier } from '../../src/identity/verify-token.ts';
import { AUDIENCE } from '../helpers/identity-issuer.ts';

type AddedClaims = NonNullable<Configuration['extraTokenClaims']>;

const EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';
const SUBJECT_TYPE = 'urn:ietf:params:oauth:token-type:access_token';

let idp: Server;
let api: Server;
let provider: OidcProvider;
let agent: client.Configuration;

const urlOf = (server: Server) => `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
const listening = (server: Server) => new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));

beforeAll(async () => {
  idp = createServer();
  await listening(idp);
  const [own, service] = await Promise.all(
    ['provider-key', 'agent-key'].map(() => generateKeyPair('ES256', { extractable: true })),
  );
  if (own === undefined || service === undefined) throw new Error('There are no keys.');
  const jwk = (key: object, kid: string) => ({ ...key, kid, alg: 'ES256', use: 'sig' });
  provider = new Provider(urlOf(idp), {
    adapter: createDevAdapter(),
    jwks: { keys: [jwk(await exportJWK(own.privateKey), 'provider-key') as never] },
    clientDefaults: { id_token_signed_response_alg: 'ES256' },
    clients: [
      {
        client_id: 'agent',
        token_endpoint_auth_method: 'private_key_jwt',
        token_endpoint_auth_signing_alg: 'ES256',
        jwks: { keys: [jwk(await exportJWK(service.publicKey), 'agent-key') as never] },
        grant_types: ['client_credentials', EXCHANGE],
        redirect_uris: [],
        response_types: [],
      },
    ],
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      dPoP: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => AUDIENCE,
        getResourceServerInfo: () => ({
          scope: 'read',
          audience: AUDIENCE,
          accessTokenFormat: 'jwt',
          jwt: { sign: { alg: 'ES256' } },
        }),
      },
    },
    ttl: { AccessToken: 600, ClientCredentials: 600 },
    // outside of a request there is no context, whatever its type says
    extraTokenClaims: (context: Parameters<AddedClaims>[0] | undefined, token) =>
      context?.oidc.params?.grant_type === EXCHANGE ? { act: { sub: token.clientId } } : {},
  });
  exchangeTokens();
  idp.on('request', provider.callback());
  api = createServer(getRequestListener(apiOf().fetch));
  await listening(api);
  const authentication = client.PrivateKeyJwt({ key: service.privateKey, kid: 'agent-key' });
  agent = await client.discovery(new URL(urlOf(idp)), 'agent', undefined, authentication, {
    execute: [client.allowInsecureRequests],
  });
});

afterAll(() => {
  for (const server of [idp, api]) {
    server.close();
    server.closeAllConnections();
  }
});

/** RFC 8693, which oidc-provider leaves to whoever runs it: the subject token is one of its own. */
function exchangeTokens(): void {
  const keys = createRemoteJWKSet(new URL(`${urlOf(idp)}/jwks`));
  provider.registerGrantType(
    EXCHANGE,
    async (context) => {
      const { client: requester, params } = context.oidc;
      const { subject_token: subject } = params as { subject_token?: string };
      const { payload } = await jwtVerify(subject ?? '', keys, { issuer: urlOf(idp), audience: AUDIENCE });
      const token = await userToken(payload.sub ?? '', requester);
      context.body = {
        access_token: token,
        issued_token_type: SUBJECT_TYPE,
        token_type: 'Bearer',
        expires_in: 60,
      };
    },
    ['subject_token', 'subject_token_type', 'audience', 'resource'],
  );
}

/** As the code flow ends, without a browser. */
async function userToken(sub: string, requester?: unknown): Promise<string> {
  const { AccessToken, ResourceServer, Client } = provider;
  const issuedTo = requester ?? (await Client.find('agent'));
  const token = new AccessToken({ accountId: sub, client: issuedTo, gty: 'authorization_code' } as never);
  const info = {
    scope: 'read',
    audience: AUDIENCE,
    accessTokenFormat: 'jwt',
    jwt: { sign: { alg: 'ES256' } },
  };
  token.resourceServer = new ResourceServer(AUDIENCE, info as never);
  return token.save();
}

function apiOf(): Hono<Env> {
  const profile = {
    name: 'op',
    tenant: 'meridian',
    issuer: urlOf(idp),
    audience: AUDIENCE,
    algorithms: ['ES256'],
    typ: ['at+jwt'],
    claims: { subject: 'sub', client: 'client_id', acr: 'acr', authTime: 'auth_time' },
    groupSource: 'directory',
    clockToleranceSeconds: 0,
  } as const;
  const tokens = createTokenVerifier([profile], { now: Date.now });
  const authenticator = createAuthenticator({ tokens, replays: new MemoryReplayStore(), now: Date.now });
  const app = new Hono<Env>();
  app.all('*', async (c) => {
    const presented = presentedCredentials(c, new URL(urlOf(api)));
    return c.json(toIdentity(await authenticator.authenticate(presented)));
  });
  app.onError((error) => {
    if (!isBulkheadError(error)) throw error;
    return problemResponse(error, 'r', { dpopAlgorithms: ['ES256'] });
  });
  return app;
}

const address = () => new URL('/v1/retrieve?why=not', urlOf(api));
const ask = (headers: Record<string, string>) => fetch(address(), { method: 'POST', headers });

describe('a service', () => {
  it('gets a token by private_key_jwt, and is known by it', async () => {
    const { access_token: token } = await client.clientCredentialsGrant(agent, { resource: AUDIENCE });
    const answer = await client.fetchProtectedResource(agent, token, address(), 'POST');
    expect(await answer.json()).toMatchObject({ user: 'service:op|agent', tokenGroups: [] });
  });

  it('that asked for a bound token proves its key with each request', async () => {
    const handle = client.getDPoPHandle(agent, await client.randomDPoPKeyPair('ES256'));
    const tokens = await client.clientCredentialsGrant(agent, { resource: AUDIENCE }, { DPoP: handle });
    expect(tokens.token_type).toBe('dpop');
    const send = (DPoP: client.DPoPHandle) =>
      client.fetchProtectedResource(agent, tokens.access_token, address(), 'POST', null, undefined, { DPoP });
    for (let i = 0; i < 3; i++) expect((await send(handle)).status).toBe(200);
    const thief = client.getDPoPHandle(agent, await client.randomDPoPKeyPair('ES256'));
    await expect(send(thief)).rejects.toThrow();
    const refused = await ask({ authorization: `Bearer ${tokens.access_token}` });
    expect(refused.status).toBe(401);
    expect(refused.headers.get('www-authenticate')).toMatch(/DPoP .*algs="ES256"/);
  });

  it('that exchanged a user’s token acts for the user, and both are named', async () => {
    const subject = await userToken('anna');
    const exchanged = await client.genericGrantRequest(agent, EXCHANGE, {
      subject_token: subject,
      subject_token_type: SUBJECT_TYPE,
      resource: AUDIENCE,
    });
    const answer = await ask({ authorization: `Bearer ${exchanged.access_token}` });
    expect(await answer.json()).toMatchObject({ user: 'user:op|anna', actor: 'service:op|agent' });
  });

  it('that sends its own token beside the user’s acts for the user too', async () => {
    const { access_token: own } = await client.clientCredentialsGrant(agent, { resource: AUDIENCE });
    const user = await userToken('anna');
    const answer = await ask({ authorization: `Bearer ${user}`, 'actor-authorization': `Bearer ${own}` });
    expect(await answer.json()).toMatchObject({ user: 'user:op|anna', actor: 'service:op|agent' });
    const turned = await ask({ authorization: `Bearer ${own}`, 'actor-authorization': `Bearer ${user}` });
    expect(turned.status).toBe(401);
  });
});
