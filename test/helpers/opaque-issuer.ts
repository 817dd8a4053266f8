import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { exportJWK, exportPKCS8, generateKeyPair } from 'jose';
import type { Provider as OidcProvider } from 'oidc-provider';
import { createDevAdapter } from '../../src/dev/dev-adapter.ts';
import { Provider } from '../../src/dev/oidc-provider.ts';
import type { IntrospectionProfile, IssuerProfile } from '../../src/identity/issuer.ts';
import { AUDIENCE } from './identity-issuer.ts';

export interface OpaqueTokenOptions {
  readonly sub?: string;
  readonly aud?: string;
  readonly scope?: string;
  readonly seconds?: number;
  readonly jkt?: string;
}

/** oidc-provider with opaque access tokens, introspected by a client with a secret and one with a private key. */
export class OpaqueIssuer {
  readonly provider: OidcProvider;
  readonly privateKey: string;
  readonly asked: string[] = [];
  /** Answers instead of the provider. */
  instead: ((asked: number) => { status: number; body: string; delayMs?: number }) | undefined;
  readonly #server: Server;

  private constructor(provider: OidcProvider, server: Server, privateKey: string) {
    this.provider = provider;
    this.#server = server;
    this.privateKey = privateKey;
  }

  static async start(): Promise<OpaqueIssuer> {
    const pair = await generateKeyPair('ES256', { extractable: true });
    const publicJwk = { ...(await exportJWK(pair.publicKey)), kid: 'client-key', alg: 'ES256', use: 'sig' };
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const client = { redirect_uris: [], response_types: [], grant_types: ['client_credentials'] };
    const own = { ...(await exportJWK(pair.privateKey)), kid: 'provider-key', alg: 'ES256', use: 'sig' };
    const provider = new Provider(url, {
      adapter: createDevAdapter(),
      jwks: { keys: [own as never] },
      clientDefaults: { id_token_signed_response_alg: 'ES256' },
      clients: [
        { ...client, client_id: 'bulkhead', client_secret: 'a secret: with/odd+signs' },
        {
          ...client,
          client_id: 'bulkhead-key',
          token_endpoint_auth_method: 'private_key_jwt',
          token_endpoint_auth_signing_alg: 'ES256',
          jwks: { keys: [publicJwk] },
        },
        { ...client, client_id: 'page', client_secret: 'another secret' },
      ] as never,
      features: {
        introspection: { enabled: true, allowedPolicy: () => true },
        clientCredentials: { enabled: true },
        devInteractions: { enabled: false },
      },
    });
    const issuer = new OpaqueIssuer(provider, server, await exportPKCS8(pair.privateKey));
    const callback = provider.callback();
    server.on('request', (request, response) => {
      issuer.asked.push(request.url ?? '');
      const own = issuer.instead?.(issuer.asked.length);
      if (own === undefined) return void callback(request, response);
      setTimeout(() => {
        response.writeHead(own.status, { 'content-type': 'application/json' });
        response.end(own.body);
      }, own.delayMs ?? 0);
    });
    return issuer;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  get introspections(): number {
    return this.asked.filter((path) => path === '/token/introspection').length;
  }

  async token(options: OpaqueTokenOptions = {}): Promise<string> {
    const { sub = 'anna.keller', aud = AUDIENCE, scope = 'read', seconds = 600, jkt } = options;
    const client = await this.provider.Client.find('page');
    const { AccessToken } = this.provider;
    const token = new AccessToken({ accountId: sub, client, scope, gty: 'authorization_code' } as never);
    Object.assign(token, { aud, expiresIn: seconds, jkt });
    const { save } = token as unknown as { save: (seconds: number) => Promise<string> };
    return save.call(token, seconds);
  }

  profile(
    introspection: Partial<IntrospectionProfile> = {},
    changes: Partial<IssuerProfile> = {},
  ): IssuerProfile {
    return {
      name: 'opaque',
      tenant: 'meridian',
      issuer: this.url,
      audience: AUDIENCE,
      algorithms: ['ES256'],
      typ: ['at+jwt'],
      claims: { subject: 'sub', client: 'client_id', scope: 'scope', acr: 'acr', authTime: 'auth_time' },
      groupSource: 'directory',
      clockToleranceSeconds: 0,
      introspection: {
        clientId: 'bulkhead',
        clientSecret: 'a secret: with/odd+signs',
        cacheSeconds: 30,
        ...introspection,
      },
      ...changes,
    };
  }

  close(): Promise<void> {
    return new Promise((resolve) => {
      this.#server.close(() => resolve());
      this.#server.closeAllConnections();
    });
  }
}
