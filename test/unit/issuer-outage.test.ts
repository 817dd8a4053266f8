import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { IssuerProfile } from '../../src/identity/issuer.ts';
import { createTokenVerifier, type TokenVerifier } from '../../src/identity/verify-token.ts';
import { IssuerServer, NOW_SECONDS, newKey, type SigningKey } from '../helpers/identity-issuer.ts';

const MINUTE = 60_000;

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

function verifierWith(changes: Partial<IssuerProfile> = {}, maxStaleSeconds = 3_600): TokenVerifier {
  return createTokenVerifier([server.profile(changes)], { now: () => now, maxStaleSeconds });
}

const long = (sub = 'anna.keller') => server.sign(key, { sub, exp: NOW_SECONDS + 7_200 });
const unavailable = { code: 'identity_unavailable', status: 503, retryAfterSeconds: expect.any(Number) };
const refused = { code: 'invalid_token', status: 401 };

/** A token that verified earlier, and is cached. */
async function known(by = verifier, token?: string): Promise<string> {
  const one = token ?? (await long());
  await by.verify(await long('somebody.else'));
  await by.verify(one);
  return one;
}

describe('while an issuer is down', () => {
  it('tokens verified earlier live on, and new ones are told when to come back', async () => {
    const token = await known();
    server.failing = true;
    now += 11 * MINUTE;
    expect(await verifier.verify(token)).toMatchObject({ id: 'anna.keller' });
    await expect(verifier.verify(await long('tom.brandt'))).rejects.toMatchObject(unavailable);
    now += 40 * MINUTE;
    expect(await verifier.verify(token)).toMatchObject({ id: 'anna.keller' });
  });

  it('tokens verified earlier end with the staleness limit', async () => {
    const strict = verifierWith({}, 300);
    const token = await known(strict);
    server.failing = true;
    now += 15 * MINUTE - 1;
    expect(await strict.verify(token)).toMatchObject({ id: 'anna.keller' });
    now += 1;
    await expect(strict.verify(token)).rejects.toMatchObject(unavailable);
  });

  it('tokens verified earlier end with their expiry', async () => {
    const token = await known(verifier, await server.sign(key, { exp: NOW_SECONDS + 700 }));
    server.failing = true;
    now += 11 * MINUTE;
    expect(await verifier.verify(token)).toMatchObject({ id: 'anna.keller' });
    now = (NOW_SECONDS + 700) * 1000;
    await expect(verifier.verify(token)).rejects.toMatchObject({ status: 503 });
  });

  it('it is not asked per request, known tokens or new', async () => {
    const token = await known();
    server.failing = true;
    now += 11 * MINUTE;
    for (let i = 0; i < 20; i++) await verifier.verify(token);
    for (let i = 0; i < 20; i++) await verifier.verify(await long(`u${i}`)).catch(() => undefined);
    expect(server.requests).toHaveLength(2);
  });

  it('it ends a withdrawn key as soon as it is back', async () => {
    const token = await known();
    server.failing = true;
    now += 11 * MINUTE;
    await verifier.verify(token);
    server.failing = false;
    server.published = [await newKey('key-2')];
    now += 6_000;
    // the first request asks in the background, because the issuer was down a moment ago
    await verifier.verify(token).catch(() => undefined);
    await new Promise((resolve) => setTimeout(resolve, 100));
    await expect(verifier.verify(token)).rejects.toMatchObject(refused);
  });
});

describe('an issuer that was not asked for long', () => {
  it('is asked before a token verified earlier is believed', async () => {
    const token = await known();
    server.published = [await newKey('key-2')];
    now += 60 * MINUTE;
    await expect(verifier.verify(token)).rejects.toMatchObject(refused);
  });

  it('whose keys are the same does not make tokens be verified again', async () => {
    const token = await known();
    const first = await verifier.verify(token);
    now += 20 * MINUTE;
    expect(await verifier.verify(token)).toBe(first);
    expect(server.requests).toHaveLength(2);
  });

  it('is asked in the background before the keys are too old', async () => {
    const token = await known();
    now += 9 * MINUTE;
    await verifier.verify(token);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(server.requests).toHaveLength(2);
  });
});

describe('an issuer that', () => {
  it.each([
    ['answers what is no JSON', '<html>not found</html>'],
    ['answers nothing', ''],
    ['answers a list', '[]'],
    ['answers a key set that is none', '{"keys":"none"}'],
    [
      'answers a thousand keys',
      JSON.stringify({ keys: Array.from({ length: 1000 }, () => ({ kty: 'EC' })) }),
    ],
    ['answers more than a megabyte', `{"keys":[],"x":"${'x'.repeat(1 << 20)}"}`],
  ])('%s has no keys, and nobody is anonymous', async (_, garbage) => {
    server.garbage = garbage;
    await expect(verifier.verify(await long())).rejects.toMatchObject(unavailable);
    const discovering = verifierWith({ jwksUri: undefined });
    await expect(discovering.verify(await long())).rejects.toMatchObject(unavailable);
  });

  it('answers keys that are none verifies nothing', async () => {
    server.garbage = '{"keys":[null,7,{"kty":"oct","k":"AAAA","kid":"key-1"},{"kid":"key-1"}]}';
    const error = (await verifier.verify(await long()).catch((thrown: unknown) => thrown)) as {
      status: number;
    };
    expect([401, 503]).toContain(error.status);
  });

  it('answers garbage after it answered well lets known tokens live on', async () => {
    const token = await known();
    server.garbage = '{"keys":7}';
    now += 11 * MINUTE;
    expect(await verifier.verify(token)).toMatchObject({ id: 'anna.keller' });
    await expect(verifier.verify(await long('tom'))).rejects.toMatchObject(unavailable);
  });

  it('does not answer is waited for five seconds, once for all who wait', async () => {
    const token = await known();
    server.delayMs = 60_000;
    now += 11 * MINUTE;
    const startedAt = performance.now();
    const asked = await Promise.allSettled([
      verifier.verify(token),
      verifier.verify(token),
      verifier.verify(await long('tom')),
    ]);
    expect(performance.now() - startedAt).toBeLessThan(7_000);
    expect(asked.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'rejected']);
    expect(server.requests).toHaveLength(2);
    const again = performance.now();
    expect(await verifier.verify(token)).toMatchObject({ id: 'anna.keller' });
    expect(performance.now() - again).toBeLessThan(100);
  }, 15_000);
});

describe('keys that an administrator has reloaded', () => {
  it('over and over keep nobody else out, and cost the issuer a fetch a second', async () => {
    const token = await known();
    server.delayMs = 100;
    const before = server.requests.length;
    const reloads: Promise<unknown>[] = [];
    const again = setInterval(() => reloads.push(verifier.reloadKeys('workforce').catch(() => {})), 20);
    try {
      const others = Array.from({ length: 5 }, async (_, i) => {
        await new Promise((resolve) => setTimeout(resolve, 50 + 150 * i));
        return (await verifier.verify(token)).id;
      });
      expect(await Promise.all(others)).toEqual(Array(5).fill('anna.keller'));
    } finally {
      clearInterval(again);
    }
    await Promise.all(reloads);
    expect(reloads.length).toBeGreaterThan(20);
    expect(server.requests.length - before).toBeLessThanOrEqual(3);
  });

  it('end a withdrawn one at once, tokens verified earlier among it', async () => {
    const token = await known();
    const next = await newKey('key-2');
    server.published = [next];
    expect(await verifier.verify(token)).toMatchObject({ id: 'anna.keller' });
    await verifier.reloadKeys('workforce');
    await expect(verifier.verify(token)).rejects.toMatchObject(refused);
    expect(await verifier.verify(await server.sign(next))).toMatchObject({ id: 'anna.keller' });
  });

  it('and cannot be fetched verify nothing, rather than what may have been withdrawn', async () => {
    const token = await known();
    server.failing = true;
    await expect(verifier.reloadKeys('workforce')).rejects.toMatchObject(unavailable);
    await expect(verifier.verify(token)).rejects.toMatchObject(unavailable);
    server.failing = false;
    now += 5_000;
    expect(await verifier.verify(token)).toMatchObject({ id: 'anna.keller' });
  });

  it('are not those of a fetch that began before', async () => {
    const token = await known();
    now += 11 * MINUTE;
    server.delayMs = 300;
    const before = verifier.verify(await long('tom')).catch(() => undefined);
    await new Promise((resolve) => setTimeout(resolve, 100));
    server.published = [await newKey('key-2')];
    server.delayMs = 0;
    await verifier.reloadKeys('workforce');
    await before;
    await expect(verifier.verify(token)).rejects.toMatchObject(refused);
  });

  it('are of an issuer that there is', async () => {
    await expect(verifier.reloadKeys('nobody')).rejects.toMatchObject({ code: 'not_found' });
  });
});

describe('a key id that the issuer did not have', () => {
  it('is not looked for again for a minute, however often it is presented', async () => {
    await verifier.verify(await long());
    const forged = await server.sign(await newKey('forged'));
    now += 31_000;
    await expect(verifier.verify(forged)).rejects.toMatchObject(refused);
    expect(server.requests).toHaveLength(2);
    now += 31_000;
    await expect(verifier.verify(forged)).rejects.toMatchObject(refused);
    expect(server.requests).toHaveLength(2);
    now += 31_000;
    await expect(verifier.verify(forged)).rejects.toMatchObject(refused);
    expect(server.requests).toHaveLength(3);
  });

  it('does not keep another one, that is new, from being found', async () => {
    await verifier.verify(await long());
    now += 31_000;
    await verifier.verify(await server.sign(await newKey('forged'))).catch(() => undefined);
    const next = await newKey('key-2');
    server.published = [key, next];
    now += 31_000;
    expect(await verifier.verify(await server.sign(next))).toMatchObject({ id: 'anna.keller' });
  });
});

it('a token costs no signature again while it is cached', async () => {
  const token = await known();
  const verifying = vi.spyOn(crypto.subtle, 'verify');
  const caller = await verifier.verify(token);
  for (let i = 0; i < 100; i++) expect(await verifier.verify(token)).toBe(caller);
  expect(verifying).not.toHaveBeenCalled();
  await verifier.verify(await long('tom.brandt'));
  expect(verifying).toHaveBeenCalledOnce();
  verifying.mockRestore();
});
