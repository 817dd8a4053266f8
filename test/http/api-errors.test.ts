import { request as httpRequest } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openTestApp, type TestApp } from '../helpers/app.ts';

const MEGABYTE = 1_000_000;
let test: TestApp;
let broken: Error | undefined;

beforeAll(async () => {
  test = await openTestApp((services) => ({
    ...services,
    retrieve: (identity, request) =>
      broken === undefined ? services.retrieve(identity, request) : Promise.reject(broken),
  }));
});
afterAll(() => test?.close());

const RETRIEVE = '/v1/retrieve';

async function send(path: string, contentType: string | undefined, body: string | Uint8Array | Blob) {
  const response = await fetch(test.url + path, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${await test.token('petra')}`,
      ...(contentType !== undefined && { 'content-type': contentType }),
    },
    body,
  });
  return { status: response.status, json: (await response.json()) as Record<string, unknown> };
}

/** A body without Content-Length, made as it is sent; resolves with what the server says to it. */
async function sendChunked(path: string, chunks: number, chunk: Buffer) {
  const token = await test.token('petra');
  return new Promise<{ status: number; body: string; sent: number }>((resolve, reject) => {
    let sent = 0;
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
    const request = httpRequest(test.url + path, { method: 'POST', headers }, (response) => {
      let body = '';
      response.on('data', (piece) => {
        body += piece;
      });
      response.on('end', () => {
        resolve({ status: response.statusCode ?? 0, body, sent });
        request.destroy();
      });
    });
    request.on('error', reject);
    const pump = () => {
      while (sent < chunks && !request.destroyed) {
        sent += 1;
        if (!request.write(chunk)) return request.once('drain', pump);
      }
      return request.end();
    };
    pump();
  });
}

describe('an error', () => {
  it('is a problem of RFC 9457 with a code and the id of the request', async () => {
    const { status, headers, json } = await test.ask('petra', 'POST', RETRIEVE, {});
    expect(status).toBe(400);
    expect(headers.get('content-type')).toBe('application/problem+json');
    expect(json).toEqual({
      type: 'urn:bulkhead:problem:invalid_request',
      title: 'The request is not valid',
      status: 400,
      detail: 'A field of the body did not validate.',
      code: 'invalid_request',
      request_id: headers.get('x-request-id'),
      errors: [{ path: 'query', message: expect.any(String) }],
    });
  });

  it('that nobody expected shows nothing of itself, and the log says where without a message', async () => {
    broken = new TypeError('the secret text of a document');
    const { status, text } = await test.ask('petra', 'POST', RETRIEVE, { query: 'x' });
    broken = undefined;
    expect(status).toBe(500);
    expect(JSON.parse(text)).toMatchObject({ code: 'internal' });
    const line = test.logLines.find((entry) => entry.includes('request failed')) ?? '';
    expect(text + line).not.toContain('secret');
    expect(JSON.parse(line)).toMatchObject({ code: 'internal', error: { name: 'TypeError' } });
  });

  it.each([
    ['no token', undefined, 'missing_token', 'Bearer realm="bulkhead"'],
    ['another scheme', 'Basic dXNlcjpwYXNz', 'missing_token', 'Bearer realm="bulkhead"'],
    ['two tokens', 'Bearer a.b.c, Bearer d.e.f', 'missing_token', 'Bearer realm="bulkhead"'],
    ['no JWT', 'Bearer nonsense', 'invalid_token', 'Bearer realm="bulkhead", error="invalid_token"'],
  ])('of %s carries the challenge of RFC 6750', async (_, authorization, code, challenge) => {
    const response = await fetch(`${test.url}/v1/documents`, {
      headers: authorization === undefined ? {} : { authorization },
    });
    expect(response.status).toBe(401);
    expect(response.headers.get('www-authenticate')).toContain(challenge);
    expect(await response.json()).toMatchObject({ code });
  });

  it('of an expired token says so and is recorded', async () => {
    const token = await test.token('petra', { lifetimeSeconds: 1 });
    await new Promise((resolve) => setTimeout(resolve, 1_100));
    const response = await fetch(`${test.url}/v1/documents`, {
      headers: { authorization: `Bearer ${token}` },
    });
    expect(response.status).toBe(401);
    expect(response.headers.get('www-authenticate')).toContain('expired');
    expect(test.refusals.at(-1)).toMatchObject({
      code: 'invalid_token',
      status: 401,
      count: 1,
      subject: null,
    });
  });

  it('of a part that is down says when to come back', async () => {
    const { BulkheadError } = await import('../../src/errors.ts');
    broken = new BulkheadError('index_unavailable', 'The index did not answer.', { retryAfterSeconds: 7 });
    const { status, headers } = await test.ask('petra', 'POST', RETRIEVE, { query: 'x' });
    broken = undefined;
    expect([status, headers.get('retry-after')]).toEqual([503, '7']);
  });

  it('of an account that left is refused, and recorded with its name', async () => {
    const { status, json } = await test.ask('paul', 'POST', RETRIEVE, { query: 'x' });
    expect([status, json.code]).toEqual([403, 'subject_disabled']);
    expect(test.refusals.at(-1)).toMatchObject({
      tenant: 'meridian',
      subject: 'user:workforce|paul',
      code: 'subject_disabled',
      route: RETRIEVE,
    });
  });
});

describe('a body', () => {
  it.each([
    ['malformed JSON', '{"query": ', 'malformed_json'],
    ['an empty one', '', 'malformed_json'],
    ['a million brackets', '['.repeat(MEGABYTE), 'malformed_json'],
    ['a list', '[]', 'invalid_request'],
  ])('of %s is refused', async (_, body, code) => {
    const { status, json } = await send(RETRIEVE, 'application/json', body);
    expect([status, json.code]).toEqual([400, code]);
  });

  it('of invalid UTF-8 is refused, not repaired', async () => {
    const body = Buffer.concat([Buffer.from('{"query":"'), Buffer.from([0xc3, 0x28]), Buffer.from('"}')]);
    const { status, json } = await send(RETRIEVE, 'application/json', body);
    expect([status, json.code]).toEqual([400, 'malformed_json']);
  });

  it('that begins with a byte order mark is read without it', async () => {
    const body = Buffer.from('\ufeff{"query":"ä","limit":0}');
    const { status, json } = await send(RETRIEVE, 'application/json', body);
    expect([status, json.code]).toEqual([400, 'invalid_request']);
    expect(json.errors).toMatchObject([{ path: 'limit' }]);
  });

  it.each(['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x', undefined])(
    'sent as %s is refused',
    async (contentType) => {
      const body = contentType === undefined ? new Blob(['{"query":"x"}']) : '{"query":"x"}';
      const { status, json } = await send(RETRIEVE, contentType, body);
      expect([status, json.code]).toEqual([415, 'unsupported_media_type']);
    },
  );

  it.each<[string, unknown, string[]]>([
    ['limit 0', { query: 'x', limit: 0 }, ['limit']],
    ['limit 51', { query: 'x', limit: 51 }, ['limit']],
    ['a limit that is a string', { query: 'x', limit: '10' }, ['limit']],
    ['2,001 characters', { query: 'x'.repeat(2_001) }, ['query']],
    ['100,000 characters', { query: 'x'.repeat(100_000) }, ['query']],
    ['NUL', { query: 'a\0b' }, ['query']],
    ['a lone surrogate', { query: '\ud800' }, ['query']],
    ['nothing but blanks', { query: '  \n ' }, ['query']],
    ['a number for a question', { query: 1 }, ['query']],
    ['an unknown field', { query: 'x', acl: 'none' }, ['acl']],
    ['an unknown filter', { query: 'x', filters: { bypass_acl: true } }, ['filters.bypass_acl']],
    [
      'dates in the wrong order',
      { query: 'x', filters: { from: '2026-02-01', until: '2026-01-01' } },
      ['filters.from'],
    ],
    ['a date that is none', { query: 'x', filters: { from: 'yesterday' } }, ['filters.from']],
    ['the year 0', { query: 'x', filters: { from: '0000-01-01' } }, ['filters.from']],
    ['__proto__', JSON.parse('{"query":"x","__proto__":{"limit":1}}'), ['__proto__']],
  ])('with %s is refused with the path named', async (_, body, paths) => {
    const { status, json } = await test.ask('petra', 'POST', RETRIEVE, body);
    expect([status, json.code]).toEqual([400, 'invalid_request']);
    expect((json.errors as { path: string }[]).map(({ path }) => path)).toEqual(paths);
  });

  it('naming a level that is not configured is told the levels there are', async () => {
    const { status, json } = await test.ask('petra', 'POST', RETRIEVE, {
      query: 'x',
      filters: { max_level: 'cosmic' },
    });
    expect([status, json.code]).toEqual([422, 'unknown_level']);
    expect(json.detail).toContain('confidential');
  });

  it('announced as too large is refused before it is read', async () => {
    const { status, json } = await send(RETRIEVE, 'application/json', 'x'.repeat(2 * MEGABYTE + 1));
    expect([status, json.code]).toEqual([413, 'payload_too_large']);
  });

  it('of 200 MB without a length is cut off, and the process stays up', async () => {
    const answer = await sendChunked(RETRIEVE, 200, Buffer.alloc(MEGABYTE, ' '));
    expect(answer.status).toBe(413);
    expect(JSON.parse(answer.body)).toMatchObject({ code: 'payload_too_large' });
    expect(answer.sent).toBeLessThan(200);
    expect((await test.ask(undefined, 'GET', '/healthz')).json).toEqual({ status: 'ok' });
  });
});

describe('a path', () => {
  it('that does not exist is not found, and needs a token to ask for below /v1', async () => {
    expect((await test.ask(undefined, 'GET', '/v1/nothing')).json.code).toBe('missing_token');
    expect((await test.ask('petra', 'GET', '/v1/nothing')).json.code).toBe('not_found');
    expect((await test.ask('petra', 'POST', '/v1/documentsXbatch')).json.code).toBe('not_found');
  });

  it('with another method lists those it has', async () => {
    const { status, headers, json } = await test.ask('petra', 'PUT', '/v1/documents', {});
    expect([status, json.code]).toEqual([405, 'method_not_allowed']);
    expect(headers.get('allow')).toBe('GET, HEAD, OPTIONS, POST');
    const options = await test.ask('petra', 'OPTIONS', '/v1/documents');
    expect([options.status, options.text, options.headers.get('allow')]).toEqual([
      204,
      '',
      'GET, HEAD, OPTIONS, POST',
    ]);
  });

  it('answers HEAD like GET, without the body', async () => {
    const { status, headers, text } = await test.ask('petra', 'HEAD', '/v1/documents');
    expect([status, text, headers.get('content-type')]).toEqual([200, '', 'application/json']);
  });

  it('refuses query parameters that it does not know, or that come twice', async () => {
    const unknown = await test.ask('petra', 'GET', '/v1/documents?owner=me');
    expect(unknown.json).toMatchObject({ code: 'invalid_request', errors: [{ path: 'owner' }] });
    const twice = await test.ask('petra', 'GET', '/v1/documents?limit=1&limit=2');
    expect(twice.json).toMatchObject({ code: 'invalid_request', errors: [{ path: 'limit' }] });
    for (const limit of ['0', '201', '-1', '1e2', '0x10', ''])
      expect((await test.ask('petra', 'GET', `/v1/documents?limit=${limit}`)).json.code).toBe(
        'invalid_request',
      );
  });
});

describe('every response', () => {
  it.each([
    ['GET', '/healthz'],
    ['GET', '/v1/documents'],
    ['GET', '/v1/nothing'],
    ['GET', '/'],
    ['GET', '/no/such/page'],
  ])('has its security headers and is not cached: %s %s', async (method, path) => {
    const { headers } = await test.ask('petra', method, path);
    expect(headers.get('content-security-policy')).toContain("default-src 'none'");
    expect(headers.get('content-security-policy')).toContain("frame-ancestors 'none'");
    expect(headers.get('content-security-policy')).not.toContain('unsafe');
    expect(headers.get('x-content-type-options')).toBe('nosniff');
    expect(headers.get('x-frame-options')).toBe('DENY');
    expect(headers.get('referrer-policy')).toBe('no-referrer');
    expect(headers.get('cache-control')).toBe('no-store');
    expect(headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/);
    expect(headers.get('x-powered-by')).toBeNull();
    expect(headers.get('access-control-allow-origin')).toBeNull();
  });

  it('is logged by its route, never by its path, question or token', async () => {
    const id = '0b6f2a8e-7a43-4c53-9f7e-2f2d1d7a9c11';
    await test.ask('petra', 'GET', `/v1/documents/${id}`);
    await test.ask('petra', 'POST', RETRIEVE, { query: 'a question nobody may log' });
    const lines = test.logLines.join('');
    expect(lines).toContain('"route":"/v1/documents/:id","status":404');
    expect(lines).not.toContain(id);
    expect(lines).not.toContain('nobody may log');
    expect(lines).not.toMatch(/eyJ|Bearer/);
  });
});

describe('health', () => {
  it('is told to anybody and says nothing', async () => {
    expect((await test.ask(undefined, 'GET', '/healthz')).text).toBe('{"status":"ok"}');
  });

  it('is readiness by part, without details', async () => {
    const { status, json } = await test.ask(undefined, 'GET', '/readyz');
    expect(status).toBe(200);
    expect(json).toEqual({ status: 'ready', parts: { database: 'ok', model: 'ok' } });
  });
});
