import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { createDevAdapter } from '../../src/dev/dev-adapter.ts';
import { Provider } from '../../src/dev/oidc-provider.ts';
import type { IssuerProfile } from '../../src/identity/issuer.ts';

export interface ServiceIssuer {
  readonly profile: IssuerProfile;
  /** As `nightly`, by client credentials and `private_key_jwt` (RFC 7523); the provider's answer. */
  readonly token: (options?: {
    readonly signedBy?: 'another';
  }) => Promise<{ status: number; access_token?: string }>;
  readonly close: () => Promise<void>;
}

/** oidc-provider with one client that proves itself with a key of its own. Its tokens are JWTs (RFC 9068). */
export async function startServiceIssuer(audience: string): Promise<ServiceIssuer> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const [own, client, another] = await Promise.all(
    [1, 2, 3].map(() => generateKeyPair('ES256', { extractable: true })),
  );
  if (own === undefined || client === undefined || another === undefined) throw new Error('no keys');
  const publicJwk = { ...(await exportJWK(client.publicKey)), kid: 'c', alg: 'ES256', use: 'sig' };
  const provider = new Provider(url, {
    adapter: createDevAdapter(),
    jwks: { keys: [{ ...(await exportJWK(own.privateKey)), kid: 'p', alg: 'ES256', use: 'sig' } as never] },
    clientDefaults: { id_token_signed_response_alg: 'ES256' },
    clients: [
      {
        client_id: 'nightly',
        redirect_uris: [],
        response_types: [],
        grant_types: ['client_credentials'],
        token_endpoint_auth_method: 'private_key_jwt',
        token_endpoint_auth_signing_alg: 'ES256',
        jwks: { keys: [publicJwk] },
      } as never,
    ],
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => audience,
        getResourceServerInfo: () => ({
          scope: '',
          audience,
          accessTokenTTL: 600,
          accessTokenFormat: 'jwt',
          jwt: { sign: { alg: 'ES256' } },
        }),
      },
    },
  });
  server.on('request', provider.callback());
  return {
    profile: {
      name: 'machines',
      tenant: 'meridian',
      issuer: url,
      jwksUri: `${url}/jwks`,
      audience,
      algorithms: ['ES256'],
      typ: ['at+jwt'],
      claims: { subject: 'sub', client: 'client_id', acr: 'acr', authTime: 'auth_time' },
      groupSource: 'directory',
      clockToleranceSeconds: 0,
    },
    token: async ({ signedBy } = {}) => {
      const assertion = await new SignJWT({ jti: crypto.randomUUID() })
        .setProtectedHeader({ alg: 'ES256', kid: 'c' })
        .setIssuer('nightly')
        .setSubject('nightly')
        .setAudience(url)
        .setIssuedAt()
        .setExpirationTime('1m')
        .sign((signedBy === undefined ? client : another).privateKey);
      const answer = await fetch(`${url}/token`, {
        method: 'POST',
        body: new URLSearchParams({
          grant_type: 'client_credentials',
          client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
          client_assertion: assertion,
        }),
      });
      return { status: answer.status, ...((await answer.json()) as object) };
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
