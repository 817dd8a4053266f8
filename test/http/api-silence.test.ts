/** Promise 1 at the edge: what is hidden and what does not exist get the same answer, on every route. */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Asked, openTestApp, type TestApp } from '../helpers/app.ts';

let test: TestApp;
/** Petra may read the first; of the second she may not know; the third never was. */
let entryOfHr = 0;
const ids = { readable: '', hidden: '', missing: randomUUID() };

beforeAll(async () => {
  test = await openTestApp();
  ids.readable = await test.add('/open', '# Office\n\nThe office opens at eight.');
  ids.hidden = await test.add('/hr', '# Salary round\n\nAurora raises every salary in January.');
  const hr = await test.ask('root', 'GET', '/v1/containers/hr');
  [{ id: entryOfHr }] = hr.json.entries as [{ id: number }];
});
afterAll(() => test?.close());

/** Everything but what may differ: the request's id and the date. */
function comparable({ status, headers, text }: Asked) {
  const requestId = headers.get('x-request-id') ?? 'none';
  // the caller's own requests so far are in `ratelimit`: see test/http/rate-limits.test.ts
  const own = ['x-request-id', 'date', 'ratelimit'];
  const kept = [...headers].filter(([name]) => !own.includes(name));
  return { status, headers: kept, body: text.replaceAll(requestId, 'REQUEST') };
}

type Route = [method: string, path: (id: string) => string, body?: unknown | ((id: string) => unknown)];

const ROUTES: Route[] = [
  ['GET', (id) => `/v1/documents/${id}`],
  ['HEAD', (id) => `/v1/documents/${id}`],
  ['DELETE', (id) => `/v1/documents/${id}`],
  ['PATCH', (id) => `/v1/documents/${id}/access`, { entries: [{ allow: 'everyone' }] }],
  ['PATCH', (id) => `/v1/documents/${id}/access`, { entries: [{ allow: 'user:workforce|nobody' }] }],
  ['PATCH', (id) => `/v1/documents/${id}/label`, { level: 'public' }],
  ['PATCH', (id) => `/v1/documents/${id}/label`, { level: 'cosmic' }],
  ['PATCH', (id) => `/v1/documents/${id}/label`, { wrong: true }],
  ['POST', () => '/v1/explain', (id: string) => ({ document: id })],
  ['POST', () => '/v1/explain', (id: string) => ({ document: id, subject: 'user:workforce|anna' })],
  ['POST', () => '/v1/explain', (id: string) => ({ document: id, actor: 'service:workforce|agent' })],
];

describe.each(ROUTES)('%s %s', (method, path, body) => {
  const ask = (account: string, id: string) =>
    test.ask(account, method, path(id), typeof body === 'function' ? body(id) : body);

  it('answers a hidden document like a missing one, byte for byte', async () => {
    const hidden = comparable(await ask('petra', ids.hidden));
    expect(hidden).toEqual(comparable(await ask('petra', ids.missing)));
    expect(hidden.status).toBeGreaterThanOrEqual(400);
  });

  it('answers an id that is none like a missing one', async () => {
    const isInvalid = typeof body === 'object' && body !== null && 'wrong' in body;
    if (isInvalid) return;
    const missing = comparable(await ask('petra', ids.missing));
    for (const id of ['1', 'not-a-uuid', ids.hidden.toUpperCase(), `${ids.hidden}%00`, '%ff', "'--"])
      expect(comparable(await ask('petra', id)), id).toEqual(missing);
  });

  it('answers the other issuer’s people alike too', async () => {
    expect(comparable(await ask('carla', ids.hidden))).toEqual(comparable(await ask('carla', ids.missing)));
  });
});

const CONTAINER_ROUTES: Route[] = [
  ['GET', (path) => `/v1/containers/${path}`],
  ['PATCH', (path) => `/v1/containers/${path}/label`, { level: 'public' }],
  ['PATCH', (path) => `/v1/containers/${path}/access`, { inherits: false }],
  ['POST', (path) => `/v1/containers/${path}/move`, { to: '/open' }],
  ['POST', (path) => `/v1/containers/${path}/move`, { to: '/nowhere' }],
  ['POST', (path) => `/v1/containers/${path}/entries`, { allow: 'user:workforce|petra' }],
  ['DELETE', (path) => `/v1/containers/${path}/entries?principal=everyone`],
  ['POST', (path) => `/v1/containers/${path}/roles`, { principal: 'user:workforce|petra', right: 'grant' }],
  ['DELETE', (path) => `/v1/containers/${path}/roles?principal=everyone&right=grant`],
  ['GET', (path) => `/v1/documents?container=%2F${path}`],
  ['DELETE', (path) => `/v1/entries/${path === 'hr' ? entryOfHr : 999_999}`],
];

describe.each(CONTAINER_ROUTES)('%s %s', (method, path, body) => {
  it('answers a hidden container like a missing one', async () => {
    const hidden = comparable(await test.ask('petra', method, path('hr'), body));
    const missing = comparable(await test.ask('petra', method, path('xx'), body));
    const receipt = /"receipt":\{[^}]*\}/;
    expect({ ...hidden, body: hidden.body.replace(receipt, '') }).toEqual({
      ...missing,
      body: missing.body.replace(receipt, ''),
    });
  });
});

describe('a container that is hidden', () => {
  const inContainer = (container: string) => ({
    container,
    external_id: 'a',
    media_type: 'text/plain',
    text: 'text',
    level: 'internal',
  });

  it('takes no document, in the words of one that is missing', async () => {
    const hidden = await test.ask('petra', 'POST', '/v1/documents', inContainer('/hr'));
    const missing = await test.ask('petra', 'POST', '/v1/documents', inContainer('/xx'));
    expect(hidden.json.code).toBe('unknown_container');
    expect(comparable(hidden).body.replace('/hr', '/xx')).toBe(comparable(missing).body);
    expect(comparable(hidden).status).toBe(comparable(missing).status);
  });

  it('takes no batch either', async () => {
    const send = async (container: string) => {
      const response = await fetch(`${test.url}/v1/documents:batch`, {
        method: 'POST',
        headers: {
          authorization: `Bearer ${await test.token('petra')}`,
          'content-type': 'application/x-ndjson',
        },
        body: JSON.stringify(inContainer(container)),
      });
      return { status: response.status, text: await response.text() };
    };
    const hidden = await send('/hr');
    expect(hidden.text).toContain('unknown_container');
    expect({ ...hidden, text: hidden.text.replace('/hr', '/xx') }).toEqual(await send('/xx'));
  });

  it('has no child made below it, in the words of one that is missing', async () => {
    const hidden = await test.ask('petra', 'POST', '/v1/containers', { path: '/hr/new' });
    const missing = await test.ask('petra', 'POST', '/v1/containers', { path: '/xx/new' });
    expect(comparable(hidden).body.replaceAll('/hr', '/xx')).toBe(comparable(missing).body);
    expect(hidden.status).toBe(missing.status);
  });

  it('has nothing moved below it, in the words of one that is missing', async () => {
    await test.ask('root', 'POST', '/v1/containers', { path: '/desk' });
    for (const right of ['administer', 'grant', 'label'])
      await test.ask('root', 'POST', '/v1/containers/desk/roles', {
        principal: 'user:workforce|petra',
        right,
      });
    await test.ask('petra', 'POST', '/v1/containers', { path: '/desk/drawer' });
    await test.ask('petra', 'POST', '/v1/containers', { path: '/desk/drawer/box' });
    const move = (to: string) => test.ask('petra', 'POST', '/v1/containers/desk%2Fdrawer%2Fbox/move', { to });
    const hidden = await move('/hr');
    expect(hidden.json.code).toBe('unknown_container');
    expect(comparable(hidden)).toEqual(comparable(await move('/xx')));
    expect((await move('/desk')).json).toMatchObject({ path: '/desk/box' });
  });

  it('is in no list, and its documents in no answer and no list', async () => {
    expect((await test.ask('petra', 'GET', '/v1/containers')).text).not.toContain('/hr');
    expect((await test.ask('petra', 'GET', '/v1/documents')).text).not.toContain(ids.hidden);
    const { text } = await test.ask('petra', 'POST', '/v1/retrieve', { query: 'What does Aurora raise?' });
    expect(text).not.toMatch(/Aurora|Salary|\/hr/);
    expect(text).toContain(ids.readable);
  });

  it('narrows a question to nothing, as an unknown one does', async () => {
    const ask = (container: string) =>
      test.ask('petra', 'POST', '/v1/retrieve', { query: 'office', filters: { container } });
    const withoutReceipt = ({ json }: Asked) => ({ ...json, request_id: '', receipt: '' });
    expect(withoutReceipt(await ask('/hr'))).toEqual(withoutReceipt(await ask('/xx')));
  });
});

it('what may be read but not changed is refused by name of the right, and recorded', async () => {
  const { status, json } = await test.ask('petra', 'PATCH', `/v1/documents/${ids.readable}/label`, {
    level: 'public',
  });
  expect([status, json.code]).toEqual([403, 'right_missing']);
  expect(test.refusals.at(-1)).toMatchObject({
    code: 'right_missing',
    subject: 'user:workforce|petra',
    route: '/v1/documents/:id/label',
  });
});
