import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { keyListView, shownKeyView } from '../../src/http/api-key-views.ts';
import { type Asked, openTestApp, type TestApp } from '../helpers/app.ts';
import { asSuperuser } from '../helpers/policy-tables.ts';
import { type ServiceIssuer, startServiceIssuer } from '../helpers/service-issuer.ts';

const AUDIENCE = 'https://bulkhead.example/api';
const BOT = 'service:workforce|bot';

let test: TestApp;
let machines: ServiceIssuer;
let open: string;
let secret: string;

beforeAll(async () => {
  machines = await startServiceIssuer(AUDIENCE);
  test = await openTestApp((services) => services, { profiles: [machines.profile] });
  for (const principal of [BOT, 'service:machines|nightly'])
    await test.ask('root', 'POST', '/v1/principals', { principal, display_name: principal });
  await role('/open', 'ingest');
  await role('/secret', 'ingest');
  open = await test.add('/open', '# Pay days\n\nSalaries are paid on the 25th.');
  secret = await test.add('/secret', '# The plan\n\nNobody knows.');
});
afterAll(async () => {
  await test?.close();
  await machines?.close();
});

const role = (container: string, right: string) =>
  test.ask('root', 'POST', `/v1/containers/${encodeURIComponent(container)}/roles`, {
    principal: BOT,
    right,
  });

async function create(body: object = {}): Promise<{ id: string; key: string }> {
  const answer = await test.ask('root', 'POST', '/v1/api-keys', {
    service: BOT,
    name: 'Bot',
    rights: ['read'],
    ...body,
  });
  if (answer.status !== 201) throw new Error(answer.text);
  expect(shownKeyView.safeParse(answer.json).error).toBeUndefined();
  return answer.json as never;
}

async function ask(credential: string, method: string, path: string, body?: object): Promise<Asked> {
  const response = await fetch(test.url + path, {
    method,
    headers: {
      authorization: `Bearer ${credential}`,
      ...(body !== undefined && { 'content-type': 'application/json' }),
    },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  const json = text === '' ? {} : JSON.parse(text);
  return { status: response.status, headers: response.headers, text, json };
}

const document = (container: string) => ({
  container,
  external_id: 'bot.md',
  media_type: 'text/markdown',
  text: 'Written by a bot.',
});

describe('a service with a key', () => {
  it('asks, lists and reads what its service may, and is named in the receipt', async () => {
    const { key } = await create();
    const answer = await ask(key, 'POST', '/v1/retrieve', { query: 'When are salaries paid?' });
    expect(answer.status).toBe(200);
    expect(answer.json.passages).toHaveLength(1);
    expect((await ask(key, 'GET', `/v1/documents/${open}`)).status).toBe(200);
    const hidden = await ask(key, 'GET', `/v1/documents/${secret}`);
    const missing = await ask(key, 'GET', '/v1/documents/00000000-0000-4000-8000-00000000dead');
    expect([hidden.status, hidden.json.detail]).toEqual([404, missing.json.detail]);
    expect(await lastRelease()).toMatchObject({ subject: BOT, actor: null });
  });

  it('is named in the receipt together with its key, where that has limits', async () => {
    const { id, key } = await create({ containers: ['/open'], level: 'internal' });
    expect((await ask(key, 'GET', `/v1/documents/${open}`)).status).toBe(200);
    expect(await lastRelease()).toMatchObject({ subject: BOT, actor: `service:key|${id}` });
  });

  it('may only what the key is for, and is told so in the way of RFC 6750', async () => {
    const reader = (await create()).key;
    const refused = await ask(reader, 'POST', '/v1/documents', document('/open'));
    expect([refused.status, refused.json.code]).toEqual([403, 'insufficient_scope']);
    expect(refused.headers.get('www-authenticate')).toMatch(
      /^Bearer .*error="insufficient_scope".*scope="ingest"/,
    );
    expect(test.refusals.at(-1)).toMatchObject({ code: 'insufficient_scope', subject: BOT });
    const writer = (await create({ rights: ['ingest'] })).key;
    expect((await ask(writer, 'POST', '/v1/documents', document('/open'))).status).toBe(201);
    for (const [method, path, body] of [
      ['POST', '/v1/retrieve', { query: 'pay' }],
      ['GET', '/v1/documents'],
      ['GET', `/v1/documents/${open}`],
      ['POST', '/v1/explain', { document: open }],
      ['GET', '/v1/audit/records'],
      ['GET', '/v1/api-keys'],
      ['POST', '/v1/containers/%2Fopen/entries', { allow: 'everyone' }],
      ['PATCH', `/v1/documents/${open}/label`, { level: 'public' }],
    ] as const)
      expect((await ask(writer, method, path, body)).json).toMatchObject({ code: 'insufficient_scope' });
  });

  it('does nothing outside the containers of the key, and hears nothing of what is there', async () => {
    const { key } = await create({ rights: ['read', 'ingest'], containers: ['/open'] });
    expect((await ask(key, 'POST', '/v1/documents', document('/open'))).status).toBe(200);
    const outside = await ask(key, 'POST', '/v1/documents', document('/secret'));
    const nowhere = await ask(key, 'POST', '/v1/documents', document('/nowhere'));
    expect([outside.status, outside.json.code, outside.json.detail]).toEqual([
      nowhere.status,
      'unknown_container',
      nowhere.json.detail,
    ]);
    expect((await ask(key, 'DELETE', `/v1/documents/${secret}`)).status).toBe(404);
    expect((await ask(key, 'GET', `/v1/documents?container=%2Fhr`)).json.documents).toEqual([]);
  });

  it('is not somebody for whom a user’s token could be sent, nor acts for one', async () => {
    const { key } = await create();
    const user = await test.token('petra');
    const both = (authorization: string, actor: string) =>
      fetch(`${test.url}/v1/documents`, {
        headers: { authorization: `Bearer ${authorization}`, 'actor-authorization': `Bearer ${actor}` },
      });
    expect((await both(user, key)).status).toBe(401);
    expect((await both(key, user)).status).toBe(401);
    const proof = await fetch(`${test.url}/v1/documents`, { headers: { authorization: `DPoP ${key}` } });
    expect(proof.status).toBe(401);
  });

  it('cannot send it elsewhere: not in the query, a cookie or another header', async () => {
    const { key } = await create();
    const ways = [
      [`?access_token=${key}`, {}],
      ['', { cookie: `authorization=${key}` }],
      ['', { 'x-api-key': key }],
      ['', { authorization: `Basic ${btoa(`${key}:`)}` }],
    ] as const;
    for (const [query, headers] of ways)
      expect((await fetch(`${test.url}/v1/documents${query}`, { headers })).status).toBe(401);
  });
});

describe('a key that is none', () => {
  it('gets one answer, whether it is unknown, mistyped, cut, expired or revoked', async () => {
    const [expired, revoked, whole] = [await create(), await create(), await create()];
    await asSuperuser(
      test.store.database,
      `update api_key set created_at = now() - interval '2 days', expires_at = now() - interval '1 second' where id = '${expired.id}'`,
    );
    expect((await test.ask('root', 'DELETE', `/v1/api-keys/${revoked.id}`)).status).toBe(204);
    const [, id, rest = ''] = whole.key.split('_');
    const forged = [
      whole.key.slice(0, -1),
      whole.key.slice(0, -1) + (whole.key.endsWith('a') ? 'b' : 'a'),
      `bhk_${id}_${rest.slice(1)}a`,
      `bhk_${expired.id}_${rest}`,
      'bhk_',
      expired.key,
      revoked.key,
    ];
    for (const key of forged) {
      const { status, json, headers } = await ask(key, 'GET', '/v1/documents');
      expect([status, json.code, json.detail]).toEqual([401, 'invalid_token', 'The API key is not valid.']);
      expect(headers.get('www-authenticate')).toContain('error="invalid_token"');
    }
    expect(test.refusals.at(-1)).toMatchObject({
      status: 401,
      code: 'invalid_token',
      route: '/v1/documents',
    });
    expect((await ask(whole.key, 'GET', '/v1/documents')).status).toBe(200);
  });

  it('is refused on the very next request after it was revoked', async () => {
    const { id, key } = await create();
    for (let i = 0; i < 3; i += 1) expect((await ask(key, 'GET', '/v1/documents')).status).toBe(200);
    await test.ask('root', 'DELETE', `/v1/api-keys/${id}`);
    expect((await ask(key, 'GET', '/v1/documents')).json).toMatchObject({ code: 'credential_revoked' });
  });

  it('is refused when its service is revoked or disabled', async () => {
    const { key } = await create();
    expect((await ask(key, 'GET', '/v1/documents')).status).toBe(200);
    const principal = `/v1/principals/${encodeURIComponent(BOT)}`;
    await test.ask('root', 'PATCH', principal, { status: 'disabled' });
    expect((await ask(key, 'GET', '/v1/documents')).json).toMatchObject({ code: 'subject_disabled' });
    await test.ask('root', 'PATCH', principal, { status: 'active' });
    expect((await ask(key, 'GET', '/v1/documents')).status).toBe(200);
  });

  it('appears in no line of the log', async () => {
    const { key } = await create();
    await ask(key, 'GET', '/v1/documents');
    await ask(key.slice(0, -1), 'GET', '/v1/documents');
    expect(test.logLines.join('')).not.toContain(key.slice(21, 60));
  });
});

describe('/v1/api-keys', () => {
  it('lists keys to who administers the tenant, without their secrets, page by page', async () => {
    const { id, key } = await create({ containers: ['/open'], days: 3 });
    const answer = await test.ask('root', 'GET', `/v1/api-keys?limit=200&service=${encodeURIComponent(BOT)}`);
    expect(keyListView.safeParse(answer.json).error?.issues ?? []).toEqual([]);
    expect(answer.text).not.toContain(key.slice(21, 60));
    const { keys } = keyListView.parse(answer.json);
    expect(keys.find((one) => one.id === id)).toMatchObject({
      service: BOT,
      created_by: 'user:workforce|root',
      limits: { containers: ['/open'], level: 'restricted' },
      last_used_at: null,
    });
    const first = keyListView.parse((await test.ask('root', 'GET', '/v1/api-keys?limit=1')).json);
    const second = keyListView.parse(
      (await test.ask('root', 'GET', `/v1/api-keys?limit=1&cursor=${first.next_cursor}`)).json,
    );
    expect([first.keys[0]?.id, second.keys[0]?.id]).toEqual([keys[0]?.id, keys[1]?.id]);
  });

  it('tells those who administer it which keys go on without whoever made them', async () => {
    const { id, key } = await create();
    const listed = async () => {
      const answer = await test.ask('root', 'GET', '/v1/api-keys?limit=200');
      return keyListView.parse(answer.json).keys.find((one) => one.id === id);
    };
    expect(await listed()).toMatchObject({ created_by: 'user:workforce|root', created_by_active: true });
    // as if made before that account was disabled
    await asSuperuser(
      test.store.database,
      `update api_key set created_by = (select id from principal where key = 'user:workforce|paul') where id = '${id}'`,
    );
    expect(await listed()).toMatchObject({ created_by: 'user:workforce|paul', created_by_active: false });
    expect((await ask(key, 'GET', '/v1/documents')).status).toBe(200);
    await asSuperuser(
      test.store.database,
      `delete from directory_account a using principal p where p.id = a.principal_id and p.key = 'user:workforce|paul'`,
    );
    expect(await listed()).toMatchObject({ created_by: 'user:workforce|paul', created_by_active: false });
  });

  it('rotates a key, whose predecessor works for as long as was said', async () => {
    const { id, key } = await create();
    const path = `/v1/api-keys/${id}/rotate`;
    const rotated = await test.ask('root', 'POST', path, { overlap_seconds: 60, days: 1 });
    expect(rotated.status).toBe(201);
    const next = shownKeyView.parse(rotated.json);
    for (const one of [key, next.key]) expect((await ask(one, 'GET', '/v1/documents')).status).toBe(200);
    expect((await test.ask('root', 'POST', path, {})).json).toMatchObject({ code: 'conflict' });
    await test.ask('root', 'POST', `/v1/api-keys/${next.id}/rotate`, { overlap_seconds: 0 });
    expect((await ask(next.key, 'GET', '/v1/documents')).status).toBe(401);
  });

  it('tells who does not administer it nothing, not even whether there is such a key', async () => {
    const { id } = await create();
    for (const [method, path, body] of [
      ['GET', '/v1/api-keys'],
      ['POST', '/v1/api-keys', { service: BOT, name: 'x', rights: ['read'] }],
      ['POST', '/v1/api-keys', { service: 'service:workforce|nobody', name: 'x', rights: ['read'] }],
      ['DELETE', `/v1/api-keys/${id}`],
      ['DELETE', '/v1/api-keys/aaaaaaaaaaaaaaaa'],
      ['POST', `/v1/api-keys/${id}/rotate`, {}],
      ['POST', '/v1/api-keys/aaaaaaaaaaaaaaaa/rotate', {}],
    ] as const) {
      const answer = await test.ask('anna', method, path, body);
      expect([answer.status, answer.json.code, answer.json.detail]).toEqual([
        403,
        'right_missing',
        'This needs the right "administer" on /.',
      ]);
    }
  });

  it('refuses what it does not know, naming each field', async () => {
    const wrong = { service: BOT, name: 'x', rights: ['read', 'everything'], days: 367, more: 1 };
    const { status, json } = await test.ask('root', 'POST', '/v1/api-keys', wrong);
    expect(status).toBe(400);
    expect((json.errors as { path: string }[]).map(({ path }) => path).sort()).toEqual([
      'days',
      'more',
      'rights.1',
    ]);
    expect((await test.ask('root', 'DELETE', '/v1/api-keys/none')).status).toBe(404);
  });

  it('is described', async () => {
    const { json } = await test.ask(undefined, 'GET', '/openapi.json');
    const paths = Object.keys(json.paths as object).filter((path) => path.startsWith('/v1/api-keys'));
    expect(paths.sort()).toEqual(['/v1/api-keys', '/v1/api-keys/{id}', '/v1/api-keys/{id}/rotate']);
  });
});

describe('a service with client credentials and private_key_jwt', () => {
  it('is the service that its provider says, with the rights that it was given', async () => {
    const { status, access_token: token = '' } = await machines.token();
    expect(status).toBe(200);
    expect((await ask(token, 'GET', `/v1/documents/${open}`)).status).toBe(200);
    expect(await lastRelease()).toMatchObject({ subject: 'service:machines|nightly', actor: null });
    expect((await ask(token, 'POST', '/v1/documents', document('/open'))).json).toMatchObject({
      code: 'unknown_container',
    });
  });

  it('gets no token with another key, and without one no answer', async () => {
    expect(await machines.token({ signedBy: 'another' })).toMatchObject({ status: 401 });
    const { access_token: token = '' } = await machines.token();
    expect((await ask(`${token.slice(0, -4)}AAAA`, 'GET', '/v1/documents')).status).toBe(401);
  });
});

async function lastRelease(): Promise<unknown> {
  const [row] = await asSuperuser<{ body: string }>(
    test.store.database,
    "select body from audit_record where kind = 'release' order by at desc, seq desc limit 1",
  );
  return JSON.parse(row?.body ?? '{}');
}
