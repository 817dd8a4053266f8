import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { toIdentity } from '../../src/http/authenticate.ts';
import { createAuthenticator } from '../../src/identity/authenticate-credentials.ts';
import type { Authenticator, PresentedCredentials } from '../../src/identity/credentials.ts';
import type { IssuerProfile } from '../../src/identity/issuer.ts';
import { MemoryReplayStore } from '../../src/identity/replay-store.ts';
import { createTokenVerifier } from '../../src/identity/verify-token.ts';
import { IssuerServer, NOW_SECONDS, newKey, type SigningKey } from '../helpers/identity-issuer.ts';

let server: IssuerServer;
let other: IssuerServer;
let key: SigningKey;

beforeAll(async () => {
  server = await IssuerServer.start();
  other = await IssuerServer.start();
  key = await newKey('key-1');
  server.published = [key];
  other.published = [key];
});

afterAll(() => Promise.all([server.close(), other.close()]));

let authenticator: Authenticator;
beforeEach(() => {
  authenticator = authenticatorOf([server.profile(), other.profile({ name: 'partners' })]);
});
afterEach(() => {
  server.failing = false;
});

function authenticatorOf(profiles: readonly IssuerProfile[]): Authenticator {
  const now = () => NOW_SECONDS * 1000;
  const tokens = createTokenVerifier(profiles, { now });
  const apiKeys = { verify: async () => Promise.reject(new Error('An API key was asked about.')) };
  return createAuthenticator({ tokens, replays: new MemoryReplayStore(), apiKeys, now });
}

function authenticate(given: Partial<PresentedCredentials>, by = authenticator) {
  const url = new URL('https://bulkhead.example/v1/retrieve');
  return by.authenticate({ scheme: 'Bearer', method: 'POST', url, address: undefined, ...given });
}

const SERVICE = { sub: 'research-agent', client_id: 'research-agent', groups: ['agents'] };
const user = (claims = {}) => server.sign(key, claims);
const service = (claims = {}, from = server) => from.sign(key, { ...SERVICE, ...claims });
const refused = (detail: RegExp) => ({
  code: 'invalid_token',
  status: 401,
  detail: expect.stringMatching(detail),
});

describe('a user’s token with a service’s token beside it', () => {
  it('is the user, with the service as the one that acts', async () => {
    const caller = await authenticate({ token: await user(), actorToken: await service() });
    expect(toIdentity(caller)).toMatchObject({
      user: 'user:workforce|anna.keller',
      actor: 'service:workforce|research-agent',
      tokenGroups: ['group:workforce|hr', 'group:workforce|employees'],
      acr: 'mfa',
    });
  });

  it('may be of another issuer than the service, which proves itself', async () => {
    const caller = await authenticate({ token: await user(), actorToken: await service({}, other) });
    expect(toIdentity(caller).actor).toBe('service:partners|research-agent');
  });

  it('ends with the first of the two', async () => {
    const soon = NOW_SECONDS + 30;
    const caller = await authenticate({ token: await user(), actorToken: await service({ exp: soon }) });
    expect(caller.expiresAt).toBe(soon * 1000);
  });

  it('can be taken back by what revokes either', async () => {
    const { revocable } = await authenticate({ token: await user(), actorToken: await service() });
    expect(revocable?.map(({ kind, id }) => `${kind} ${id}`)).toEqual([
      'user workforce|anna.keller',
      'client workforce|bulkhead-page',
      'client workforce|research-agent',
    ]);
  });

  it('has the rights that both tokens have', async () => {
    const scopes = { r: ['read'], w: ['ingest'], g: ['grant'] } as const;
    const claims = { ...server.profile().claims, scope: 'scope' };
    const scoped = authenticatorOf([server.profile({ scopes, claims })]);
    const [token, actorToken] = [await user({ scope: 'r g' }), await service({ scope: 'r w' })];
    const { rights } = await authenticate({ token, actorToken }, scoped);
    expect([...(rights ?? [])]).toEqual(['read']);
  });

  it.each<[string, () => Promise<Partial<PresentedCredentials>>, RegExp]>([
    [
      'a user’s too',
      async () => ({ token: await user(), actorToken: await user({ sub: 'tom' }) }),
      /of a service/,
    ],
    ['the same token', async () => ({ token: await user(), actorToken: await user() }), /of a service/],
    [
      'a user’s that names a service',
      async () => ({ token: await user(), actorToken: await user({ act: { sub: 'research-agent' } }) }),
      /of a service/,
    ],
    [
      'a service’s that another one acts for',
      async () => ({ token: await user(), actorToken: await service({ act: { sub: 'x' } }) }),
      /of a service/,
    ],
    [
      'with a service in the user’s place',
      async () => ({ token: await service(), actorToken: await service() }),
      /is not one/,
    ],
    [
      'with a user that is acted for already',
      async () => ({ token: await user({ act: { sub: 'a' } }), actorToken: await service() }),
      /acts already/,
    ],
    ['an API key', async () => ({ token: await user(), actorToken: 'bhk_abc_def' }), /API key cannot act/],
    [
      'with an API key in the user’s place',
      async () => ({ token: 'bhk_a_b', actorToken: await service() }),
      /API key/,
    ],
    [
      'bound to a proof key',
      async () => ({ token: await user(), actorToken: await service({ cnf: { jkt: 'a'.repeat(43) } }) }),
      /proof key/,
    ],
    [
      'bound to a certificate that was not shown',
      async () => ({
        token: await user(),
        actorToken: await service({ cnf: { 'x5t#S256': 'a'.repeat(43) } }),
      }),
      /certificate/,
    ],
    [
      'expired',
      async () => ({ token: await user(), actorToken: await service({ exp: NOW_SECONDS }) }),
      /expired/,
    ],
    [
      'for another audience',
      async () => ({ token: await user(), actorToken: await service({ aud: 'https://x.example' }) }),
      /audience/,
    ],
    ['invented', async () => ({ token: await user(), actorToken: 'a.b.c' }), /trusted here/],
  ])('is refused when the latter is %s', async (_, given, detail) => {
    await expect(authenticate(await given())).rejects.toMatchObject(refused(detail));
  });

  it('is refused across tenants', async () => {
    const tenants = authenticatorOf([server.profile(), other.profile({ name: 'partners', tenant: 'rival' })]);
    const given = { token: await user(), actorToken: await service({}, other) };
    await expect(authenticate(given, tenants)).rejects.toMatchObject(refused(/different tenants/));
  });

  it('is not the user alone when the service’s issuer is down', async () => {
    await authenticate({ token: await user() });
    const down = authenticatorOf([server.profile(), other.profile({ name: 'partners' })]);
    await authenticate({ token: await user() }, down);
    other.failing = true;
    const given = { token: await user(), actorToken: await service({}, other) };
    await expect(authenticate(given, down)).rejects.toMatchObject({ code: 'identity_unavailable' });
    other.failing = false;
  });
});

describe('a service’s token', () => {
  it('alone is the service, with nothing of any user', async () => {
    const caller = await authenticate({ token: await service() });
    expect(toIdentity(caller)).toMatchObject({
      user: 'service:workforce|research-agent',
      actor: undefined,
      tokenGroups: ['group:workforce|agents'],
    });
  });

  it('as an actor’s without a user is nobody’s', async () => {
    await expect(authenticate({ actorToken: await service() })).rejects.toMatchObject({
      code: 'missing_token',
      status: 401,
    });
  });
});

describe('a chain of actors', () => {
  const chain = { sub: 'outer', act: { sub: 'inner' } };

  it('is cut at one unless another depth is configured', async () => {
    await expect(authenticate({ token: await user({ act: chain }) })).rejects.toMatchObject(
      refused(/longer chain/),
    );
    const none = authenticatorOf([server.profile({ maxActorDepth: 0 })]);
    await expect(authenticate({ token: await user({ act: { sub: 'a' } }) }, none)).rejects.toMatchObject(
      refused(/longer chain/),
    );
  });

  it('of the configured depth is decided by the outermost, and ends with any link of it', async () => {
    const deeper = authenticatorOf([server.profile({ maxActorDepth: 2 })]);
    const caller = await authenticate({ token: await user({ act: chain }) }, deeper);
    expect(caller.actor).toEqual({ issuer: 'workforce', id: 'outer' });
    expect(caller.revocable?.map(({ id }) => id)).toEqual(
      expect.arrayContaining(['workforce|outer', 'workforce|inner']),
    );
    const three = { sub: 'a', act: { sub: 'b', act: { sub: 'c' } } };
    await expect(authenticate({ token: await user({ act: three }) }, deeper)).rejects.toMatchObject(
      refused(/longer chain/),
    );
  });

  it.each([
    { sub: 'a', act: 'b' },
    { sub: 'a', act: {} },
    { sub: 'a', act: { sub: 'b', iss: 'https://x.example' } },
  ])('with a broken link (%j) is refused', async (act) => {
    const deeper = authenticatorOf([server.profile({ maxActorDepth: 3 })]);
    await expect(authenticate({ token: await user({ act }) }, deeper)).rejects.toMatchObject({
      code: 'invalid_token',
    });
  });
});
