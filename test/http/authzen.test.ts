/** The decision point: who may ask it, what it tells, and what of something hidden it never does. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { decisionService } from '../../src/assembly/decision-service.ts';
import { authzenSchema } from '../../src/config/authzen.ts';
import type { LabelScheme } from '../../src/policy/label.ts';
import { createTenant } from '../../src/store/tenants.ts';
import { openTestApp, type TestApp } from '../helpers/app.ts';
import { VOCABULARY } from '../helpers/authzen.ts';
import { TEST_SCHEME } from '../helpers/tenant.ts';

let app: TestApp;
/** In `/open`, `/hr` and `/secret`. */
let open: string;
let hr: string;
let secret: string;
const MISSING = '00000000-0000-4000-8000-00000000dead';

beforeAll(async () => {
  app = await openTestApp();
  open = await app.add('/open', 'The canteen opens at eight.');
  hr = await app.add('/hr', 'Salaries are paid on the 27th.');
  secret = await app.add('/secret', 'Project Heron.');
  await createTenant(app.store.database, {
    name: 'elsewhere',
    admin: { principal: 'user:elsewhere|olga', source: 'elsewhere', displayName: 'Olga' },
    rootLevel: 'public',
  });
  const audit = { principal: 'user:workforce|anna', right: 'audit' };
  expect((await app.ask('root', 'POST', '/v1/containers/%2Fhr/roles', audit)).status).toBe(204);
}, 120_000);
afterAll(() => app.close());

type Id = { type: string; id: string };
const user = (id: string): Id => ({ type: 'user', id: `workforce|${id}` });
const doc = (id: string): Id => ({ type: 'document', id });
const folder = (id: string): Id => ({ type: 'container', id });
const evaluation = (subject: Id, name: string, resource: Id, more: object = {}) => ({
  subject,
  action: { name },
  resource,
  ...more,
});
const post = (asker: string | undefined, path: string, body: unknown) =>
  app.ask(asker, 'POST', `/access/v1/${path}`, body);
const ask = async (asker: string, ...question: Parameters<typeof evaluation>) => {
  const answer = await post(asker, 'evaluation', evaluation(...question));
  expect(answer.status, answer.text).toBe(200);
  return answer.json;
};
const REASONS = { context: { reasons: true } };
const PLAIN_NO = { decision: false };

describe('About oneself', () => {
  it('the answer is what one may read, and of anything else what is said of nothing', async () => {
    expect(await ask('petra', user('petra'), 'read', doc(open))).toEqual({ decision: true });
    const untold = [doc(hr), doc(secret), doc(MISSING), doc('no id'), folder('/hr'), folder('/nowhere')];
    for (const resource of untold)
      expect(await ask('petra', user('petra'), 'read', resource, REASONS)).toEqual(PLAIN_NO);
  });

  it('the answer is which rights one holds', async () => {
    expect(await ask('anna', user('anna'), 'grant', folder('/hr'))).toEqual({ decision: true });
    expect(await ask('anna', user('anna'), 'grant', folder('/open'), REASONS)).toEqual(PLAIN_NO);
    expect(await ask('anna', user('anna'), 'grant', folder('/secret'), REASONS)).toEqual(PLAIN_NO);
    expect(await ask('root', user('root'), 'administer', folder('/'))).toEqual({ decision: true });
  });

  it('an acting service’s limits count', async () => {
    const token = await app.token('anna', { actor: 'agent' });
    const asAgent = async (resource: Id) => {
      const response = await fetch(`${app.url}/access/v1/evaluation`, {
        method: 'POST',
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
        body: JSON.stringify(evaluation(user('anna'), 'read', resource)),
      });
      return response.json();
    };
    expect(await asAgent(doc(open))).toEqual({ decision: true });
    expect(await asAgent(doc(hr))).toEqual(PLAIN_NO);
  });
});

describe('About others', () => {
  it('nobody is told who does not hold audit there, whatever the truth', async () => {
    expect(await ask('petra', user('anna'), 'read', doc(open), REASONS)).toEqual(PLAIN_NO);
    expect(await ask('petra', user('anna'), 'read', doc(MISSING), REASONS)).toEqual(PLAIN_NO);
  });

  it('an overseer without a dominating clearance is told what is said of nothing', async () => {
    expect(await ask('root', user('anna'), 'read', doc(hr), REASONS)).toEqual(PLAIN_NO);
    expect(await ask('root', user('anna'), 'grant', folder('/hr'), REASONS)).toEqual(PLAIN_NO);
    expect(await ask('root', user('anna'), 'read', doc(secret), REASONS)).toEqual(PLAIN_NO);
    expect(await ask('root', user('anna'), 'read', doc(MISSING), REASONS)).toEqual(PLAIN_NO);
  });

  it('an overseer is told the decision, and the reason when they ask for it', async () => {
    expect(await ask('root', user('petra'), 'read', doc(open))).toEqual({ decision: true });
    expect(await ask('anna', user('anna'), 'read', doc(hr))).toEqual({ decision: true });
    expect(await ask('anna', user('petra'), 'read', doc(hr))).toEqual(PLAIN_NO);
    expect(await ask('anna', user('petra'), 'read', doc(hr), REASONS)).toEqual({
      decision: false,
      context: { reason: 'no-allow', assumes: expect.stringContaining('no group that only their token') },
    });
    expect(await ask('anna', user('petra'), 'label', folder('/hr'), REASONS)).toMatchObject({
      context: { reason: 'no-right' },
    });
    expect(await ask('root', user('paul'), 'read', doc(open), REASONS)).toMatchObject({
      decision: false,
      context: { reason: 'account-disabled' },
    });
  });

  it('a subject of another tenant is nobody, like one that never was', async () => {
    for (const subject of [
      { type: 'user', id: 'elsewhere|olga' },
      { type: 'user', id: 'user:elsewhere|olga' },
      { type: 'user', id: 'workforce|nobody' },
      { type: 'user', id: 'petra' },
      { type: 'user', id: 'everyone' },
      { type: 'group', id: 'workforce|hr' },
      { type: 'service', id: 'workforce|petra' },
      { type: '__proto__', id: 'x' },
    ])
      expect(await ask('root', subject, 'read', doc(open), REASONS)).toEqual(PLAIN_NO);
  });

  it('says the same as the subject would be told', async () => {
    for (const resource of [doc(open), folder('/open'), folder('/')])
      for (const [account, subject] of [
        ['anna', user('anna')],
        ['petra', user('petra')],
        ['carla', { type: 'user', id: 'partners|carla' }],
      ] as const)
        expect(await ask('root', subject, 'read', resource), `${account} ${resource.id}`).toEqual(
          await ask(account, subject, 'read', resource),
        );
  });

  it('no words of the outside lead anywhere that was not configured', async () => {
    for (const [action, resource] of [
      ['delete', doc(open)],
      ['constructor', folder('/open')],
      ['read', { type: '__proto__', id: '/open' }],
      ['read', { type: 'todo', id: 'todo-1' }],
    ] as const)
      expect(await ask('root', user('petra'), action, resource)).toEqual(PLAIN_NO);
  });

  it('a claim of the request changes nothing', async () => {
    const claims = { properties: { role: 'admin', groups: ['group:workforce|hr'], acr: 'mfa' } };
    expect(await ask('anna', { ...user('petra'), ...claims }, 'read', { ...doc(hr), ...claims })).toEqual(
      PLAIN_NO,
    );
  });
});

describe('A level that asks for a strong sign-in', () => {
  const strict: LabelScheme = {
    ...TEST_SCHEME,
    levels: TEST_SCHEME.levels.map((level) =>
      level.name === 'confidential'
        ? { ...level, safeguards: { acr: ['mfa'], maxAuthAgeSeconds: 300 } }
        : level,
    ),
  };
  const asAnna = (acr: string | undefined, authTime: number) => {
    const { database, log: audit } = app.store;
    const service = decisionService(() => ({ database, audit, scheme: strict }), { resources: {} });
    const identity = {
      tenant: 'meridian',
      user: 'user:workforce|anna',
      tokenGroups: [],
      actor: undefined,
      acr,
      authTime: authTime as never,
    };
    return (subject: Id) =>
      service.evaluate(
        { identity, requestId: 'r' },
        [{ subject, action: 'read', resource: doc(hr) }],
        'execute_all',
      );
  };

  it('denies whose sign-in is not shown, and says what it would take', async () => {
    const put = { level: 'confidential', compartments: [] };
    expect(
      (await app.ask('root', 'POST', '/v1/principals/user%3Aworkforce%7Cpetra/clearances', put)).status,
    ).toBe(204);
    const entry = { allow: 'user:workforce|petra' };
    const granted = await app.ask('anna', 'POST', '/v1/containers/%2Fhr/entries', entry);
    expect(granted.status, granted.text).toBe(201);
    expect(await asAnna('mfa', Date.now())(user('petra'))).toEqual([
      { decision: false, reason: 'step-up', need: { acr: ['mfa'], maxAuthAgeSeconds: 300 } },
    ]);
  });

  it('is one to the asker too', async () => {
    expect(await asAnna('pwd', Date.now())(user('petra'))).toEqual([PLAIN_NO]);
    expect(await asAnna('pwd', Date.now())(user('anna'))).toEqual([PLAIN_NO]);
    expect(await asAnna('mfa', Date.now())(user('anna'))).toEqual([{ decision: true }]);
  });

  it('a credential that is not for reading asks nothing', async () => {
    const { database, log: audit } = app.store;
    const service = decisionService(() => ({ database, audit, scheme: TEST_SCHEME }), { resources: {} });
    const identity = {
      tenant: 'meridian',
      user: 'user:workforce|root',
      tokenGroups: [],
      actor: undefined,
      acr: undefined,
      authTime: undefined,
      rights: new Set(['audit'] as const),
    };
    const question = { subject: user('petra'), action: 'read', resource: doc(open) };
    await expect(
      service.evaluate({ identity, requestId: 'r' }, [question], 'execute_all'),
    ).rejects.toMatchObject({ code: 'insufficient_scope', status: 403 });
  });
});

describe('A batch', () => {
  const batch = (body: object) => post('root', 'evaluations', body);
  const three = () => [doc(open), doc(MISSING), folder('/open')].map((resource) => ({ resource }));
  const reader = { subject: user('petra'), action: { name: 'read' } };
  const semantic = (name: string) => ({ options: { evaluations_semantic: name } });

  it('takes what is missing from its defaults, as a whole', async () => {
    const { json } = await batch({
      ...reader,
      evaluations: [...three(), { ...three()[0], action: { name: 'grant' } }],
    });
    expect(json).toEqual({
      evaluations: [{ decision: true }, { decision: false }, { decision: true }, { decision: false }],
    });
  });

  it.each([
    ['execute_all', [true, false, true]],
    ['deny_on_first_deny', [true, false]],
    ['permit_on_first_permit', [true]],
  ])('of the semantic %s stops where it says', async (name, expected) => {
    const { json } = await batch({ ...reader, ...semantic(name), evaluations: three() });
    expect(json.evaluations).toEqual(expected.map((decision) => ({ decision })));
  });

  it('denies what is incomplete, and stops no other for it', async () => {
    const { json, status } = await batch({ ...reader, evaluations: [{}, three()[0], { subject: 'anna' }] });
    expect(status).toBe(200);
    expect(json.evaluations).toMatchObject([
      { decision: false, context: { error: { status: 400 } } },
      { decision: true },
      { decision: false, context: { error: { status: 400 } } },
    ]);
  });

  it('without evaluations is one evaluation', async () => {
    expect((await batch({ ...reader, ...three()[0] })).json).toEqual({ decision: true });
    expect((await batch({ ...reader, ...three()[0], evaluations: [] })).json).toEqual({ decision: true });
    expect((await batch(reader)).status).toBe(400);
  });

  it('of 10,000 is refused before any is looked at', async () => {
    const evaluations = Array.from({ length: 10_000 }, () => three()[0]);
    const refused = await batch({ ...reader, evaluations });
    expect(refused.status).toBe(400);
    expect(refused.json).toMatchObject({ code: 'invalid_request', errors: [{ path: 'evaluations' }] });
  });

  it('with another semantic is refused', async () => {
    expect((await batch({ ...reader, ...semantic('any'), evaluations: three() })).status).toBe(400);
  });
});

describe('A search', () => {
  const search = async (asker: string, what: string, body: object) => {
    const answer = await post(asker, `search/${what}`, body);
    expect(answer.status, answer.text).toBe(200);
    return answer.json as { results: Id[]; page: { next_token: string; count: number } };
  };
  const readers = (resource: Id, page?: object) => ({
    subject: { type: 'user' },
    action: { name: 'read' },
    resource,
    page,
  });
  const ids = ({ results }: { results: Id[] }) => results.map(({ id }) => id).sort();

  it('for subjects finds for an overseer who may, whoever left aside', async () => {
    expect(ids(await search('root', 'subject', readers(doc(open))))).toEqual([
      'partners|carla',
      'workforce|anna',
      'workforce|petra',
      'workforce|root',
    ]);
    expect(
      ids(await search('root', 'subject', { ...readers(folder('/open')), action: { name: 'grant' } })),
    ).toEqual(['workforce|root']);
  });

  it('for subjects finds for anybody else themselves at most, and nobody for what is hidden or missing', async () => {
    expect(ids(await search('carla', 'subject', readers(doc(open))))).toEqual(['partners|carla']);
    const [hidden, missing] = [
      await search('carla', 'subject', readers(doc(hr))),
      await search('carla', 'subject', readers(doc(MISSING))),
    ];
    expect(hidden).toEqual(missing);
    expect(await search('root', 'subject', readers(doc(hr)))).toEqual(missing);
  });

  it('goes page by page, each result once', async () => {
    const found: string[] = [];
    let token: string | undefined;
    for (let i = 0; i < 10 && token !== ''; i += 1) {
      const { results, page } = await search('root', 'subject', readers(doc(open), { limit: 1, token }));
      expect(results.length).toBeLessThanOrEqual(1);
      found.push(...results.map(({ id }) => id));
      token = page.next_token;
    }
    expect(found.sort()).toEqual(['partners|carla', 'workforce|anna', 'workforce|petra', 'workforce|root']);
    const none = await search('root', 'subject', readers(doc(open), { limit: 0 }));
    expect(none.page).toMatchObject({ count: 0, next_token: expect.stringMatching(/./) });
  });

  it('refuses a token of another search, of another size, or of nobody', async () => {
    const { page } = await search('root', 'subject', readers(doc(open), { limit: 1 }));
    const token = page.next_token;
    for (const body of [
      readers(folder('/open'), { limit: 1, token }),
      readers(doc(open), { limit: 2, token }),
      readers(doc(open), { limit: 1, token: 'bm9uc2Vuc2U' }),
    ])
      expect((await post('root', 'search/subject', body)).status).toBe(400);
  });

  it('for documents finds what the subject may read, as far as the asker may know', async () => {
    const read = (subject: Id, page?: object) => ({
      subject,
      action: { name: 'read' },
      resource: { type: 'document' },
      page,
    });
    expect(ids(await search('anna', 'resource', read(user('anna'))))).toEqual([hr, open].sort());
    // cleared for what is internal only
    expect(ids(await search('root', 'resource', read(user('anna'))))).toEqual([open]);
    expect(ids(await search('carla', 'resource', read(user('anna'))))).toEqual([]);
    expect(ids(await search('root', 'resource', read({ type: 'user', id: 'elsewhere|olga' })))).toEqual([]);
    const first = await search('anna', 'resource', read(user('anna'), { limit: 1 }));
    const second = await search(
      'anna',
      'resource',
      read(user('anna'), { limit: 1, token: first.page.next_token }),
    );
    expect([...first.results, ...second.results].map(({ id }) => id)).toEqual([hr, open].sort());
    expect(second.page.next_token).toBe('');
  });

  it('for containers finds those on which the subject holds a right', async () => {
    const held = (subject: Id, name: string) => ({
      subject,
      action: { name },
      resource: { type: 'container' },
    });
    expect(ids(await search('anna', 'resource', held(user('anna'), 'grant')))).toEqual(['/hr']);
    expect(ids(await search('root', 'resource', held(user('anna'), 'grant')))).toEqual([]);
    expect(ids(await search('root', 'resource', held(user('root'), 'audit')))).toEqual([
      '/',
      '/hr',
      '/open',
      '/secret',
    ]);
    expect(ids(await search('root', 'resource', held(user('petra'), 'read')))).toEqual(['/open']);
  });

  it('for actions finds what the subject may do there', async () => {
    const may = async (asker: string, subject: Id, resource: Id) =>
      (await search(asker, 'action', { subject, resource })).results as unknown;
    expect(await may('anna', user('anna'), folder('/hr'))).toEqual(
      ['read', 'ingest', 'label', 'grant', 'audit'].map((name) => ({ name })),
    );
    expect(await may('root', user('petra'), doc(open))).toEqual([{ name: 'read' }]);
    expect(await may('carla', user('anna'), folder('/hr'))).toEqual([]);
    expect(await may('carla', user('anna'), folder('/nowhere'))).toEqual([]);
  });
});

describe('The binding', () => {
  const good = () => evaluation(user('petra'), 'read', doc(open));
  const send = async (body: string, headers: Record<string, string> = {}, account = 'petra') => {
    const response = await fetch(`${app.url}/access/v1/evaluation`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${await app.token(account)}`,
        'content-type': 'application/json',
        ...headers,
      },
      body,
    });
    return { status: response.status, id: response.headers.get('x-request-id'), text: await response.text() };
  };

  it('gives back what the enforcement point calls its request, whatever the answer', async () => {
    const named = { 'x-request-id': 'bfe9eb29 / 7' };
    expect(await send(JSON.stringify(good()), named)).toMatchObject({ status: 200, id: 'bfe9eb29 / 7' });
    expect(await send('{', named)).toMatchObject({ status: 400, id: 'bfe9eb29 / 7' });
    const unknown = await fetch(`${app.url}/access/v1/evaluation`, {
      method: 'POST',
      headers: named,
      body: '{}',
    });
    expect([unknown.status, unknown.headers.get('x-request-id')]).toEqual([401, 'bfe9eb29 / 7']);
    expect((await send(JSON.stringify(good()), { 'x-request-id': 'x'.repeat(257) })).status).toBe(400);
    expect((await send(JSON.stringify(good()))).id).toMatch(/^[0-9a-f-]{36}$/);
  });

  it('ignores what it does not know', async () => {
    const more = { ...good(), trace: 1, context: { time: '1985-10-26T01:22-07:00', ip: [1] } };
    expect(await send(JSON.stringify(more))).toMatchObject({ status: 200, text: '{"decision":true}' });
  });

  it.each([
    ['no subject', { subject: undefined }],
    ['no action', { action: undefined }],
    ['no resource', { resource: undefined }],
    ['a subject without type', { subject: { id: 'x' } }],
    ['a subject without id', { subject: { type: 'user' } }],
    ['an action without name', { action: {} }],
    ['an action named by a number', { action: { name: 123 } }],
    ['a resource without id', { resource: { type: 'document' } }],
    ['a subject that is a string', { subject: 'petra' }],
    ['an id with NUL', { subject: { type: 'user', id: 'a\0' } }],
  ])('answers %s with 400', async (_, change) => {
    expect((await send(JSON.stringify({ ...good(), ...change }))).status).toBe(400);
  });

  it('answers a body that is empty, malformed or not called JSON with 400', async () => {
    expect((await send('')).status).toBe(400);
    expect((await send('{"subject":')).status).toBe(400);
    expect((await send('[]')).status).toBe(400);
    expect((await send(JSON.stringify(good()), { 'content-type': 'text/plain' })).status).toBe(400);
  });

  it('describes itself to anybody', async () => {
    const { status, json, headers } = await app.ask(undefined, 'GET', '/.well-known/authzen-configuration');
    expect(status).toBe(200);
    expect(headers.get('content-type')).toMatch(/^application\/json/);
    expect(json).toEqual({
      policy_decision_point: app.url,
      access_evaluation_endpoint: `${app.url}/access/v1/evaluation`,
      access_evaluations_endpoint: `${app.url}/access/v1/evaluations`,
      search_subject_endpoint: `${app.url}/access/v1/search/subject`,
      search_resource_endpoint: `${app.url}/access/v1/search/resource`,
      search_action_endpoint: `${app.url}/access/v1/search/action`,
    });
  });
});

describe('The audit log', () => {
  it('holds who was told what, before they were', async () => {
    await ask('root', user('petra'), 'read', doc(open));
    const { json } = await app.ask('root', 'GET', '/v1/audit/records?limit=200');
    const told = (json.records as { kind: string; body: object }[]).filter(
      ({ kind }) => kind === 'decisions.told',
    );
    expect(told).toContainEqual(
      expect.objectContaining({
        body: expect.objectContaining({
          subject: 'user:workforce|root',
          endpoint: 'evaluation',
          asked: [
            { subject: 'user:workforce|petra', action: 'read', resource: `document:${open}`, decision: true },
          ],
        }),
      }),
    );
  });
});

describe('The vocabulary', () => {
  it('of the interoperability scenarios can be configured', () => {
    expect(authzenSchema.parse(VOCABULARY)).toEqual(VOCABULARY);
  });

  it.each([
    { resources: { document: { actions: {} } } },
    { resources: { todo: { actions: { do: { container: '/todo' } } } } },
    { resources: { todo: { actions: { do: { container: '/a{id}' } } } } },
    { resources: { todo: { actions: { do: { container: '/{id}/{id}' } } } } },
    { resources: { todo: { actions: { do: { container: '/{id}', right: 'everything' } } } } },
  ])('refuses %j', (config) => {
    expect(authzenSchema.safeParse(config).success).toBe(false);
  });
});
