import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type CryptoKey, exportJWK, generateKeyPair, type JWK, SignJWT } from 'jose';
import type { IssuerProfile } from '../../src/identity/issuer.ts';

export const AUDIENCE = 'https://bulkhead.example/api';
/** 2026-11-21T09:00:00Z in seconds. */
export const NOW_SECONDS = Date.parse('2026-11-21T09:00:00Z') / 1000;

export interface SigningKey {
  readonly kid: string;
  readonly privateKey: CryptoKey;
  readonly publicJwk: JWK;
}

export async function newKey(kid: string): Promise<SigningKey> {
  const { privateKey, publicKey } = await generateKeyPair('ES256', { extractable: true });
  return { kid, privateKey, publicJwk: { ...(await exportJWK(publicKey)), kid, alg: 'ES256', use: 'sig' } };
}

/** A real key set endpoint on this machine, which counts what it is asked and can be made to fail. */
export class IssuerServer {
  readonly requests: string[] = [];
  failing = false;
  /** Instead of every answer, byte for byte. */
  garbage: string | undefined;
  /** Milliseconds before anything is answered. */
  delayMs = 0;
  published: SigningKey[] = [];
  /** What discovery says the issuer is, when not the truth. */
  discoveredIssuer: string | undefined;
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  static async start(): Promise<IssuerServer> {
    const server = createServer((request, response) => {
      const answer = issuer.answer(request.url ?? '');
      const text = issuer.garbage ?? JSON.stringify(answer ?? {});
      setTimeout(() => {
        response.writeHead(answer === undefined ? 500 : 200, { 'content-type': 'application/json' });
        response.end(text);
      }, issuer.delayMs);
    });
    const issuer = new IssuerServer(server);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return issuer;
  }

  private answer(path: string): unknown {
    this.requests.push(path);
    if (this.failing) return undefined;
    if (path === '/jwks') return { keys: this.published.map((key) => key.publicJwk) };
    if (path === '/.well-known/openid-configuration')
      return { issuer: this.discoveredIssuer ?? this.url, jwks_uri: `${this.url}/jwks` };
    return undefined;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  profile(changes: Partial<IssuerProfile> = {}): IssuerProfile {
    return {
      name: 'workforce',
      tenant: 'meridian',
      issuer: this.url,
      audience: AUDIENCE,
      algorithms: ['ES256'],
      typ: ['at+jwt'],
      jwksUri: `${this.url}/jwks`,
      claims: { subject: 'sub', client: 'client_id', groups: 'groups', acr: 'acr', authTime: 'auth_time' },
      groupSource: 'token',
      clockToleranceSeconds: 0,
      ...changes,
    };
  }

  claims(changes: Record<string, unknown> = {}): Record<string, unknown> {
    return {
      iss: this.url,
      aud: AUDIENCE,
      sub: 'anna.keller',
      client_id: 'bulkhead-page',
      iat: NOW_SECONDS - 60,
      exp: NOW_SECONDS + 600,
      acr: 'mfa',
      auth_time: NOW_SECONDS - 120,
      groups: ['hr', 'employees'],
      ...changes,
    };
  }

  /** A claim or header of `undefined` is left out. */
  sign(key: SigningKey, claims: Record<string, unknown> = {}, header: Record<string, unknown> = {}) {
    const protectedHeader = { alg: 'ES256', typ: 'at+jwt', kid: key.kid, ...header };
    return new SignJWT(this.claims(claims)).setProtectedHeader(protectedHeader).sign(key.privateKey);
  }

  close(): Promise<void> {
    return new Promise((resolve) => {
      this.#server.close(() => resolve());
      this.#server.closeAllConnections();
    });
  }
}

/** The compact form of any header and claims, signed by nobody. */
export function unsignedToken(header: unknown, claims: unknown, signature = ''): string {
  const encode = (part: unknown) => Buffer.from(JSON.stringify(part)).toString('base64url');
  return `${encode(header)}.${encode(claims)}.${signature}`;
}
