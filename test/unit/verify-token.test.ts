import { createHmac } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BulkheadError } from '../../src/errors.ts';
import type { IssuerProfile } from '../../src/identity/issuer.ts';
import { createTokenVerifier, type TokenVerifier } from '../../src/identity/verify-token.ts';
import {
  IssuerServer,
  NOW_SECONDS,
  newKey,
  type SigningKey,
  unsignedToken,
} from '../helpers/identity-issuer.ts';

let server: IssuerServer;
let key: SigningKey;
let now: number;
let verifier: TokenVerifier;

beforeEach(async () => {
  server = await IssuerServer.start();
  key = await newKey('key-1');
  server.published = [key];
  now = NOW_SECONDS * 1000;
  verifier = verifierWith();
});

afterEach(() => server.close());

function verifierWith(changes: Partial<IssuerProfile> = {}): TokenVerifier {
  return createTokenVerifier([server.profile(changes)], { now: () => now });
}

async function refusalOf(token: string, by: TokenVerifier = verifier): Promise<BulkheadError> {
  const error: unknown = await by.verify(token).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof BulkheadError))
    throw new Error('The token was not refused as it should be.', { cause: error });
  return error;
}

async function expectInvalid(token: string, detail: RegExp, by: TokenVerifier = verifier): Promise<void> {
  const refusal = await refusalOf(token, by);
  expect(refusal.code).toBe('invalid_token');
  expect(refusal.detail).toMatch(detail);
  for (const part of token.split('.').filter((p) => p.length > 8))
    expect(refusal.message).not.toContain(part);
}

describe('an accepted token', () => {
  it('says who is calling, with times in milliseconds', async () => {
    const caller = await verifier.verify(await server.sign(key));
    expect(caller).toMatchObject({
      issuer: 'workforce',
      tenant: 'meridian',
      kind: 'user',
      id: 'anna.keller',
      groups: ['hr', 'employees'],
      actor: undefined,
      acr: 'mfa',
      authTime: (NOW_SECONDS - 120) * 1000,
      expiresAt: (NOW_SECONDS + 600) * 1000,
    });
    expect(caller.tokenId).toMatch(/^[\w-]{43}$/);
  });

  it('is a service when its subject is its client', async () => {
    const token = await server.sign(key, { sub: 'order-sync', client_id: 'order-sync' });
    expect(await verifier.verify(token)).toMatchObject({ kind: 'service', id: 'order-sync' });
  });

  it('names the service acting for the user', async () => {
    const caller = await verifier.verify(await server.sign(key, { act: { sub: 'research-agent' } }));
    expect(caller).toMatchObject({ kind: 'user', actor: { issuer: 'workforce', id: 'research-agent' } });
  });

  it('may have several audiences, ours among them', async () => {
    const token = await server.sign(key, { aud: ['https://other.example', server.profile().audience] });
    expect(await verifier.verify(token)).toMatchObject({ id: 'anna.keller' });
  });

  it('may be verified with a key set found by discovery', async () => {
    const discovering = verifierWith({ jwksUri: undefined });
    expect(await discovering.verify(await server.sign(key))).toMatchObject({ id: 'anna.keller' });
    expect(server.requests).toEqual(['/.well-known/openid-configuration', '/jwks']);
  });

  it('may expire within the configured clock tolerance and no later', async () => {
    const tolerant = verifierWith({ clockToleranceSeconds: 5 });
    const token = await server.sign(key, { exp: NOW_SECONDS - 4 });
    expect(await tolerant.verify(token)).toMatchObject({ expiresAt: (NOW_SECONDS - 4) * 1000 });
    now += 1000;
    await expectInvalid(token, /expired/, tolerant);
  });

  it('counts for revocations as issued when an issuer’s clock that is tolerated may have been', async () => {
    const tolerant = verifierWith({ clockToleranceSeconds: 60 });
    // issued now by a clock 50 seconds ahead; what is revoked a second later is revoked for this one too
    const { revocable } = await tolerant.verify(await server.sign(key, { iat: NOW_SECONDS + 50 }));
    expect(revocable?.map(({ kind }) => kind)).toEqual(['user', 'client']);
    for (const { issuedAt } of revocable ?? []) expect(issuedAt).toBeLessThanOrEqual(now);
  });

  it('keeps the claims of two issuers apart', async () => {
    const other = await IssuerServer.start();
    other.published = [await newKey('key-1')];
    const both = createTokenVerifier([server.profile(), other.profile({ name: 'partners' })], {
      now: () => now,
    });
    await expectInvalid(await other.sign(key), /signature/, both);
    await other.close();
  });
});

describe('the groups of a token', () => {
  it.each([
    ['_claim_names naming the group claim', { groups: undefined, _claim_names: { groups: 'src1' } }],
    ['_claim_names beside a partial list', { _claim_names: { groups: 'src1' } }],
    ['_claim_names that is not an object', { _claim_names: 'groups' }],
    ['hasgroups', { groups: undefined, hasgroups: true }],
    ['hasgroups as a string', { groups: undefined, hasgroups: 'true' }],
    ['no group claim at all', { groups: undefined }],
  ])('are unknown, never empty, with %s', async (_, claims) => {
    expect((await verifier.verify(await server.sign(key, claims))).groups).toBe('unknown');
  });

  it('are an empty list when the token says so', async () => {
    expect((await verifier.verify(await server.sign(key, { groups: [] }))).groups).toEqual([]);
  });

  it('are not taken from the token where the directory is the source', async () => {
    const token = await server.sign(key, { groups: ['board'] });
    expect((await verifierWith({ groupSource: 'directory' }).verify(token)).groups).toEqual([]);
  });

  it.each([
    ['a string', 'hr'],
    ['a nested object', { hr: ['board'] }],
    ['a list with an object', ['hr', { name: 'board' }]],
    ['a list with a number', ['hr', 7]],
    ['a list with a nested list', ['hr', ['board']]],
    ['null', null],
    ['an id that could be read as two parts', ['hr|board']],
    ['1,001 short entries', Array.from({ length: 1001 }, () => 'g')],
  ])('refuse the token when they are %s', async (_, groups) => {
    await expectInvalid(await server.sign(key, { groups }), /group claim/);
  });

  it('refuse the token when there are 5,000', async () => {
    const groups = Array.from({ length: 5000 }, (_, i) => `g${i}`);
    await expectInvalid(await server.sign(key, { groups }), /16 KB/);
  });

  it('may be 1,000 entries', async () => {
    const groups = Array.from({ length: 1000 }, (_, i) => `g${i}`);
    expect((await verifier.verify(await server.sign(key, { groups }))).groups).toHaveLength(1000);
  });
});

describe('a signature', () => {
  it('is required: alg none is refused', async () => {
    await expectInvalid(unsignedToken({ alg: 'none', typ: 'at+jwt' }, server.claims(), 'AAAA'), /signature/);
  });

  it.each(['', '.', '..'])('is required: a token that ends in "%s" instead is refused', async (end) => {
    const token = await server.sign(key);
    await expectInvalid(token.slice(0, token.lastIndexOf('.')) + end, /not a signed JWT/);
  });

  it('made by HS256 with the public key as its secret is refused', async () => {
    const input = unsignedToken({ alg: 'HS256', typ: 'at+jwt', kid: 'key-1' }, server.claims()).slice(0, -1);
    const forged = createHmac('sha256', JSON.stringify(key.publicJwk)).update(input).digest('base64url');
    await expectInvalid(`${input}.${forged}`, /signature/);
  });

  it('by another key under the same key id is refused', async () => {
    await expectInvalid(await server.sign(await newKey('key-1')), /signature/);
  });

  it('that is cut off is refused', async () => {
    await expectInvalid((await server.sign(key)).slice(0, -6), /signature/);
  });

  it('over other claims is refused', async () => {
    const [header, , signature] = (await server.sign(key)).split('.');
    const [, payload] = (await server.sign(key, { sub: 'astrid.sorensen' })).split('.');
    await expectInvalid(`${header}.${payload}.${signature}`, /signature/);
  });

  it('spelt another way, with the same bytes, is refused', async () => {
    const token = await server.sign(key);
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
    const last = alphabet.indexOf(token.slice(-1));
    await verifier.verify(token);
    await expectInvalid(token.slice(0, -1) + alphabet[last + 1], /malformed/);
  });

  it.each(['../../../dev/null', '/etc/passwd', 'http://evil.example/key', "key-1' or '1'='1", '__proto__'])(
    'under the key id %s is refused and looked up nowhere',
    async (kid) => {
      await expectInvalid(await server.sign(await newKey(kid)), /signature/);
      expect(server.requests).toEqual(['/jwks']);
    },
  );
});

describe('headers that bring their own key', () => {
  it('are never followed: jku, x5u, jwk, x5c', async () => {
    const evil = await IssuerServer.start();
    const forged = await newKey('evil');
    evil.published = [forged];
    const own = { jku: `${evil.url}/jwks`, x5u: `${evil.url}/x5u`, jwk: forged.publicJwk, x5c: ['MIIB'] };
    await expectInvalid(await server.sign(forged, {}, own), /signature/);
    expect(await verifier.verify(await server.sign(key, {}, own))).toMatchObject({ id: 'anna.keller' });
    expect(evil.requests).toEqual([]);
    await evil.close();
  });

  it('are refused with crit, whatever it names', async () => {
    const [, payload, signature] = (await server.sign(key)).split('.');
    const header = { alg: 'ES256', typ: 'at+jwt', kid: 'key-1', crit: ['b64'], b64: true };
    const encoded = Buffer.from(JSON.stringify(header)).toString('base64url');
    await expectInvalid(`${encoded}.${payload}.${signature}`, /signature/);
  });
});

describe('a claim', () => {
  it.each([
    ['a wrong issuer', { iss: 'https://evil.example' }, /trusted here/],
    ['an issuer that differs by a slash', { iss: 'slash' }, /issuer/],
    ['an issuer that is a list', { iss: ['https://evil.example'] }, /issuer/],
    ['no issuer', { iss: undefined }, /issuer/],
    ['a wrong audience', { aud: 'https://other.example' }, /audience/],
    ['no audience', { aud: undefined }, /"aud"/],
    ['an expiry one second ago', { exp: NOW_SECONDS - 1 }, /expired/],
    ['an expiry of this very second', { exp: NOW_SECONDS }, /expired/],
    ['a start one second ahead', { nbf: NOW_SECONDS + 1 }, /not valid yet/],
    ['an issue time ahead', { iat: NOW_SECONDS + 10 }, /"iat"/],
    ['an authentication time ahead', { auth_time: NOW_SECONDS + 10 }, /"auth_time"/],
    ['no expiry', { exp: undefined }, /"exp"/],
    ['an expiry that is a string', { exp: '2099-01-01' }, /"exp"/],
    ['no issue time', { iat: undefined }, /"iat"/],
    ['no subject', { sub: undefined }, /"sub"/],
    ['an empty subject', { sub: '' }, /"sub"/],
    ['a subject that is a number', { sub: 7 }, /"sub"/],
    ['a subject with a bar', { sub: 'x|user:workforce' }, /"sub"/],
    ['no client', { client_id: undefined }, /"client_id"/],
    ['an acr that is a list', { acr: ['mfa'] }, /"acr"/],
    ['an authentication time that is a string', { auth_time: '0' }, /"auth_time"/],
    ['a chain of actors', { act: { sub: 'a', act: { sub: 'b' } } }, /chain of actors/],
    ['an actor that is a string', { act: 'research-agent' }, /"act"/],
    ['an actor without a subject', { act: {} }, /"sub"/],
    ['an actor of another issuer', { act: { sub: 'a', iss: 'https://evil.example' } }, /another issuer/],
    ['a proof-of-possession key', { cnf: { jkt: 'x' } }, /cnf/],
    ['an empty proof-of-possession key', { cnf: null }, /cnf/],
  ])('refuses the token when there is %s', async (_, changes: Record<string, unknown>, detail) => {
    const claims = changes.iss === 'slash' ? { iss: `${server.url}/` } : changes;
    await expectInvalid(await server.sign(key, claims), detail);
  });

  it('refuses the token when its expiry is spelt as infinity', async () => {
    const { CompactSign } = await import('jose');
    const claims = JSON.stringify(server.claims({ exp: 0 })).replace('"exp":0', '"exp":1e999');
    const token = await new CompactSign(new TextEncoder().encode(claims))
      .setProtectedHeader({ alg: 'ES256', typ: 'at+jwt', kid: key.kid })
      .sign(key.privateKey);
    await expectInvalid(token, /"exp"/);
  });

  it('named like something every object inherits is missing, not inherited', async () => {
    const odd = verifierWith({ claims: { ...server.profile().claims, client: 'constructor' } });
    await expectInvalid(await server.sign(key), /"constructor"/, odd);
  });

  it('iat ends the token early where a longest age is configured, cached or not', async () => {
    const strict = verifierWith({ maxTokenAgeSeconds: 90 });
    const token = await server.sign(key);
    await strict.verify(token);
    await strict.verify(token);
    now += 31_000;
    await expectInvalid(token, /expired/, strict);
  });
});

describe('the type of a token', () => {
  it.each([['JWT'], ['id_token+jwt'], [undefined], [7]])(
    'refuses typ %s, an id token among them',
    async (typ) => {
      await expectInvalid(await server.sign(key, {}, { typ }), /not an access token/);
    },
  );

  it('may be any of those configured for its issuer, and no other', async () => {
    const lenient = verifierWith({ typ: ['at+jwt', 'JWT'] });
    for (const typ of ['at+jwt', 'JWT'])
      expect(await lenient.verify(await server.sign(key, {}, { typ }))).toMatchObject({ id: 'anna.keller' });
    await expectInvalid(await server.sign(key, {}, { typ: 'logout+jwt' }), /not an access token/, lenient);
  });

  it('may be written as a full media type', async () => {
    const token = await server.sign(key, {}, { typ: 'application/at+jwt' });
    expect(await verifier.verify(token)).toMatchObject({ id: 'anna.keller' });
  });
});

describe('what is not a token', () => {
  it.each([
    ['nothing', ''],
    ['a word', 'hello'],
    ['dots', '..'],
    ['base64url that is no JSON', 'aaaa.bbbb.cccc'],
    ['five parts, as of an encrypted token', 'a.b.c.d.e'],
  ])('is refused: %s', async (_, token) => {
    await expectInvalid(token, /not a signed JWT|malformed/);
  });

  it('is refused by its size alone when it is a megabyte', async () => {
    await expectInvalid(`${'A'.repeat(1 << 20)}.AAAA.AAAA`, /16 KB/);
    expect(server.requests).toEqual([]);
  });

  it('is refused when its claims are not an object', async () => {
    await expectInvalid(unsignedToken({ alg: 'ES256', typ: 'at+jwt' }, ['x'], 'AAAA'), /malformed/);
  });
});

describe('the key set', () => {
  it('is fetched once for many tokens, even at the same time', async () => {
    const tokens = await Promise.all(['a', 'b', 'c', 'd'].map((sub) => server.sign(key, { sub })));
    await Promise.all(tokens.map((token) => verifier.verify(token)));
    expect(server.requests).toEqual(['/jwks']);
  });

  it('is not fetched again for invented key ids within half a minute', async () => {
    const forged = await Promise.all(['x', 'y', 'z'].map(async (kid) => server.sign(await newKey(kid))));
    for (const token of forged) await expectInvalid(token, /signature/);
    expect(server.requests).toHaveLength(1);
    now += 31_000;
    for (const token of forged) await expectInvalid(token, /signature/);
    expect(server.requests).toHaveLength(2);
  });

  it('is fetched again when a new key may have been added', async () => {
    await verifier.verify(await server.sign(key));
    const next = await newKey('key-2');
    server.published = [key, next];
    now += 31_000;
    expect(await verifier.verify(await server.sign(next))).toMatchObject({ id: 'anna.keller' });
  });

  it('that cannot be fetched is said to be unavailable, with a time to retry, and is not asked per request', async () => {
    server.failing = true;
    const token = await server.sign(key);
    for (let i = 0; i < 5; i++)
      expect(await refusalOf(token)).toMatchObject({ code: 'identity_unavailable', status: 503 });
    expect((await refusalOf(token)).retryAfterSeconds).toBeGreaterThan(0);
    expect(server.requests).toHaveLength(1);
    server.failing = false;
    now += 5_000;
    expect(await verifier.verify(token)).toMatchObject({ id: 'anna.keller' });
  });

  it('that cannot be fetched keeps working for known keys and refuses to guess about unknown ones', async () => {
    await verifier.verify(await server.sign(key));
    server.failing = true;
    now += 60_000;
    expect((await refusalOf(await server.sign(await newKey('key-2')))).code).toBe('identity_unavailable');
    expect(await verifier.verify(await server.sign(key, { sub: 'tom.brandt' }))).toMatchObject({
      id: 'tom.brandt',
    });
  });

  it('ends a withdrawn key, and the tokens accepted with it, within ten minutes', async () => {
    const token = await server.sign(key, { exp: NOW_SECONDS + 3600 });
    await verifier.verify(token);
    await verifier.verify(token);
    server.published = [await newKey('key-2')];
    now += 10 * 60_000;
    await expectInvalid(token, /signature/);
  });

  it('ends a withdrawn key at once when another token makes it be fetched', async () => {
    const token = await server.sign(key);
    await verifier.verify(token);
    await verifier.verify(token);
    const next = await newKey('key-2');
    server.published = [next];
    now += 31_000;
    await verifier.verify(await server.sign(next));
    await expectInvalid(token, /signature/);
  });

  it('expires after ten minutes rather than being believed while the issuer is down', async () => {
    const token = await server.sign(key, { exp: NOW_SECONDS + 3600 });
    await verifier.verify(token);
    server.failing = true;
    now += 10 * 60_000;
    expect((await refusalOf(token)).code).toBe('identity_unavailable');
  });

  it('is not taken from a discovery document of another issuer', async () => {
    server.discoveredIssuer = 'https://evil.example';
    const discovering = verifierWith({ jwksUri: undefined });
    expect((await refusalOf(await server.sign(key), discovering)).code).toBe('identity_unavailable');
    expect(server.requests).toEqual(['/.well-known/openid-configuration']);
  });
});

describe('an accepted token in the cache', () => {
  it('is not believed past its expiry', async () => {
    const token = await server.sign(key);
    await verifier.verify(token);
    expect(await verifier.verify(token)).toBe(await verifier.verify(token));
    now = (NOW_SECONDS + 600) * 1000;
    await expectInvalid(token, /expired/);
  });

  it('does not lend its place to a token with another signature', async () => {
    const token = await server.sign(key);
    await verifier.verify(token);
    await verifier.verify(token);
    const [header, payload] = token.split('.');
    const [, , other] = (await server.sign(await newKey('key-1'))).split('.');
    await expectInvalid(`${header}.${payload}.${other}`, /signature/);
  });
});

describe('a profile that could not be used safely', () => {
  it.each<[string, Partial<IssuerProfile>]>([
    ['HS256', { algorithms: ['ES256', 'HS256'] }],
    ['alg none', { algorithms: ['none'] }],
    ['no algorithm', { algorithms: [] }],
    ['no type', { typ: [] }],
    ['http to another machine', { issuer: 'http://id.example' }],
    ['a key set over http from another machine', { jwksUri: 'http://127.0.0.1.evil.example/jwks' }],
    ['a name that is no principal part', { name: 'work|force' }],
    [
      'token groups without a claim',
      { claims: { subject: 'sub', client: 'azp', acr: 'acr', authTime: 'auth_time' } },
    ],
  ])('is refused when the verifier is made: %s', (_, changes) => {
    expect(() => verifierWith(changes)).toThrow(/config_invalid/);
  });

  it('is refused when it shares its issuer with another one', () => {
    const twice = [server.profile(), server.profile({ name: 'partners' })];
    expect(() => createTokenVerifier(twice, { now: () => now })).toThrow(/config_invalid/);
  });
});
