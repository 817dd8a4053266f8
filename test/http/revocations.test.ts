import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openTestApp, type TestApp } from '../helpers/app.ts';
import { asSuperuser } from '../helpers/policy-tables.ts';

const EVERY_MS = 100;

let test: TestApp;
/** What a rebuild of the index waits for. */
let finishRebuild: () => void = () => {};
beforeAll(async () => {
  test = await openTestApp(
    (services) => ({
      ...services,
      maintenance: {
        ...services.maintenance,
        rebuild: async () => async (onProgress) => {
          for (let done = 0; done < 3; done += 1) {
            onProgress(done, 3);
            await sleep(5);
          }
          await new Promise<void>((resolve) => {
            finishRebuild = resolve;
          });
          return { passages: 3 };
        },
      },
    }),
    { decideStreamsEveryMs: EVERY_MS },
  );
});
afterAll(() => test.close());

const revoke = (account: string | undefined, kind: string, id: string, reason = 'a test') =>
  test.ask(account, 'POST', '/v1/revocations', { kind, id, reason });
/** Tokens tell their time of issue in whole seconds. */
const nextSecond = () => sleep(1_000 - (Date.now() % 1_000) + 20);

async function askWith(token: string, path = '/v1/documents') {
  const response = await fetch(test.url + path, { headers: { authorization: `Bearer ${token}` } });
  return {
    status: response.status,
    challenge: response.headers.get('www-authenticate'),
    body: (await response.json()) as Record<string, unknown>,
  };
}

describe('POST /v1/revocations', () => {
  it('refuses the person’s token with the challenge of an invalid one, and takes a new one', async () => {
    const token = await test.token('petra');
    expect((await askWith(token)).status).toBe(200);
    const answer = await revoke('root', 'user', 'workforce|petra', 'laptop lost');
    expect(answer.status).toBe(200);
    expect(answer.json).toEqual({
      request_id: expect.any(String),
      kind: 'user',
      id: 'workforce|petra',
      reason: 'laptop lost',
      issued_until: answer.json.revoked_at,
      revoked_at: expect.any(String),
    });
    const refused = await askWith(token);
    expect(refused).toMatchObject({ status: 401, body: { code: 'credential_revoked' } });
    expect(refused.challenge).toMatch(/^Bearer .*error="invalid_token"/);
    expect(test.refusals.at(-1)).toMatchObject({
      code: 'credential_revoked',
      subject: 'user:workforce|petra',
      tenant: 'meridian',
      route: '/v1/documents',
    });
    await nextSecond();
    expect((await askWith(await test.token('petra'))).status).toBe(200);
  });

  it('refuses every token of a client, and nobody else’s', async () => {
    const token = await test.token('agent');
    expect((await askWith(token)).status).toBe(200);
    expect((await revoke('root', 'client', 'workforce|agent')).status).toBe(200);
    expect((await askWith(token)).body).toMatchObject({ code: 'credential_revoked' });
    expect((await test.ask('petra', 'GET', '/v1/documents')).status).toBe(200);
  });

  it('answers everybody without administer the same, whatever is revoked', async () => {
    await revoke('root', 'session', 'workforce|known');
    const plain = ({ status, json: { request_id: _, ...body } }: Awaited<ReturnType<typeof revoke>>) => ({
      status,
      body,
    });
    const known = plain(await revoke('carla', 'session', 'workforce|known'));
    expect(known).toMatchObject({ status: 403, body: { code: 'right_missing' } });
    expect(plain(await revoke('carla', 'session', 'workforce|unknown'))).toEqual(known);
    expect(plain(await revoke('carla', 'user', 'workforce|root'))).toEqual(known);
    expect(plain(await test.ask('carla', 'GET', '/v1/revocations'))).toEqual(known);
  });

  it('lets everybody sign out everywhere', async () => {
    const token = await test.token('carla');
    expect((await revoke('carla', 'user', 'partners|carla', 'signing out')).status).toBe(200);
    expect((await askWith(token)).body).toMatchObject({ code: 'credential_revoked' });
    await nextSecond();
    expect((await test.ask('carla', 'GET', '/v1/documents')).status).toBe(200);
  });

  it.each([
    { kind: 'user', id: 'workforce|petra' },
    { kind: 'user', id: 'workforce|petra', reason: '' },
    { kind: 'user', id: 'workforce|petra', reason: 'x'.repeat(201) },
    { kind: 'user', id: 'petra', reason: 'r' },
    { kind: 'group', id: 'workforce|hr', reason: 'r' },
    { kind: 'user', id: 'workforce|petra', reason: 'r', tenant: 'rival' },
  ])('refuses %j', async (body) => {
    expect((await test.ask('root', 'POST', '/v1/revocations', body)).json.code).toBe('invalid_request');
  });
});

describe('GET /v1/revocations', () => {
  it('lists them by kind and id, a page at a time', async () => {
    for (const n of [1, 2, 3]) await revoke('root', 'key', `key|${n}`);
    const first = await test.ask('root', 'GET', '/v1/revocations?limit=2&cursor=key:key%7C1');
    expect(first.json).toMatchObject({
      revocations: [
        { kind: 'key', id: 'key|2', reason: 'a test', issued_until: null },
        { kind: 'key', id: 'key|3' },
      ],
      next_cursor: 'key:key|3',
    });
    expect((await test.ask('root', 'GET', '/v1/revocations?cursor=nonsense')).json.code).toBe(
      'invalid_request',
    );
  });
});

describe('An open batch', () => {
  const line = (id: string) =>
    new TextEncoder().encode(
      `${JSON.stringify({ container: '/hr', external_id: id, media_type: 'text/plain', text: `About ${id}.` })}\n`,
    );

  /** A batch of anna, whose lines are sent and read one by one; the answer begins with the first result. */
  async function openBatch(first: string, credential?: string) {
    let send: ReadableStreamDefaultController<Uint8Array> | undefined;
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => {
        send = controller;
        controller.enqueue(line(first));
      },
    });
    const response = await fetch(`${test.url}/v1/documents:batch`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${credential ?? (await test.token('anna'))}`,
        'content-type': 'application/x-ndjson',
      },
      body,
      duplex: 'half',
    } as RequestInit);
    const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
    const read = async () => {
      const { done = true, value } = (await reader?.read()) ?? {};
      return done ? undefined : (JSON.parse(value ?? '') as Record<string, unknown>);
    };
    return { send: (id: string) => send?.enqueue(line(id)), read, close: () => send?.close() };
  }

  it.each([
    ['their account is signed out', () => revoke('root', 'user', 'workforce|anna'), 'credential_revoked'],
    [
      'their account is disabled',
      () => test.ask('root', 'PATCH', '/v1/principals/user%3Aworkforce%7Canna', { status: 'disabled' }),
      'subject_disabled',
    ],
  ])('ends with one last line when %s, though its sender says nothing', async (name, end, code) => {
    await nextSecond();
    const batch = await openBatch(`first-${name}`);
    expect(await batch.read()).toMatchObject({ status: 'created' });
    const before = test.refusals.length;
    await end();
    const revoked = performance.now();
    expect(await batch.read()).toMatchObject({ line: 0, status: 'failed', error: { code } });
    expect(performance.now() - revoked).toBeLessThan(EVERY_MS * 5);
    expect(await batch.read()).toBeUndefined();
    expect(test.refusals.slice(before)).toMatchObject([
      { code, subject: 'user:workforce|anna', route: '/v1/documents:batch' },
    ]);
    batch.close();
    await test.ask('root', 'PATCH', '/v1/principals/user%3Aworkforce%7Canna', { status: 'active' });
  });

  /** With a key of a service that may ingest, which ends after so many milliseconds. */
  async function shortKey(ms: number): Promise<string> {
    const principal = 'service:workforce|short-lived';
    await test.ask('root', 'POST', '/v1/principals', { principal, display_name: principal });
    await test.ask('root', 'POST', '/v1/containers/%2Fhr/roles', { principal, right: 'ingest' });
    const body = { service: principal, name: 'Short', rights: ['ingest'] };
    const { json } = await test.ask('root', 'POST', '/v1/api-keys', body);
    await asSuperuser(
      test.store.database,
      `update api_key set expires_at = clock_timestamp() + interval '${ms} milliseconds' where id = '${json.id}'`,
    );
    return String(json.key);
  }

  it.each([
    ['token', () => test.token('anna', { lifetimeSeconds: 2 }), 'user:workforce|anna'],
    ['key', () => shortKey(2_000), 'service:workforce|short-lived'],
  ])('ends with one last line when the %s that opened it expires', async (name, credential, subject) => {
    await nextSecond();
    const began = performance.now();
    const batch = await openBatch(`first-${name}`, await credential());
    expect(await batch.read()).toMatchObject({ status: 'created' });
    const before = test.refusals.length;
    expect(await batch.read()).toMatchObject({ line: 0, status: 'failed', error: { code: 'invalid_token' } });
    expect(performance.now() - began).toBeLessThan(2_000 + EVERY_MS * 5);
    expect(await batch.read()).toBeUndefined();
    expect(test.refusals.slice(before)).toMatchObject([
      { code: 'invalid_token', status: 401, subject, route: '/v1/documents:batch' },
    ]);
    batch.close();
  });

  it('writes nothing of what is sent once they are signed out', async () => {
    await nextSecond();
    const batch = await openBatch('before');
    expect(await batch.read()).toMatchObject({ status: 'created' });
    await revoke('root', 'user', 'workforce|anna');
    batch.send('after');
    const last = await batch.read();
    expect(last).toMatchObject({ line: 0, error: { code: 'credential_revoked' } });
    expect(await batch.read()).toBeUndefined();
    batch.close();
    const rows = await test.store.database.unitOfWork('ingest', test.store.admin.context, (trx) =>
      trx.withSchema('bulkhead').selectFrom('document').select('external_id').execute(),
    );
    expect(rows.map((row) => row.external_id)).not.toContain('after');
  });
});

describe('A stream of progress', () => {
  it('ends with one last line when its caller is signed out, and the work goes on', async () => {
    await nextSecond();
    const response = await fetch(`${test.url}/v1/index/rebuild`, {
      method: 'POST',
      headers: { authorization: `Bearer ${await test.token('root')}` },
    });
    await sleep(50);
    // their own: signing out is what ends it
    await revoke('root', 'user', 'workforce|root');
    const lines = (await response.text()).trim().split('\n');
    expect(lines.slice(0, -1).every((text) => text.startsWith('{"done":'))).toBe(true);
    expect(JSON.parse(lines.at(-1) ?? '')).toMatchObject({ error: { code: 'credential_revoked' } });
    finishRebuild();
  });

  it('has the result as its last line when nobody is', async () => {
    await nextSecond();
    const response = await fetch(`${test.url}/v1/index/rebuild`, {
      method: 'POST',
      headers: { authorization: `Bearer ${await test.token('root')}` },
    });
    const text = response.text();
    await sleep(EVERY_MS * 3);
    finishRebuild();
    expect((await text).trim().split('\n').at(-1)).toBe('{"result":{"passages":3}}');
  });

  it('that ends with many others is recorded as any refusal, twenty a minute', async () => {
    await nextSecond();
    const headers = { authorization: `Bearer ${await test.token('root')}` };
    const open = () => fetch(`${test.url}/v1/index/rebuild`, { method: 'POST', headers });
    const responses = await Promise.all(Array.from({ length: 25 }, open));
    const before = test.refusals.length;
    await revoke('root', 'user', 'workforce|root');
    const ends = (await Promise.all(responses.map((response) => response.text()))).map((text) =>
      text.trim().split('\n').at(-1),
    );
    expect(ends).toEqual(Array(25).fill(expect.stringContaining('credential_revoked')));
    expect(test.refusals.length - before).toBeLessThanOrEqual(20);
  });
});
