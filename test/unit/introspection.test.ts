import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { IntrospectionProfile, IssuerProfile } from '../../src/identity/issuer.ts';
import { createTokenVerifier, type TokenVerifier } from '../../src/identity/verify-token.ts';
import { AUDIENCE } from '../helpers/identity-issuer.ts';
import { OpaqueIssuer } from '../helpers/opaque-issuer.ts';

let issuer: OpaqueIssuer;
let ahead: number;
let verifier: TokenVerifier;

beforeEach(async () => {
  issuer = await OpaqueIssuer.start();
  ahead = 0;
  verifier = verifierWith();
});

afterEach(() => issuer.close());

function verifierWith(
  introspection: Partial<IntrospectionProfile> = {},
  changes: Partial<IssuerProfile> = {},
): TokenVerifier {
  return createTokenVerifier([issuer.profile(introspection, changes)], { now: () => Date.now() + ahead });
}

const refused = (detail: RegExp) => ({ code: 'invalid_token', detail: expect.stringMatching(detail) });
const unavailable = { code: 'identity_unavailable', status: 503, retryAfterSeconds: expect.any(Number) };

/** What a server says that is not the provider. */
function answering(body: Record<string, unknown> | string, status = 200) {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  const discovery = JSON.stringify({
    issuer: issuer.url,
    introspection_endpoint: `${issuer.url}/token/introspection`,
  });
  issuer.instead = () =>
    issuer.asked.at(-1)?.includes('well-known') ? { status: 200, body: discovery } : { status, body: text };
}

function active(changes: Record<string, unknown> = {}): Record<string, unknown> {
  const now = Math.floor(Date.now() / 1000);
  const times = { iat: now - 10, exp: now + 600 };
  const who = { sub: 'anna.keller', client_id: 'page', iss: issuer.url, aud: AUDIENCE };
  return { active: true, token_type: 'Bearer', ...who, ...times, ...changes };
}

describe('an opaque token', () => {
  it('is its issuer’s to say whose it is', async () => {
    const caller = await verifier.verify(await issuer.token());
    expect(caller).toMatchObject({ issuer: 'opaque', tenant: 'meridian', kind: 'user', id: 'anna.keller' });
    expect(caller.revocable?.map(({ kind, id }) => `${kind} ${id}`)).toEqual([
      'user opaque|anna.keller',
      'client opaque|page',
    ]);
  });

  it('is asked about by a client that proves itself with a private key', async () => {
    const byKey = verifierWith({
      clientId: 'bulkhead-key',
      clientSecret: undefined,
      privateKey: issuer.privateKey,
      keyAlgorithm: 'ES256',
      keyId: 'client-key',
    });
    expect(await byKey.verify(await issuer.token())).toMatchObject({ id: 'anna.keller' });
  });

  it('gives the rights of its scopes', async () => {
    const scoped = verifierWith({}, { scopes: { read: ['read'] } });
    expect([...((await scoped.verify(await issuer.token())).rights ?? [])]).toEqual(['read']);
  });

  it.each([
    ['invented', async () => 'a-token-that-nobody-issued'],
    ['for another audience', () => issuer.token({ aud: 'https://sibling.example' })],
    [
      'expired',
      async () => {
        const token = await issuer.token({ seconds: 1 });
        await new Promise((resolve) => setTimeout(resolve, 1_100));
        return token;
      },
    ],
  ])('is refused when it is %s', async (_, make) => {
    await expect(verifier.verify(await make())).rejects.toMatchObject(refused(/active|audience/));
  });

  it('that its issuer revoked is refused', async () => {
    const token = await issuer.token();
    await (await issuer.provider.AccessToken.find(token))?.destroy();
    await expect(verifier.verify(token)).rejects.toMatchObject(refused(/not active/));
  });

  it('that is bound to a key is not for whoever holds it', async () => {
    const token = await issuer.token({ jkt: 'a'.repeat(43) });
    await expect(verifier.verify(token)).rejects.toMatchObject(refused(/cnf/));
    expect((await verifier.examine(token)).confirmation?.proofKey).toBe('a'.repeat(43));
  });

  it.each(['a b', 'a"b', 'ü', 'a,b', '=a'])('spelt %j is never sent to anybody', async (token) => {
    await expect(verifier.verify(token)).rejects.toMatchObject({ code: 'invalid_token' });
    expect(issuer.asked).toEqual([]);
  });
});

describe('an answer', () => {
  it.each<[string, Record<string, unknown>]>([
    ['of another issuer', { iss: 'https://evil.example' }],
    ['without an audience', { aud: undefined }],
    ['for an audience that ours begins', { aud: `${AUDIENCE}/x` }],
    ['without an expiry', { exp: undefined }],
    ['with an expiry that is a word', { exp: 'tomorrow' }],
    ['with an expiry a second ago', { exp: Math.floor(Date.now() / 1000) - 1 }],
    ['without an issue time', { iat: undefined }],
    ['with a start that is to come', { nbf: Math.floor(Date.now() / 1000) + 60 }],
    ['about a refresh token', { token_type: undefined }],
    ['about a token of an unknown type', { token_type: 'mac' }],
    ['about a token that is bound to a key, without the key', { token_type: 'DPoP' }],
    ['that names a user and nobody by id', { sub: undefined, username: 'anna.keller' }],
    ['without a client', { client_id: undefined }],
    ['that is active in a word', { active: 'true' }],
    ['that is active in a number', { active: 1 }],
  ])('%s does not make the token good', async (_, changes) => {
    answering(active(changes));
    const error = await verifier.verify('opaque-token').catch((thrown: unknown) => thrown);
    expect(['invalid_token', 'identity_unavailable']).toContain((error as { code: string }).code);
  });

  it('that is right makes it good', async () => {
    answering(active());
    expect(await verifier.verify('opaque-token')).toMatchObject({ id: 'anna.keller' });
  });

  it('is remembered for as long as is configured, and never past the expiry', async () => {
    const token = await issuer.token();
    for (let i = 0; i < 5; i++) await verifier.verify(token);
    expect(issuer.introspections).toBe(1);
    ahead = 30_000;
    await verifier.verify(token);
    expect(issuer.introspections).toBe(2);
    const short = await issuer.token({ seconds: 40 });
    ahead = 0;
    await verifier.verify(short);
    ahead = 41_000;
    await (await issuer.provider.AccessToken.find(short))?.destroy();
    await expect(verifier.verify(short)).rejects.toMatchObject({ code: 'invalid_token' });
  });

  it('that the token is not active is remembered for a little while', async () => {
    for (let i = 0; i < 5; i++)
      await expect(verifier.verify('invented')).rejects.toMatchObject(refused(/not active/));
    expect(issuer.introspections).toBe(1);
    ahead = 10_000;
    await expect(verifier.verify('invented')).rejects.toMatchObject(refused(/not active/));
    expect(issuer.introspections).toBe(2);
  });

  it('is asked for once by many requests at the same time', async () => {
    const token = await issuer.token();
    await Promise.all(Array.from({ length: 20 }, () => verifier.verify(token)));
    expect(issuer.introspections).toBe(1);
  });
});

describe('an issuer that is asked and', () => {
  it.each<[string, string, number]>([
    ['answers what is no JSON', '<html>', 200],
    ['answers JSON that is no object', '[true]', 200],
    ['answers nothing', '', 200],
    ['answers without saying whether the token is active', '{}', 200],
    ['answers more than a megabyte', `{"active":true,"x":"${'x'.repeat(1 << 20)}"}`, 200],
    ['does not know us', '{"error":"invalid_client"}', 401],
    ['fails', 'oops', 500],
    ['sends us elsewhere', '', 302],
  ])('%s makes the service unavailable, and nobody anonymous', async (_, body, status) => {
    answering(body, status);
    await expect(verifier.verify('opaque-token')).rejects.toMatchObject(unavailable);
  });

  it('is down lets tokens that were asked about live on for as long as they are remembered', async () => {
    const token = await issuer.token();
    await verifier.verify(token);
    answering('', 500);
    expect(await verifier.verify(token)).toMatchObject({ id: 'anna.keller' });
    await expect(verifier.verify(await issuer.token())).rejects.toMatchObject(unavailable);
    ahead = 30_000;
    await expect(verifier.verify(token)).rejects.toMatchObject(unavailable);
  });

  it('is down is not asked for every token', async () => {
    answering('', 500);
    for (let i = 0; i < 5; i++)
      await expect(verifier.verify(`token-${i}`)).rejects.toMatchObject(unavailable);
    expect(issuer.introspections).toBe(1);
  });

  it('does not answer is waited for five seconds, and by 64 requests at most', async () => {
    const good = JSON.stringify(active());
    await verifier.verify(await issuer.token());
    issuer.instead = () => ({ status: 200, body: good, delayMs: 60_000 });
    const startedAt = performance.now();
    const attempts = Array.from({ length: 80 }, (_, i) =>
      verifier.verify(`slow-${i}`).catch((e: unknown) => e),
    );
    for (const error of await Promise.all(attempts)) expect(error).toMatchObject(unavailable);
    expect(performance.now() - startedAt).toBeLessThan(8_000);
    expect(issuer.introspections).toBe(65);
  }, 20_000);
});

describe('two issuers that introspect', () => {
  it('need prefixes that tell their tokens apart', () => {
    const two = (one: string | undefined, other: string | undefined) => () =>
      createTokenVerifier(
        [
          issuer.profile({ tokenPrefix: one }),
          issuer.profile({ tokenPrefix: other }, { name: 'other', issuer: 'https://other.example' }),
        ],
        { now: Date.now },
      );
    for (const [one, other] of [
      [undefined, undefined],
      ['a_', undefined],
      ['a_', 'a_'],
      ['a_', 'a_b_'],
    ])
      expect(two(one, other)).toThrow(/tokenPrefix/);
    expect(two('a_', 'b_')).not.toThrow();
  });

  it('are never shown a token that is not theirs', async () => {
    const prefixed = verifierWith({ tokenPrefix: 'mine_' });
    await expect(prefixed.verify(await issuer.token())).rejects.toMatchObject({ code: 'invalid_token' });
    expect(issuer.asked).toEqual([]);
  });
});

it('an endpoint without TLS on another machine is refused when the verifier is made', () => {
  expect(() => verifierWith({ endpoint: 'http://id.example/introspect' })).toThrow(/config_invalid/);
});
