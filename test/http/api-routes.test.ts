/** What the routes do, and that they do what /openapi.json says. */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { z } from 'zod';
import * as schemas from '../../src/http/schemas.ts';
import { openTestApp, type TestApp } from '../helpers/app.ts';

interface Operation {
  readonly operationId: string;
  readonly responses: Record<string, unknown>;
  readonly security?: unknown[];
}
interface Description {
  readonly openapi: string;
  readonly paths: Record<string, Record<string, Operation>>;
  readonly components: {
    readonly schemas: Record<string, unknown>;
    readonly securitySchemes: Record<string, unknown>;
  };
}

let test: TestApp;
let openDocument: string;
beforeAll(async () => {
  test = await openTestApp();
  openDocument = await test.add(
    '/open',
    '# Pay days\n\nSalaries are paid on the 25th. Ask pay@meridian.example.',
    {
      date: '2026-10-01',
      source: 'handbook',
    },
  );
  await test.add('/hr', '# Salary round\n\nThe salary round of 2027 raises pay by 4 percent.', {
    compartments: ['payroll'],
  });
});
afterAll(() => test?.close());

const holdsTo = (schema: z.ZodType, value: unknown) =>
  expect(schema.safeParse(value).error?.issues ?? []).toEqual([]);

describe('POST /v1/retrieve', () => {
  it('gives two people two answers to one question, each cleared', async () => {
    const asked = { query: 'When are salaries paid?' };
    const petra = await test.ask('petra', 'POST', '/v1/retrieve', asked);
    const anna = await test.ask('anna', 'POST', '/v1/retrieve', asked);
    holdsTo(schemas.answerView, petra.json);
    expect(petra.json.passages).toHaveLength(1);
    expect(anna.json.passages).toHaveLength(2);
    expect(petra.text).not.toContain('4 percent');
    expect(petra.text).toContain('Ask [email]');
    expect(petra.json.request_id).toBe(petra.headers.get('x-request-id'));
  });

  it.each([
    [{ container: '/open' }, 1],
    [{ container: '/hr' }, 1],
    [{ source: 'handbook' }, 1],
    [{ source: 'nowhere' }, 0],
    [{ media_type: 'text/markdown' }, 2],
    [{ from: '2026-10-01', until: '2026-10-02' }, 1],
    [{ until: '2026-10-01' }, 0],
    [{ max_level: 'internal' }, 1],
    [{ max_level: 'confidential' }, 2],
  ])('filters by %j', async (filters, count) => {
    const { json } = await test.ask('anna', 'POST', '/v1/retrieve', { query: 'salaries', filters });
    expect(json.passages).toHaveLength(count);
  });

  it('lets a service acting for a person see no more than both may', async () => {
    const token = await test.token('anna', { actor: 'agent' });
    const response = await fetch(`${test.url}/v1/retrieve`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify({ query: 'salaries' }),
    });
    const answer = (await response.json()) as { passages: { container: string }[]; ceiling: unknown };
    expect(answer.passages.map(({ container }) => container)).toEqual(['/open']);
    expect(answer.ceiling).toMatchObject({ actor: { level: 'internal' } });
  });
});

describe('/v1/documents', () => {
  it('takes a document in, says where it is, replaces it, and deletes it', async () => {
    const upload = {
      container: '/open',
      external_id: randomUUID(),
      media_type: 'text/plain',
      text: 'Tides and buoys.',
    };
    const created = await test.ask('root', 'POST', '/v1/documents', upload);
    expect(created.status).toBe(201);
    holdsTo(schemas.uploadView, created.json);
    const location = created.headers.get('location') ?? '';
    const read = await test.ask('petra', 'GET', location);
    holdsTo(schemas.documentView, read.json);
    expect(read.text).toContain('Tides and buoys.');

    const same = await test.ask('root', 'POST', '/v1/documents', upload);
    expect([same.status, same.json.status]).toEqual([200, 'unchanged']);
    const other = {
      ...upload,
      text: undefined,
      content_base64: Buffer.from('Other buoys.').toString('base64'),
    };
    const replaced = await test.ask('root', 'POST', '/v1/documents', other);
    expect([replaced.status, replaced.json.status, replaced.json.version]).toEqual([200, 'replaced', 2]);

    expect((await test.ask('root', 'DELETE', location)).status).toBe(204);
    expect((await test.ask('petra', 'GET', location)).status).toBe(404);
  });

  it.each([
    ['two contents', { text: 'a', content_base64: 'YQ==' }, 'invalid_request'],
    ['no content', {}, 'invalid_request'],
    ['content that is not base64', { content_base64: 'a-b_' }, 'invalid_request'],
    ['a binary', { content_base64: Buffer.from([0x89, 0x50, 0, 1, 2]).toString('base64') }, 'binary_content'],
    [
      'invalid UTF-8',
      { content_base64: Buffer.from([0x61, 0xc3, 0x28]).toString('base64') },
      'invalid_encoding',
    ],
    ['an unknown media type', { text: 'a', media_type: 'image/png' }, 'unsupported_media_type'],
    [
      'an unknown principal',
      { text: 'a', entries: [{ allow: 'user:workforce|nobody' }] },
      'unknown_principal',
    ],
    [
      'an entry of both kinds',
      { text: 'a', entries: [{ allow: 'everyone', deny: 'everyone' }] },
      'invalid_request',
    ],
    ['an unknown level', { text: 'a', level: 'cosmic' }, 'unknown_level'],
    ['a hidden field', { text: 'a', tenant: 'other' }, 'invalid_request'],
  ])('refuses %s', async (_, fields, code) => {
    const base = { container: '/open', external_id: 'bad', media_type: 'text/markdown' };
    const { json } = await test.ask('root', 'POST', '/v1/documents', { ...base, ...fields });
    expect(json.code).toBe(code);
  });

  it('lists what the caller may read, a page at a time', async () => {
    const first = await test.ask('anna', 'GET', '/v1/documents?limit=1');
    holdsTo(schemas.documentListView, first.json);
    const second = await test.ask('anna', 'GET', `/v1/documents?limit=1&cursor=${first.json.next_cursor}`);
    const ids = [first, second].flatMap(({ json }) =>
      (json.documents as { document_id: string }[]).map((d) => d.document_id),
    );
    expect(new Set(ids).size).toBe(2);
  });

  it('changes label and entries, at once', async () => {
    const id = await test.add('/open', '# Regatta\n\nThe regatta is in June.');
    expect(
      (await test.ask('root', 'PATCH', `/v1/documents/${id}/label`, { level: 'confidential' })).status,
    ).toBe(204);
    expect((await test.ask('petra', 'GET', `/v1/documents/${id}`)).status).toBe(404);
    expect((await test.ask('anna', 'GET', `/v1/documents/${id}`)).status).toBe(200);
    const denied = { entries: [{ deny: 'user:workforce|anna' }] };
    expect((await test.ask('root', 'PATCH', `/v1/documents/${id}/access`, denied)).status).toBe(204);
    expect((await test.ask('anna', 'GET', `/v1/documents/${id}`)).status).toBe(404);
  });
});

describe('POST /v1/documents:batch', () => {
  const send = async (lines: string, contentType = 'application/x-ndjson') => {
    const response = await fetch(`${test.url}/v1/documents:batch`, {
      method: 'POST',
      headers: { authorization: `Bearer ${await test.token('root')}`, 'content-type': contentType },
      body: lines,
    });
    const text = await response.text();
    return { status: response.status, headers: response.headers, text };
  };
  const line = (id: string, more: object = {}) =>
    JSON.stringify({
      container: '/open',
      external_id: id,
      media_type: 'text/plain',
      text: `About ${id}.`,
      ...more,
    });

  it('answers each line as it completes; a bad one stops no other', async () => {
    const lines = [
      line('b1'),
      '{"broken',
      '',
      line('b2', { level: 'cosmic' }),
      line('b3', { nope: 1 }),
      line('b4'),
    ];
    const { status, headers, text } = await send(lines.join('\n'));
    expect([status, headers.get('content-type')]).toEqual([200, 'application/x-ndjson']);
    const results = text
      .trim()
      .split('\n')
      .map((result) => JSON.parse(result));
    for (const result of results) holdsTo(schemas.batchResultView, result);
    const byLine = new Map(results.map((result) => [result.line, result]));
    expect([...byLine.keys()].sort()).toEqual([1, 2, 4, 5, 6]);
    expect(byLine.get(1)).toMatchObject({ external_id: 'b1', status: 'created', passages: 1 });
    expect(byLine.get(2)).toMatchObject({ status: 'failed', error: { code: 'malformed_json' } });
    expect(byLine.get(4)).toMatchObject({
      external_id: 'b2',
      status: 'failed',
      error: { code: 'unknown_level' },
    });
    expect(byLine.get(5)).toMatchObject({ status: 'failed', error: { errors: [{ path: 'nope' }] } });
    expect(byLine.get(6)).toMatchObject({ external_id: 'b4', status: 'created' });
  });

  it('refuses a line over 2 MB, and reads the next', async () => {
    const { text } = await send(`${line('huge', { text: 'x'.repeat(2_000_001) })}\n${line('small')}`);
    const results = text
      .trim()
      .split('\n')
      .map((result) => JSON.parse(result));
    expect(results.find((result) => result.line === 1)).toMatchObject({
      error: { code: 'payload_too_large' },
    });
    expect(results.find((result) => result.line === 2)).toMatchObject({
      external_id: 'small',
      status: 'created',
    });
  });

  it('answers nothing to an empty batch, and refuses another media type', async () => {
    expect(await send('')).toMatchObject({ status: 200, text: '' });
    expect((await send('[]', 'application/json')).status).toBe(415);
  });

  it('is refused as a whole when its sender may send nothing', async () => {
    const response = await fetch(`${test.url}/v1/documents:batch`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${await test.token('paul')}`,
        'content-type': 'application/x-ndjson',
      },
      body: line('x'),
    });
    expect(response.status).toBe(403);
  });
});

describe('administration', () => {
  it('shows a container with its entries to whoever oversees it', async () => {
    const { json } = await test.ask('anna', 'GET', '/v1/containers/hr');
    holdsTo(schemas.containerView, json);
    expect(json).toMatchObject({
      path: '/hr',
      label: { level: 'confidential' },
      rights: ['grant', 'ingest', 'label'],
    });
  });

  it('grants and revokes, by id and by principal', async () => {
    await test.ask('root', 'POST', '/v1/containers', { path: '/open/club' });
    const entry = { deny: 'user:workforce|petra', until: '2099-01-01' };
    const granted = await test.ask('root', 'POST', '/v1/containers/open%2Fclub/entries', entry);
    expect(granted.status).toBe(201);
    const shown = await test.ask('root', 'GET', '/v1/containers/open%2Fclub');
    expect(shown.json.entries).toMatchObject([
      { id: granted.json.id, effect: 'deny', display_name: 'Petra Fuchs', until: '2099-01-01T00:00:00.000Z' },
    ]);
    expect((await test.ask('root', 'DELETE', `/v1/entries/${granted.json.id}`)).status).toBe(204);
    const again = await test.ask('root', 'POST', '/v1/containers/open%2Fclub/entries', entry);
    expect(again.status).toBe(201);
    const path = '/v1/containers/open%2Fclub/entries?principal=user%3Aworkforce%7Cpetra&effect=deny';
    expect((await test.ask('root', 'DELETE', path)).status).toBe(204);
    expect((await test.ask('root', 'DELETE', path)).status).toBe(404);
  });

  it('moves a container, and says what it is called now', async () => {
    for (const path of ['/from', '/from/box', '/shelf'])
      await test.ask('root', 'POST', '/v1/containers', { path });
    const moved = await test.ask('root', 'POST', '/v1/containers/from%2Fbox/move', { to: '/shelf' });
    expect(moved).toMatchObject({ status: 200, json: { path: '/shelf/box' } });
    const move = async (container: string, body: unknown) =>
      (await test.ask('root', 'POST', `/v1/containers/${container}/move`, body)).json.code;
    expect(await move('shelf', { to: '/shelf/box' })).toBe('invalid_request');
    expect(await move('shelf', { to: 'from' })).toBe('invalid_request');
    expect(await move('shelf', { to: '/from', name: 'x' })).toBe('invalid_request');
    expect(await move('from%2Fbox', { to: '/shelf' })).toBe('not_found');
    await test.ask('root', 'POST', '/v1/containers', { path: '/from/box' });
    expect(await move('from%2Fbox', { to: '/shelf' })).toBe('conflict');
  });

  it('keeps a directory: accounts, groups, members, clearances, rights, ceilings', async () => {
    const key = encodeURIComponent('group:workforce|sailors');
    const steps: [string, string, unknown, number][] = [
      ['POST', '/v1/principals', { principal: 'group:workforce|sailors', display_name: 'Sailors' }, 201],
      ['POST', '/v1/principals', { principal: 'service:workforce|bot', display_name: 'Bot' }, 201],
      ['POST', '/v1/principals', { principal: 'everyone', display_name: 'All' }, 400],
      ['POST', `/v1/principals/${key}/members`, { member: 'user:workforce|petra' }, 204],
      ['POST', `/v1/principals/${key}/clearances`, { level: 'internal', compartments: ['legal'] }, 204],
      ['POST', '/v1/containers/open/roles', { principal: 'group:workforce|sailors', right: 'label' }, 204],
      [
        'PUT',
        `/v1/principals/${encodeURIComponent('service:workforce|bot')}/ceiling`,
        { level: 'public', containers: ['/open'] },
        204,
      ],
      ['PATCH', `/v1/principals/${encodeURIComponent('service:workforce|bot')}`, { status: 'disabled' }, 204],
    ];
    for (const [method, path, body, status] of steps)
      expect([path, (await test.ask('root', method, path, body)).status]).toEqual([path, status]);

    const sailors = await test.ask('root', 'GET', `/v1/principals/${key}`);
    holdsTo(schemas.principalDetailView, sailors.json);
    expect(sailors.json).toMatchObject({
      members: [{ member: 'user:workforce|petra' }],
      clearances: [{ level: 'internal', compartments: ['legal'] }],
      rights: [{ container: '/open', right: 'label' }],
    });
    const undo: [string, number][] = [
      [`/v1/principals/${key}/clearances?level=internal&compartments=legal`, 204],
      [`/v1/principals/${key}/clearances?level=internal&compartments=legal`, 404],
      [`/v1/containers/open/roles?principal=${key}&right=label`, 204],
      [`/v1/principals/${key}/members/${encodeURIComponent('user:workforce|petra')}`, 204],
    ];
    for (const [path, status] of undo)
      expect([path, (await test.ask('root', 'DELETE', path)).status]).toEqual([path, status]);
    const listed = await test.ask('root', 'GET', '/v1/principals?prefix=sail');
    holdsTo(schemas.principalListView, listed.json);
    expect(listed.json.principals).toMatchObject([{ principal: 'group:workforce|sailors', kind: 'group' }]);
  });

  it('refuses to raise the changer’s own rights', async () => {
    const clearance = { level: 'restricted', compartments: [] };
    const path = `/v1/principals/${encodeURIComponent('user:workforce|root')}/clearances`;
    expect((await test.ask('root', 'POST', path, clearance)).json.code).toBe('separation_of_duties');
  });
});

describe('POST /v1/explain', () => {
  it('tells a reader why, in sentences', async () => {
    const { json } = await test.ask('petra', 'POST', '/v1/explain', { document: openDocument });
    holdsTo(schemas.explanationView, json);
    expect(json).toMatchObject({ decision: 'allow', label: { level: 'public' } });
    expect((json.steps as string[]).join(' ')).toContain('/open');
  });
});

describe('the audit log', () => {
  it('is read newest first, a page at a time, by who holds audit', async () => {
    const first = await test.ask('root', 'GET', '/v1/audit/records?limit=2');
    holdsTo(schemas.auditRecordsView, first.json);
    const second = await test.ask(
      'root',
      'GET',
      `/v1/audit/records?limit=2&cursor=${first.json.next_cursor}`,
    );
    const seqs = [first, second].flatMap(({ json }) =>
      (json.records as { seq: number }[]).map(({ seq }) => seq),
    );
    // reading the first page was recorded meanwhile, and is on neither
    expect(seqs).toEqual([...seqs].sort((a, b) => b - a));
    expect(new Set(seqs).size).toBe(4);
    const releases = await test.ask('root', 'GET', '/v1/audit/records?kind=release');
    expect((releases.json.records as { kind: string }[]).every(({ kind }) => kind === 'release')).toBe(true);
    expect(releases.text).not.toContain('salaries');
  });

  it('verifies', async () => {
    await test.store.log.checkpoint();
    const { json } = await test.ask('root', 'POST', '/v1/audit/verify');
    holdsTo(schemas.auditVerdictView, json);
    expect(json).toMatchObject({ problems: [] });
  });

  it('is nothing to others', async () => {
    expect((await test.ask('petra', 'GET', '/v1/audit/records')).json.code).toBe('right_missing');
    expect((await test.ask('petra', 'POST', '/v1/audit/verify')).json.code).toBe('right_missing');
    expect((await test.ask('root', 'GET', '/v1/audit/records?cursor=x')).json.code).toBe('invalid_request');
  });
});

it('doctor finds no difference between index and database', async () => {
  const { json } = await test.ask('root', 'POST', '/v1/doctor', {});
  expect(json).toMatchObject({ repaired: false, differences: { missing: 0, orphan: 0 } });
});

describe('/openapi.json', () => {
  const describeIt = async () =>
    (await test.ask(undefined, 'GET', '/openapi.json')).json as unknown as Description;

  it('is OpenAPI 3.1 with a bearer scheme and one id for each operation', async () => {
    const { openapi, paths, components } = await describeIt();
    expect(openapi).toBe('3.1.0');
    expect(components.securitySchemes).toHaveProperty('bearer');
    const operations = Object.values(paths).flatMap((path) => Object.values(path));
    const ids = operations.map(({ operationId }) => operationId);
    expect(new Set(ids).size).toBe(ids.length);
    for (const { responses } of operations) {
      expect(Object.keys(responses).some((status) => status.startsWith('2'))).toBe(true);
      expect(responses).toHaveProperty('default');
    }
  });

  it('names every route of the application, and none that is not there', async () => {
    const { paths } = await describeIt();
    for (const [path, item] of Object.entries(paths)) {
      const options = await test.ask('root', 'OPTIONS', path.replace(/\{[^}]+\}/g, 'x'));
      const served = (options.headers.get('allow') ?? '')
        .split(', ')
        .filter((m) => m !== 'HEAD' && m !== 'OPTIONS');
      const described = Object.keys(item).map((method) => method.toUpperCase());
      expect([path, served]).toEqual([path, described.sort()]);
    }
    const expected = ['/v1/retrieve', '/v1/documents', '/v1/documents:batch', '/v1/documents/{id}/access'];
    expect(Object.keys(paths)).toEqual(expect.arrayContaining(expected));
  });

  it('refers only to schemas that it holds', async () => {
    const document = await describeIt();
    const refs = [...JSON.stringify(document).matchAll(/"\$ref":"#\/components\/schemas\/([^"]+)"/g)];
    expect(refs.length).toBeGreaterThan(10);
    for (const [, name] of refs) expect(document.components.schemas).toHaveProperty(name ?? '');
  });

  it('asks for a token everywhere but where machines look, and where what is sent is signed itself', async () => {
    const { paths } = await describeIt();
    const open = Object.entries(paths).flatMap(([path, item]) =>
      Object.values(item).some(({ security }) => security?.length === 0) ? [path] : [],
    );
    // the description does not describe itself
    expect(open.sort()).toEqual(['/healthz', '/readyz', '/security-events']);
  });
});
