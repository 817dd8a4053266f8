/** Limits by themselves: windows, bounds of memory, addresses, and what several processes know of each other. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { BlockList } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadConfig } from '../../src/config/config.ts';
import { blockListOf, limitsSchema } from '../../src/config/limits.ts';
import { clientAddress } from '../../src/http/rate-limit-address.ts';
import { CountingLimiter } from '../../src/http/rate-limit-counters.ts';
import { type ExchangeCounts, LIMIT_NAMES, type LimitRules, RateLimits } from '../../src/http/rate-limits.ts';
import type { Database } from '../../src/store/database.ts';
import { openEmbedded } from '../../src/store/open-embedded.ts';
import { addRateCounts } from '../../src/store/rate-counts.ts';

const rules = (changes: Partial<LimitRules> = {}): LimitRules => ({ ...limitsSchema.parse({}), ...changes });
const clock = () => {
  const time = { ms: 1_000_000, now: () => time.ms };
  return time;
};

describe('A limit', () => {
  it('lets through what it says, then says when to come back', async () => {
    const time = clock();
    const limits = new RateLimits({ rules: rules({ subject: { points: 2, seconds: 60 } }), now: time.now });
    expect(await limits.take('subject', 'a')).toMatchObject({ remaining: 1, resetSeconds: 60 });
    time.ms += 10_500;
    expect(await limits.take('subject', 'a')).toMatchObject({ remaining: 0, resetSeconds: 50 });
    await expect(limits.take('subject', 'a')).rejects.toMatchObject({
      code: 'rate_limited',
      status: 429,
      retryAfterSeconds: 50,
    });
    expect(await limits.take('subject', 'b')).toMatchObject({ remaining: 1 });
  });

  it('begins anew when its window ends, however often it was met', async () => {
    const time = clock();
    const limits = new RateLimits({ rules: rules({ subject: { points: 1, seconds: 60 } }), now: time.now });
    await limits.take('subject', 'a');
    for (let i = 0; i < 50; i += 1) await expect(limits.take('subject', 'a')).rejects.toThrow();
    time.ms += 60_000;
    expect(await limits.take('subject', 'a')).toMatchObject({ remaining: 0, resetSeconds: 60 });
  });

  it('counts afterwards what an answer cost, and then refuses the next', async () => {
    const limits = new RateLimits({ rules: rules({ cost: { points: 10, seconds: 60 } }), now: clock().now });
    await limits.requireRoom('cost', 'a');
    await limits.charge('cost', 'a', 41);
    await expect(limits.requireRoom('cost', 'a')).rejects.toMatchObject({ code: 'rate_limited' });
  });

  it('keeps a bounded number of keys under 100,000 addresses, and pushes nobody out', async () => {
    const time = clock();
    const limits = new RateLimits({
      rules: rules({ address: { points: 3, seconds: 60 } }),
      now: time.now,
      capacity: 1_000,
    });
    for (let i = 0; i < 3; i += 1) await limits.take('address', 'the first');
    let refused = 0;
    for (let i = 0; i < 100_000; i += 1)
      await limits.take('address', `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`).catch(() => {
        refused += 1;
      });
    expect(limits.size('address')).toBeLessThanOrEqual(1_000 + 256);
    expect(refused).toBeGreaterThan(90_000);
    await expect(limits.take('address', 'the first')).rejects.toMatchObject({ code: 'rate_limited' });
    time.ms += 61_000;
    await limits.take('address', 'a new one');
    expect(limits.size('address')).toBeLessThan(10);
  }, 60_000);
});

describe('A client address', () => {
  const none = new BlockList();
  const proxies = new BlockList();
  proxies.addSubnet('10.0.0.0', 8, 'ipv4');
  proxies.addAddress('::1', 'ipv6');

  it('is the connection’s own, whatever the header says', () => {
    expect(clientAddress('203.0.113.9', '198.51.100.1', none)).toBe('203.0.113.9');
    expect(clientAddress('::ffff:203.0.113.9', '198.51.100.1, 10.0.0.1', proxies)).toBe('203.0.113.9');
  });

  it.each([
    ['10.0.0.1', '198.51.100.1', '198.51.100.1'],
    ['::1', '198.51.100.1', '198.51.100.1'],
    // whoever sent the request wrote all but the last
    ['10.0.0.1', '1.2.3.4, 198.51.100.1', '198.51.100.1'],
    ['10.0.0.1', '1.2.3.4, 198.51.100.1, 10.9.9.9', '198.51.100.1'],
    ['10.0.0.1', '1.2.3.4, nonsense', '10.0.0.1'],
    ['10.0.0.1', '', '10.0.0.1'],
    ['10.0.0.1', '[2001:db8::7]:443', '2001:db8:0:0::/64'],
    ['10.0.0.1', '198.51.100.1:5555', '198.51.100.1'],
    ['10.0.0.1', ', , 1.2.3.4,', '10.0.0.1'],
  ])('behind the trusted proxy %s, of %j, is %s', (peer, header, address) => {
    expect(clientAddress(peer, header, proxies)).toBe(address);
  });

  it('of one IPv6 network is one, and one that cannot be told is everybody', () => {
    expect(clientAddress('2001:db8:1:2:aaaa::1', undefined, none)).toBe('2001:db8:1:2::/64');
    expect(clientAddress('2001:db8:1:2:bbbb:0:0:1', undefined, none)).toBe('2001:db8:1:2::/64');
    expect(clientAddress('fe80::1%eth0', undefined, none)).toBe('fe80:0:0:0::/64');
    expect(clientAddress(undefined, '1.2.3.4', none)).toBe('unknown');
  });
});

describe('Two processes', () => {
  let database: Database;
  beforeAll(async () => {
    database = await openEmbedded({});
  });
  afterAll(() => database.close());
  const exchange: ExchangeCounts = (changes) => addRateCounts(database, 'retrieve', changes);
  const open = (now: () => number, points = 10, via = exchange) =>
    new RateLimits({ rules: rules({ subject: { points, seconds: 60 } }), now, exchange: via });
  const times = async (limits: RateLimits, key: string, count: number) => {
    let let_through = 0;
    for (let i = 0; i < count; i += 1)
      await limits.take('subject', key).then(
        () => {
          let_through += 1;
        },
        () => {},
      );
    return let_through;
  };

  it('know after one exchange each what both let through', async () => {
    const [a, b] = [open(Date.now), open(Date.now)];
    expect(await times(a, 'k', 6)).toBe(6);
    expect(await times(b, 'k', 3)).toBe(3);
    await a.exchange();
    await b.exchange();
    // b knows of all nine; a of its own until it counts again
    expect(await times(b, 'k', 5)).toBe(1);
    await a.exchange();
    expect(await times(a, 'k', 1)).toBe(1);
    await a.exchange();
    expect(await times(a, 'k', 1)).toBe(0);
  });

  it('let through at most the limit each before they hear of each other', async () => {
    const all = [open(Date.now), open(Date.now), open(Date.now)];
    let passed = 0;
    for (const one of all) passed += await times(one, 'burst', 50);
    expect(passed).toBe(30);
    for (const one of all) await one.exchange();
    for (const one of all) passed += await times(one, 'burst', 50);
    expect(passed).toBe(30);
  });

  it('count each request once, also one that comes while counts are exchanged', async () => {
    const slow: { release?: () => void } = {};
    const held: ExchangeCounts = async (changes) => {
      const totals = await exchange(changes);
      await new Promise<void>((resolve) => {
        slow.release = resolve;
      });
      return totals;
    };
    const a = open(Date.now, 10, held);
    await times(a, 'held', 4);
    const exchanging = a.exchange();
    await expect.poll(() => slow.release).toBeDefined();
    await times(a, 'held', 2);
    slow.release?.();
    await exchanging;
    expect(await a.standing('subject', 'held')).toMatchObject({ remaining: 4 });
  });

  it('keep their counts when an exchange fails, and refuse everything after half a minute of silence', async () => {
    const time = clock();
    let isDown = true;
    const a = open(time.now, 10, async (changes) => {
      if (isDown) throw new Error('down');
      return exchange(changes);
    });
    await times(a, 'x', 4);
    await expect(a.exchange()).rejects.toThrow('down');
    time.ms += 29_000;
    expect(await times(a, 'x', 1)).toBe(1);
    time.ms += 1_500;
    await expect(a.take('subject', 'x')).rejects.toMatchObject({
      code: 'rate_limit_unavailable',
      status: 503,
    });
    await expect(a.requireRoom('cost', 'x')).rejects.toMatchObject({ code: 'rate_limit_unavailable' });
    isDown = false;
    await a.exchange();
    expect(await a.standing('subject', 'x')).toMatchObject({ remaining: 5 });
    expect(await times(a, 'x', 1)).toBe(1);
  });

  it('can neither lower a count nor write what is no digest', async () => {
    const key = 'a'.repeat(22);
    const add = (points: number, name = key) =>
      addRateCounts(database, 'retrieve', [{ key: name, points, remainingMs: 60_000 }]);
    expect(await add(7)).toMatchObject([{ points: 7 }]);
    expect(await add(-5)).toMatchObject([{ points: 7 }]);
    await expect(add(1, 'user:workforce|anna')).rejects.toMatchObject({ sqlState: '23514' });
  });

  it('cannot count so far that nobody else can count under the key', async () => {
    const [key, other] = ['b'.repeat(22), 'c'.repeat(22)] as const;
    const { sql } = await import('kysely');
    const most = JSON.stringify([{ key, points: '9223372036854775807', remaining: 60_000 }]);
    await database.statement('audit', undefined, sql`select bulkhead.add_rate_counts(${most}::text::jsonb)`);
    const changes = [key, other].map((name) => ({ key: name, points: 1, remainingMs: 60_000 }));
    const totals = await addRateCounts(database, 'retrieve', changes);
    expect(totals.find((total) => total.key === other)).toMatchObject({ points: 1 });
  });

  it('cannot look into the table that they count in', async () => {
    const { sql } = await import('kysely');
    await expect(
      database.statement('retrieve', undefined, sql`select * from bulkhead.rate_limit`),
    ).rejects.toMatchObject({ sqlState: '42501' });
  });
});

describe('The counters', () => {
  it('add far less than a millisecond to a request, all limits together', async () => {
    const limits = new RateLimits({ rules: rules(), now: Date.now });
    const keys = Array.from({ length: 100 }, (_, i) => `k${i}`);
    const startedAt = performance.now();
    const rounds = 5_000;
    for (let i = 0; i < rounds; i += 1) {
      const key = keys[i % keys.length] ?? '';
      await limits.take('address', key);
      await limits.requireRoom('failures', key);
      await limits.take('subject', key);
      await limits.requireRoom('cost', key);
      await limits.charge('cost', key, 20);
      await limits.standing('subject', key);
      await limits.standing('cost', key);
    }
    const each = (performance.now() - startedAt) / rounds;
    expect(each).toBeLessThan(0.5);
  });

  it('tell others nothing of a window that has ended', async () => {
    const time = clock();
    const limiter = new CountingLimiter({ points: 5, seconds: 10 }, time.now);
    await limiter.consume('a');
    expect(limiter.unshared()).toMatchObject([{ key: 'a', points: 1, remainingMs: 10_000 }]);
    time.ms += 10_000;
    expect(limiter.unshared()).toEqual([]);
  });
});

describe('bulkhead.yaml', () => {
  const load = async (text: string) => {
    const folder = await mkdtemp(join(tmpdir(), 'bulkhead-limits-'));
    const file = join(folder, 'bulkhead.yaml');
    await writeFile(file, text);
    try {
      return loadConfig({ BULKHEAD_CONFIG: file });
    } finally {
      await rm(folder, { recursive: true });
    }
  };

  it('sets limits, trusted proxies, the resource and the words of other applications', async () => {
    const { limits, http, resource, authzen } = await load(`
limits: { subject: { points: 300 }, cost: { points: 10000, seconds: 600 } }
http: { trustedProxies: [10.0.0.0/8, "::1"] }
resource: { identifier: https://rag.example/v1, documentation: https://rag.example/docs }
authzen: { subjectIssuer: workforce, resources: { report: { actions: { view: { container: "/reports/{id}" } } } } }
`);
    expect(limits.subject).toEqual({ points: 300, seconds: 60 });
    expect(limits.cost).toEqual({ points: 10_000, seconds: 600 });
    expect(limits.failures).toEqual({ points: 600, seconds: 60 });
    expect(blockListOf(http.trustedProxies).check('10.1.2.3')).toBe(true);
    expect(blockListOf(http.trustedProxies).check('::1', 'ipv6')).toBe(true);
    expect(blockListOf(http.trustedProxies).check('11.1.2.3')).toBe(false);
    expect(resource.identifier).toBe('https://rag.example/v1');
    expect(authzen.resources.report?.actions.view).toEqual({ container: '/reports/{id}', right: 'read' });
  });

  it.each([
    'limits: { subject: { points: 0 } }',
    'limits: { subject: off }',
    'limits: { everybody: { points: 5 } }',
    'http: { trustedProxies: ["*"] }',
    'http: { trustedProxies: [10.0.0.0/33] }',
    'http: { trustedProxies: [proxy.example] }',
    'resource: { identifier: rag.example }',
  ])('with %s is refused at the start', async (text) => {
    await expect(load(text)).rejects.toMatchObject({ code: 'config_invalid' });
  });

  it('believes no header and has every limit without a word of it', async () => {
    const { limits, http } = await load('{}');
    expect(http.trustedProxies).toEqual([]);
    expect(Object.keys(limits).sort()).toEqual([...LIMIT_NAMES].sort());
  });
});
