/** A transmitter of security events beside the test application: its key, its key set, and what it pushes. */
import { type CryptoKey, decodeJwt, exportJWK, generateKeyPair, type JWTPayload, SignJWT } from 'jose';
import { receiverOf } from '../../src/assembly/signal-service.ts';
import type { Services } from '../../src/http/services.ts';
import { createSecurityEventVerifier, type Transmitter } from '../../src/identity/security-events.ts';
import { TenantIds } from '../../src/store/tenant-ids.ts';
import { openTestApp, type TestApp, type TestAppChanges } from './app.ts';
import { serveKeys } from './key-set-server.ts';
import { TEST_SCHEME } from './tenant.ts';

export const CAEP = 'https://schemas.openid.net/secevent/caep/event-type/';
export const RISC = 'https://schemas.openid.net/secevent/risc/event-type/';
export const SSF = 'https://schemas.openid.net/secevent/ssf/event-type/';
const ISSUER = 'https://signals.example';
const AUDIENCE = 'https://bulkhead.example/security-events';
const BEARER = 'stream-secret';

export const seconds = () => Math.floor(Date.now() / 1000);

interface Pushed {
  readonly status: number;
  readonly headers: Headers;
  readonly json: unknown;
}

/** What the receiver believes of the transmitter, and by what clock. */
type Changes = Partial<Transmitter> & { readonly now?: () => number };

export class TestTransmitter {
  readonly issuer = ISSUER;
  readonly app: TestApp;
  /** URL of the issuer whose subjects it speaks of. */
  readonly workforce: string;
  readonly publicKey: CryptoKey;
  readonly #privateKey: CryptoKey;
  readonly #keysUrl: string;
  readonly #closeKeys: () => void;
  #receiver: Services['securityEvents'];
  #events = 0;

  private constructor(
    app: TestApp,
    workforce: string,
    keys: { privateKey: CryptoKey; publicKey: CryptoKey },
    keySet: { url: string; close: () => void },
  ) {
    this.app = app;
    this.workforce = workforce;
    this.publicKey = keys.publicKey;
    this.#privateKey = keys.privateKey;
    this.#keysUrl = keySet.url;
    this.#closeKeys = keySet.close;
    this.configure();
  }

  static async open(changes: TestAppChanges = {}): Promise<TestTransmitter> {
    const keys = await generateKeyPair('ES256', { extractable: true });
    const jwk = { ...(await exportJWK(keys.publicKey)), kid: 'one', alg: 'ES256', use: 'sig' };
    const keySet = await serveKeys(200, { keys: [jwk] });
    let transmitter: TestTransmitter | undefined;
    const app = await openTestApp(
      (services) => ({
        ...services,
        securityEvents: {
          receive: async (delivery) => transmitter?.receive(delivery),
        },
      }),
      changes,
    );
    const workforce = String(decodeJwt(await app.token('petra')).iss);
    transmitter = new TestTransmitter(app, workforce, keys, keySet);
    return transmitter;
  }

  receive(delivery: Parameters<NonNullable<Services['securityEvents']>['receive']>[0]): Promise<void> {
    return this.#receiver?.receive(delivery) ?? Promise.reject(new Error('There is no receiver.'));
  }

  /** A receiver that has seen nothing yet, over the same database. */
  configure({ now = Date.now, ...changes }: Changes = {}): void {
    const { database, log: audit } = this.app.store;
    const transmitter: Transmitter = {
      issuer: ISSUER,
      jwksUri: this.#keysUrl,
      audience: AUDIENCE,
      tenant: 'meridian',
      issuerName: 'workforce',
      issuerKind: 'oidc',
      subjectIssuer: this.workforce,
      algorithms: ['ES256'],
      bearer: BEARER,
      maxAgeSeconds: 86_400,
      ...changes,
    };
    const parts = {
      admin: { database, scheme: TEST_SCHEME, audit },
      tenants: new TenantIds(database, 'admin'),
    };
    this.#receiver = receiverOf(parts, createSecurityEventVerifier([transmitter], { now }), now);
  }

  user(account: string, iss = this.workforce): object {
    return { format: 'iss_sub', iss, sub: account };
  }

  claims(event: string, sub_id: object | undefined, changes: JWTPayload = {}): JWTPayload {
    this.#events += 1;
    return {
      iss: ISSUER,
      aud: AUDIENCE,
      iat: seconds(),
      jti: `event-${this.#events}`,
      ...(sub_id !== undefined && { sub_id }),
      events: { [event]: {} },
      ...changes,
    };
  }

  sign(payload: JWTPayload, header: object = {}, key: CryptoKey | Uint8Array = this.#privateKey) {
    const whole = { alg: 'ES256', kid: 'one', typ: 'secevent+jwt', ...header };
    return new SignJWT(payload).setProtectedHeader(whole).sign(key);
  }

  async push(body: string, headers: Readonly<Record<string, string>> = {}): Promise<Pushed> {
    const response = await fetch(`${this.app.url}/security-events`, {
      method: 'POST',
      body,
      headers: { 'content-type': 'application/secevent+jwt', authorization: `Bearer ${BEARER}`, ...headers },
    });
    const text = await response.text();
    return {
      status: response.status,
      headers: response.headers,
      json: text === '' ? undefined : JSON.parse(text),
    };
  }

  async send(payload: JWTPayload): Promise<number> {
    return (await this.push(await this.sign(payload))).status;
  }

  async records(kind: string): Promise<readonly Record<string, unknown>[]> {
    const { json } = await this.app.ask('root', 'GET', `/v1/audit/records?kind=${kind}&limit=200`);
    return (json.records as { body: Record<string, unknown> }[]).map(({ body }) => body);
  }

  async recordsOf(kind: string, { jti }: JWTPayload): Promise<readonly Record<string, unknown>[]> {
    return (await this.records(kind)).filter((body) => body.jti === jti);
  }

  async revocations(): Promise<readonly Record<string, unknown>[]> {
    const { json } = await this.app.ask('root', 'GET', '/v1/revocations?limit=100');
    return json.revocations as Record<string, unknown>[];
  }

  async close(): Promise<void> {
    await this.app.close();
    this.#closeKeys();
  }
}
