/** Limits on the wire: who is refused when, what they are told, and what nobody learns from it. */
import { randomUUID } from 'node:crypto';
import { BlockList } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { limitsSchema } from '../../src/config/limits.ts';
import type { RequestLimits } from '../../src/http/rate-limit-requests.ts';
import { type LimitRules, RateLimits } from '../../src/http/rate-limits.ts';
import { type Asked, openTestApp, type TestApp } from '../helpers/app.ts';

/** Of the whole file: each test sets its rules and its hour. */
const limits: { -readonly [K in keyof RequestLimits]: RequestLimits[K] } = {
  limits: new RateLimits({ rules: limitsSchema.parse({}), now: Date.now }),
  trustedProxies: new BlockList(),
};
const clock = { ms: 1_800_000_000_000 };
function set(changes: Partial<LimitRules>): void {
  const rules = { ...limitsSchema.parse({}), ...changes };
  limits.limits = new RateLimits({ rules, now: () => clock.ms });
  limits.trustedProxies = new BlockList();
}

let app: TestApp;
beforeAll(async () => {
  // read at each request
  const live: RequestLimits = {
    get limits() {
      return limits.limits;
    },
    get trustedProxies() {
      return limits.trustedProxies;
    },
  };
  app = await openTestApp(undefined, { limits: live });
  await app.add('/open', '# Canteen\n\nThe canteen opens at eight.');
  await app.add('/hr', '# Salaries\n\nSalaries are paid on the 27th.');
}, 120_000);
afterAll(() => app.close());

const list = (account: string | undefined) => app.ask(account, 'GET', '/v1/documents');
const field = ({ headers }: Asked, name: string) => headers.get(name);
const minute = (points: number) => ({ points, seconds: 60 });
const with_ = (headers: Record<string, string>, path = '/v1/documents') =>
  fetch(app.url + path, { headers, redirect: 'manual' });

describe('A caller', () => {
  it('is told how they stand, in structured fields', async () => {
    set({ subject: minute(10), cost: minute(500) });
    const first = await list('petra');
    expect(first.status).toBe(200);
    expect(field(first, 'ratelimit-policy')).toBe(
      '"subject";q=10;w=60, "cost";q=500;w=60;qu="bulkhead-points"',
    );
    // one for the request, and one for a document of the lowest level
    expect(field(first, 'ratelimit')).toBe('"subject";r=9;t=60, "cost";r=498;t=60');
    clock.ms += 20_000;
    expect(field(await list('petra'), 'ratelimit')).toBe('"subject";r=8;t=40, "cost";r=496;t=40');
  });

  it('is refused with a problem, and told when to come back', async () => {
    set({ subject: minute(2) });
    await list('petra');
    await list('petra');
    clock.ms += 15_000;
    const refused = await list('petra');
    expect(refused.status).toBe(429);
    expect(refused.json).toMatchObject({ code: 'rate_limited', type: 'urn:bulkhead:problem:rate_limited' });
    expect(field(refused, 'retry-after')).toBe('45');
    expect(field(refused, 'ratelimit')).toBe('"subject";r=0;t=45, "cost";r=249996;t=45');
    expect((await list('anna')).status).toBe(200);
    clock.ms += 45_000;
    expect((await list('petra')).status).toBe(200);
  });

  it('is one however many tokens they show', async () => {
    set({ subject: minute(3) });
    const statuses: number[] = [];
    for (let i = 0; i < 5; i += 1) {
      const token = await app.token('petra', { lifetimeSeconds: 100 + i });
      statuses.push((await with_({ authorization: `Bearer ${token}` })).status);
    }
    expect(statuses).toEqual([200, 200, 200, 429, 429]);
  });

  it('is refused before any work is done', async () => {
    set({ subject: minute(1) });
    await list('root');
    const document = { container: '/open', external_id: randomUUID(), media_type: 'text/plain', text: 'x' };
    const created = await app.ask('root', 'POST', '/v1/containers', { path: '/made-anyway', entries: [] });
    expect(created.status).toBe(429);
    // what is taken in counts by itself
    expect((await app.ask('root', 'POST', '/v1/documents:pending', { documents: [] })).status).not.toBe(429);
    set({});
    expect((await app.ask('root', 'GET', '/v1/containers/%2Fmade-anyway')).status).toBe(404);
    expect(document.container).toBe('/open');
  });
});

describe('A service', () => {
  it('is limited for all its people together, who keep their own room', async () => {
    set({ actor: minute(2) });
    const asAgent = async (account: string) => {
      const token = await app.token(account, { actor: 'agent' });
      const response = await with_({ authorization: `Bearer ${token}` });
      return { status: response.status, told: response.headers.get('ratelimit') ?? '' };
    };
    expect((await asAgent('petra')).told).not.toContain('actor');
    expect((await asAgent('anna')).status).toBe(200);
    const refused = await asAgent('petra');
    expect(refused.status).toBe(429);
    expect(refused.told).toMatch(/^"actor";r=0;t=60, "subject"/);
    expect((await list('petra')).status).toBe(200);
  });
});

describe('The cost', () => {
  const retrieve = (account: string, query = 'salaries and the canteen') =>
    app.ask(account, 'POST', '/v1/retrieve', { query, limit: 10 });
  const left = (answer: Asked) => Number(/"cost";r=(\d+)/.exec(field(answer, 'ratelimit') ?? '')?.[1]);

  it('is one and for each passage its level, of what the caller was sent', async () => {
    set({ cost: minute(100) });
    const petra = await retrieve('petra');
    expect(petra.json.passages).toHaveLength(1);
    expect(left(petra)).toBe(100 - 1 - 1);
    const anna = await retrieve('anna');
    expect(anna.json.passages).toHaveLength(2);
    expect(left(anna)).toBe(100 - 1 - 1 - 3);
  });

  it('tells nothing of what is hidden, which may come and go', async () => {
    set({ cost: minute(1_000) });
    const before = left(await retrieve('petra'));
    const hidden = await app.add('/hr', '# More\n\nSalaries and the canteen and salaries.');
    const after = left(await retrieve('petra'));
    await app.ask('root', 'DELETE', `/v1/documents/${hidden}`);
    const gone = left(await retrieve('petra'));
    expect([before - after, after - gone]).toEqual([2, 2]);
    // reading what is hidden and what is missing costs the same
    const hr = await app.add('/hr', 'x');
    const one = left(await app.ask('petra', 'GET', `/v1/documents/${hr}`));
    const two = left(await app.ask('petra', 'GET', `/v1/documents/${randomUUID()}`));
    expect([gone - one, one - two]).toEqual([0, 0]);
  });

  it('is each caller’s own, and a service’s for a person is not the person’s', async () => {
    set({ cost: minute(1_000) });
    const before = left(await list('petra'));
    await retrieve('anna');
    await with_({ authorization: `Bearer ${await app.token('petra', { actor: 'agent' })}` });
    const after = left(await list('petra'));
    expect(before - after).toBe(1_000 - before);
  });

  it('once spent refuses the next question, and nothing else', async () => {
    set({ cost: minute(4) });
    expect((await retrieve('anna')).status).toBe(200);
    const refused = await retrieve('anna');
    expect(refused.status).toBe(429);
    expect(field(refused, 'ratelimit')).toMatch(/^"cost";r=0;t=60, "subject"/);
    expect((await app.ask('root', 'GET', '/v1/containers')).status).toBe(200);
  });

  it('counts decisions too', async () => {
    set({ cost: minute(100) });
    const evaluations = Array.from({ length: 10 }, (_, i) => ({
      subject: { type: 'user', id: 'workforce|petra' },
      action: { name: 'read' },
      resource: { type: 'container', id: `/${i}` },
    }));
    expect(left(await app.ask('petra', 'POST', '/access/v1/evaluations', { evaluations }))).toBe(100 - 11);
  });
});

describe('A network address', () => {
  it('is limited before its credentials are looked at', async () => {
    set({ address: minute(2) });
    expect((await with_({ authorization: 'Bearer a.b.c' })).status).toBe(401);
    expect((await list('petra')).status).toBe(200);
    const refused = await list('petra');
    expect(refused.status).toBe(429);
    expect(field(refused, 'ratelimit')).toBe('"address";r=0;t=60');
    expect((await with_({}, '/healthz')).status).toBe(200);
  });

  it('is not what a header says', async () => {
    set({ address: minute(3) });
    const statuses: number[] = [];
    for (let i = 0; i < 5; i += 1) {
      const headers = {
        'x-forwarded-for': `198.51.100.${i}`,
        forwarded: `for=198.51.100.${i}`,
        'x-real-ip': `198.51.100.${i}`,
        'true-client-ip': `198.51.100.${i}`,
      };
      statuses.push((await with_(headers)).status);
    }
    expect(statuses).toEqual([401, 401, 401, 429, 429]);
  });

  it('is what a trusted proxy says, who is the nearest that is not one', async () => {
    set({ address: minute(1) });
    limits.trustedProxies.addAddress('127.0.0.1', 'ipv4');
    const from = async (header: string) => (await with_({ 'x-forwarded-for': header })).status;
    expect(await from('198.51.100.1')).toBe(401);
    expect(await from('198.51.100.2')).toBe(401);
    expect(await from('198.51.100.1')).toBe(429);
    expect(await from('203.0.113.7, 198.51.100.1')).toBe(429);
  });

  it('that shows bad credentials again and again is not looked at any more', async () => {
    set({ failures: minute(3) });
    const bad = async () => (await with_({ authorization: 'Bearer a.b.c' })).status;
    expect([await bad(), await bad(), await bad(), await bad()]).toEqual([401, 401, 401, 429]);
    expect((await list('petra')).status).toBe(429);
    clock.ms += 60_000;
    expect((await list('petra')).status).toBe(200);
  });

  it('begins so many sign-ins and no more, on a page that says so', async () => {
    set({ signIn: { points: 2, seconds: 300 } });
    expect((await with_({}, '/signin/workforce')).status).toBe(302);
    expect((await with_({}, '/callback?code=x&state=y')).status).not.toBe(429);
    const refused = await with_({}, '/signin/workforce');
    expect(refused.status).toBe(429);
    expect(refused.headers.get('retry-after')).toBe('300');
    expect(refused.headers.get('content-type')).toMatch(/^text\/html/);
    expect((await list('petra')).status).toBe(200);
  });
});

describe('A refusal', () => {
  it('is recorded like others, with who it was where that is known', async () => {
    set({ subject: minute(1) });
    await list('petra');
    const seen = app.refusals.length;
    await list('petra');
    expect(app.refusals.slice(seen)).toMatchObject([
      {
        code: 'rate_limited',
        status: 429,
        subject: 'user:workforce|petra',
        route: '/v1/documents',
        count: 1,
      },
    ]);
    expect(app.logLines.at(-1)).toContain('"limit":"subject"');
  });

  it('in a flood does not flood the log', async () => {
    set({ subject: minute(1) });
    const seen = app.refusals.length;
    for (let i = 0; i < 60; i += 1) await list('anna');
    expect(app.refusals.length - seen).toBeLessThanOrEqual(20);
  });
});

describe('Counts that other processes cannot be told', () => {
  it('are the end of answers after half a minute, not of limits', async () => {
    const rules = limitsSchema.parse({});
    const exchange = () => Promise.reject(new Error('the database is away'));
    limits.limits = new RateLimits({ rules, now: () => clock.ms, exchange });
    expect((await list('petra')).status).toBe(200);
    await expect(limits.limits.exchange()).rejects.toThrow('away');
    expect((await list('petra')).status).toBe(200);
    clock.ms += 30_001;
    const refused = await list('petra');
    expect([refused.status, refused.json.code]).toEqual([503, 'rate_limit_unavailable']);
    expect(field(refused, 'retry-after')).toBe('5');
    expect((await with_({}, '/healthz')).status).toBe(200);
  });
});

describe('The configuration', () => {
  it('has no way to say that there is no limit', () => {
    for (const subject of [{ points: 0 }, { points: -1 }, { seconds: 0 }, { points: null }, false, 'off'])
      expect(limitsSchema.safeParse({ subject }).success, JSON.stringify(subject)).toBe(false);
    expect(limitsSchema.parse({ subject: { points: 5 } }).subject).toEqual({ points: 5, seconds: 60 });
  });
});
