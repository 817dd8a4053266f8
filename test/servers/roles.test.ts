/** Each role in a process of its own, with a login that may do nothing else, on a real server. */
import { randomUUID } from 'node:crypto';
import { mkdir, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { Bulkhead } from '../../src/assembly/server.ts';
import { DEFAULT_POLICY } from '../../src/config/levels.ts';
import { PROCESS_ROLES, type ProcessRole } from '../../src/store/process-role.ts';
import { findPostgres, type PostgresServer, runAs, startPostgres } from '../helpers/postgres-server.ts';
import { HOW_TO_GET_QDRANT, hasQdrant, type QdrantServer, startQdrant } from '../helpers/qdrant-server.ts';
import { ADMINISTRATOR, openRoleProcesses, type RoleProcesses } from '../helpers/role-processes.ts';

vi.setConfig({ testTimeout: 60_000, hookTimeout: 120_000 });

const programs = await findPostgres();

/** What whoever answers callers tells of itself. */
const FOR_MACHINES = ['/healthz', '/readyz', '/.well-known/oauth-protected-resource'];

describe.skipIf(programs === undefined)('Processes of one role each', () => {
  let server: PostgresServer;
  let roles: RoleProcesses;
  let processes: Record<ProcessRole, Bulkhead>;

  beforeAll(async () => {
    server = await startPostgres(programs);
    roles = await openRoleProcesses(await server.createDatabase());
  });
  afterAll(async () => {
    await roles.close();
    await server.stop();
  });

  const as = (role: ProcessRole, account: string, method: string, path: string, body?: object) =>
    roles.ask(processes[role], account, method, path, body);
  const root = (role: ProcessRole, method: string, path: string, body?: object) =>
    as(role, ADMINISTRATOR, method, path, body);
  const container = encodeURIComponent('/team');
  const texts = async (query: string) => {
    const { json } = await as('retrieve', 'anna', 'POST', '/v1/retrieve', { query });
    return json.passages.map(({ text }: { text: string }) => text);
  };
  const upload = (external_id: string, text: string) =>
    root('ingest', 'POST', '/v1/documents', {
      container: '/team',
      external_id,
      media_type: 'text/plain',
      text,
    });
  const untilIndexed = async (document_id: string, version: number) => {
    const asked = { documents: [{ document_id, version }] };
    await vi.waitFor(
      async () => {
        const { json } = await root('ingest', 'POST', '/v1/documents:pending', asked);
        expect(json.documents).toEqual([]);
      },
      { timeout: 20_000, interval: 100 },
    );
  };

  it('wait for the admin process to say what the levels are', async () => {
    for (const role of ['retrieve', 'ingest', 'indexer', 'audit'] as const)
      await expect(roles.open(role), role).rejects.toMatchObject({
        code: 'config_invalid',
        detail: expect.stringMatching(/no levels in the database yet.*role admin/),
      });
  });

  it('start, each with its own login, when it has', async () => {
    await roles.init();
    const opened = await Promise.all(
      PROCESS_ROLES.map(async (role) => [role, await roles.open(role)] as const),
    );
    processes = Object.fromEntries(opened) as Record<ProcessRole, Bulkhead>;
    await processes.indexer.listen();
    for (const role of PROCESS_ROLES) {
      const { status, json } = await roles.ask(processes[role], ADMINISTRATOR, 'GET', '/readyz');
      expect([role, status, json.status]).toEqual([role, 200, 'ready']);
    }
  });

  it('have the parts of their role and no others', () => {
    const has = Object.fromEntries(
      PROCESS_ROLES.map((role) => {
        const { parts } = processes[role];
        const there = (
          ['embedder', 'index', 'collections', 'indexer', 'retrieve', 'ingest', 'admin', 'audit'] as const
        )
          .filter((part) => parts[part] !== undefined)
          .join(' ');
        return [role, there];
      }),
    );
    expect(has).toEqual({
      retrieve: 'embedder index retrieve audit',
      ingest: 'embedder ingest audit',
      indexer: 'index collections indexer',
      admin: 'admin audit',
      audit: 'audit',
    });
  });

  it('answer together: admin decides, ingest takes in, indexer finds a place, retrieve answers, audit has it all', async () => {
    const label = { level: 'internal', compartments: [] };
    const made = await root('admin', 'POST', '/v1/containers', { path: '/team', ...label, entries: [] });
    expect(made).toMatchObject({ status: 201 });
    const anna = 'user:workforce|anna';
    const person = { principal: anna, display_name: 'Anna' };
    expect(await root('admin', 'POST', '/v1/principals', person)).toMatchObject({ status: 201 });
    const clearance = { level: 'internal', compartments: [] };
    const clear = await root(
      'admin',
      'POST',
      `/v1/principals/${encodeURIComponent(anna)}/clearances`,
      clearance,
    );
    expect(clear).toMatchObject({ status: 204 });
    await root('admin', 'POST', `/v1/containers/${container}/entries`, { allow: anna });

    const taken = await upload('fox.txt', 'The quick brown fox jumps over the lazy dog.');
    expect(taken).toMatchObject({ status: 202, json: { status: 'created', pending: true } });
    await untilIndexed(taken.json.document_id, taken.json.version);
    expect(await texts('a fox that jumps')).toEqual(['The quick brown fox jumps over the lazy dog.']);

    const explained = await as('admin', 'anna', 'POST', '/v1/explain', { document: taken.json.document_id });
    expect(explained).toMatchObject({ status: 200, json: { decision: 'allow' } });

    await root(
      'admin',
      'DELETE',
      `/v1/containers/${container}/entries?principal=${encodeURIComponent(anna)}&effect=allow`,
    );
    expect(await texts('a fox that jumps')).toEqual([]);
    expect(
      await as('admin', 'anna', 'POST', '/v1/explain', { document: taken.json.document_id }),
    ).toMatchObject({
      status: 404,
    });
    await root('admin', 'POST', `/v1/containers/${container}/entries`, { allow: anna });

    const { json: log } = await root('audit', 'GET', '/v1/audit/records?limit=200');
    const kinds = log.records.map(
      ({ writer, kind }: { writer: string; kind: string }) => `${writer} ${kind}`,
    );
    expect(kinds).toEqual(
      expect.arrayContaining([
        'admin-test entry.added',
        'ingest-test document.written',
        'retrieve-test release',
      ]),
    );
  });

  it('answer nothing any more when an admin process has started with levels that ask more', async () => {
    const levels = DEFAULT_POLICY.levels.map((level) => ({ ...level, acr: ['mfa'] }));
    const file = join(processes.admin.config.dataFolder, 'other.yaml');
    await writeFile(file, JSON.stringify({ ...DEFAULT_POLICY, levels }));
    expect(await texts('a fox that jumps')).toHaveLength(1);
    await roles.open('admin', { BULKHEAD_CONFIG: file }, 'admin-other');
    const asked: readonly [ProcessRole, string, string, object?][] = [
      ['retrieve', 'POST', '/v1/retrieve', { query: 'a fox that jumps' }],
      ['retrieve', 'GET', '/v1/documents'],
      ['ingest', 'DELETE', `/v1/documents/${randomUUID()}`],
      ['admin', 'GET', '/v1/containers'],
      ['audit', 'GET', '/v1/audit/records'],
    ];
    for (const [role, ...request] of asked)
      expect([role, await root(role, ...request)]).toMatchObject([
        role,
        { status: 503, json: { code: 'policy_unavailable' } },
      ]);
    await expect(processes.indexer.parts.indexer?.drain()).rejects.toMatchObject({
      code: 'policy_unavailable',
    });
    await expect(roles.open('retrieve', {}, 'retrieve-late')).rejects.toMatchObject({
      code: 'config_invalid',
      detail: expect.stringMatching(/safeguards.*differ/),
    });
    await vi.waitFor(
      async () => {
        const { json } = await root('retrieve', 'GET', '/readyz');
        expect(json).toMatchObject({ status: 'not ready', parts: { levels: 'not ok', database: 'ok' } });
      },
      { timeout: 10_000, interval: 500 },
    );
    // a process of the role admin with the configuration of all others
    await roles.open('admin', {}, 'admin-again');
    expect(await texts('a fox that jumps')).toHaveLength(1);
    await processes.indexer.parts.indexer?.drain();
  });

  it('tell one who is only allowed elsewhere nothing of what is pending', async () => {
    const taken = await upload('cat.txt', 'A cat sleeps on the warm stove.');
    const asked = { documents: [{ document_id: taken.json.document_id, version: 2 }] };
    const { json } = await as('ingest', 'anna', 'POST', '/v1/documents:pending', asked);
    expect(json.documents).toEqual([]);
    await untilIndexed(taken.json.document_id, 1);
  });

  it('bring a document that admin moved to its new place, and one that ingest deleted out of the index', async () => {
    const taken = await upload('owl.txt', 'An owl hoots at midnight.');
    const { document_id } = taken.json;
    await untilIndexed(document_id, 1);
    const label = { level: 'restricted', compartments: [] };
    expect(await root('admin', 'PATCH', `/v1/documents/${document_id}/label`, label)).toMatchObject({
      status: 204,
    });
    expect(await texts('an owl at midnight')).not.toContain('An owl hoots at midnight.');
    expect(await root('ingest', 'DELETE', `/v1/documents/${document_id}`)).toMatchObject({ status: 204 });
    await vi.waitFor(async () => {
      const rows = await runAs(
        roles.url(),
        `select 1 from bulkhead.index_vector where document_id = '${document_id}'`,
      );
      expect(rows).toEqual([]);
    });
  });

  it('share the work when there are two indexers, and none of it is done twice or left', async () => {
    const second = await roles.open('indexer', {}, 'indexer-second');
    await second.listen();
    const taken = await Promise.all(
      Array.from({ length: 24 }, (_, i) => upload(`many-${i}.txt`, `Number ${i} of many small documents.`)),
    );
    for (const { json } of taken) await untilIndexed(json.document_id, 1);
    const [counts] = await runAs<{ chunks: number; vectors: number; outbox: number }>(
      roles.url(),
      `select (select count(*) from bulkhead.chunk)::int as chunks, (select count(*) from bulkhead.index_vector)::int as vectors,
        (select count(*) from bulkhead.outbox)::int as outbox`,
    );
    expect(counts).toEqual({ chunks: counts?.vectors, vectors: counts?.vectors, outbox: 0 });
  });

  it('leave the index as a whole to its operator, who is recorded with every tenant', async () => {
    await runAs(
      roles.url(),
      'delete from bulkhead.index_vector where chunk_id = (select min(chunk_id) from bulkhead.index_vector)',
    );
    const operator = await roles.open('indexer', {}, 'indexer-second-too', { isOperator: true });
    const ask = async (path: string, body: object) => {
      const headers = { 'content-type': 'application/json' };
      const request = { method: 'POST', headers, body: JSON.stringify(body) };
      const response = await operator.app.fetch(new Request(`http://localhost${path}`, request));
      return { status: response.status, text: await response.text() };
    };
    const found = await ask('/v1/doctor', { repair: true });
    expect(JSON.parse(found.text)).toMatchObject({ repaired: true, differences: { missing: 1 } });
    expect(JSON.parse((await ask('/v1/doctor', {})).text)).toMatchObject({
      differences: { missing: 0, orphan: 0 },
    });
    expect((await ask('/v1/index/rebuild', {})).text).toMatch(/"result":\{"passages":\d+\}/);
    expect(JSON.parse((await ask('/v1/doctor', {})).text)).toMatchObject({
      differences: { missing: 0, orphan: 0 },
    });
    expect(await ask('/v1/retrieve', { query: 'x' })).toMatchObject({ status: 404 });
    const { json } = await root('audit', 'GET', '/v1/audit/records?limit=20');
    const checks = json.records.filter(({ kind }: { kind: string }) => kind.startsWith('index.'));
    expect(
      checks.map(({ kind, body }: { kind: string; body: { subject: string } }) => [
        kind,
        body.subject.split(':')[0],
      ]),
    ).toEqual([
      ['index.checked', 'operator'],
      ['index.rebuilt', 'operator'],
      ['index.checked', 'operator'],
      ['index.checked', 'operator'],
    ]);
  });

  describe('serve nothing else', () => {
    it('so that every route of the whole is of one role, and is found nowhere else', async () => {
      const all = await roles.open('all');
      const described = async (process: Bulkhead) => {
        const { paths } = (await roles.ask(process, ADMINISTRATOR, 'GET', '/openapi.json')).json;
        return Object.entries<object>(paths ?? {}).flatMap(([path, item]) =>
          Object.keys(item).map((method) => `${method.toUpperCase()} ${path}`),
        );
      };
      const of = new Map<string, ProcessRole[]>();
      for (const role of PROCESS_ROLES)
        for (const route of await described(processes[role])) of.set(route, [...(of.get(route) ?? []), role]);
      const whole = await described(all);
      expect([...of.keys()].filter((route) => !whole.includes(route))).toEqual([]);
      for (const route of whole) {
        const [method = '', path = ''] = route.split(' ');
        const here = of.get(route) ?? [];
        const isForMachines = FOR_MACHINES.some((one) => path.startsWith(one));
        if (isForMachines) expect([route, here.length]).toEqual([route, PROCESS_ROLES.length - 1]);
        else expect([route, here.length <= 1]).toEqual([route, true]);
        for (const role of PROCESS_ROLES.filter((one) => !here.includes(one) && !isForMachines)) {
          const filled = path.replaceAll(/\{\w+\}/g, 'x');
          const { status } = await roles.ask(processes[role], ADMINISTRATOR, method, filled);
          expect([role, route, [404, 405].includes(status)]).toEqual([role, route, true]);
        }
      }
      const unserved = whole.filter((route) => !of.has(route)).sort();
      expect(unserved).toEqual([
        'GET /v1/encryption',
        'POST /v1/doctor',
        'POST /v1/encryption/rotate',
        'POST /v1/index/calibrate',
        'POST /v1/index/rebuild',
        'POST /v1/reembed',
      ]);
    });

    it('no pages but in the process that answers questions, and no link there to what others serve', async () => {
      for (const role of PROCESS_ROLES) {
        const status = async (path: string) =>
          (await processes[role].app.fetch(new Request(`http://localhost${path}`))).status;
        expect([role, await status('/')]).toEqual([role, role === 'retrieve' ? 200 : 404]);
        expect([role, await status('/why/x')]).toEqual([role, 404]);
      }
    });
  });

  describe('may do nothing else', () => {
    it.each(PROCESS_ROLES)('%s refuses to work in any other role', async (role) => {
      const { database } = processes[role].parts;
      for (const other of PROCESS_ROLES) {
        const attempt = database.unitOfWork(other, undefined, async () => 'done');
        if (other === role) expect(await attempt).toBe('done');
        else await expect(attempt).rejects.toMatchObject({ code: 'internal' });
      }
    });

    it.each(PROCESS_ROLES)('the login of %s can take no other role', async (role) => {
      for (const other of PROCESS_ROLES.filter((one) => one !== role))
        await expect(
          runAs(roles.url(`bulkhead_${role}_login`), `set role bulkhead_${other}`),
        ).rejects.toMatchObject({
          code: '42501',
        });
    });

    it('a process does not start with the login of another role, or of all', async () => {
      for (const login of ['bulkhead_admin_login', 'bulkhead_all_login', 'postgres'])
        await expect(
          roles.open('retrieve', { DATABASE_URL: roles.url(login) }, 'retrieve-other'),
        ).rejects.toMatchObject({
          code: 'store_unsafe',
        });
    });

    it.each(PROCESS_ROLES)('the login of %s writes its own chains of the audit log only', async (role) => {
      const item = JSON.stringify([{ tenant: 1, kind: 'test', id: 'a'.repeat(22), body: '{}', guard: null }]);
      const append = (writer: string) =>
        runAs(
          roles.url(`bulkhead_${role}_login`),
          `begin; set local role bulkhead_${role}; select bulkhead.append_audit('${writer}', '${item}'); rollback`,
        );
      await append(`${role}-another`);
      for (const other of [...PROCESS_ROLES.filter((one) => one !== role), 'all', `${role}2`, 'x'])
        await expect(append(`${other}-another`), other).rejects.toMatchObject({ code: '42501' });
    });
  });

  describe('keep chains of their own', () => {
    it('that an auditor holds against what each process keeps outside of the database', async () => {
      const unwitnessed = await root('audit', 'POST', '/v1/audit/verify');
      expect(unwitnessed.json.problems).toContainEqual(
        expect.objectContaining({ writer: 'admin-test', what: 'bad-signature' }),
      );
      const { dataFolder } = processes.audit.config;
      for (const role of ['admin', 'ingest', 'retrieve'] as const) {
        await processes[role].parts.audit?.checkpoint();
        await mkdir(join(dataFolder, 'witnesses'), { recursive: true });
        await symlink(processes[role].config.dataFolder, join(dataFolder, `witnesses/${role}-test`));
      }
      const witnessed = await root('audit', 'POST', '/v1/audit/verify');
      expect(witnessed.json.problems).toEqual([]);
      expect(witnessed.json.chains).toBeGreaterThan(3);
    });

    it('so that one process cannot speak for another', async () => {
      const { dataFolder } = processes.audit.config;
      await rm(join(dataFolder, 'witnesses/retrieve-test'));
      await symlink(processes.ingest.config.dataFolder, join(dataFolder, 'witnesses/retrieve-test'));
      const { json } = await root('audit', 'POST', '/v1/audit/verify');
      expect(json.problems).toContainEqual(expect.objectContaining({ writer: 'retrieve-test' }));
    });
  });
});

const qdrantToo = programs !== undefined && hasQdrant() && process.env.QDRANT_URL === undefined;
if (programs !== undefined && !qdrantToo)
  process.stderr.write(`The roles with Qdrant are skipped: ${HOW_TO_GET_QDRANT}.\n`);

describe.skipIf(!qdrantToo)('Processes of one role each, with the index in Qdrant', () => {
  let server: PostgresServer;
  let qdrant: QdrantServer;
  let roles: RoleProcesses;

  beforeAll(async () => {
    [server, qdrant] = await Promise.all([startPostgres(programs), startQdrant()]);
    roles = await openRoleProcesses(await server.createDatabase(), qdrant);
    await roles.init();
  });
  afterAll(async () => {
    await roles.close();
    await Promise.all([server.stop(), qdrant.close()]);
  });

  it('answer together, each with the key of its role', async () => {
    const indexer = await roles.open('indexer');
    await indexer.listen();
    const [ingest, retrieve] = await Promise.all([roles.open('ingest'), roles.open('retrieve')]);
    const admin = await roles.open('admin');
    const me = `user:workforce|${ADMINISTRATOR}`;
    const other = 'user:workforce|anna';
    const ask = (process: Bulkhead, account: string, method: string, path: string, body?: object) =>
      roles.ask(process, account, method, path, body);
    await ask(admin, ADMINISTRATOR, 'POST', '/v1/principals', { principal: other, display_name: 'Anna' });
    const clearance = { level: 'internal', compartments: [] };
    await ask(
      admin,
      ADMINISTRATOR,
      'POST',
      `/v1/principals/${encodeURIComponent(other)}/clearances`,
      clearance,
    );
    await ask(admin, ADMINISTRATOR, 'POST', `/v1/containers/${encodeURIComponent('/')}/entries`, {
      allow: other,
    });
    const document = {
      container: '/',
      external_id: 'a',
      media_type: 'text/plain',
      text: 'A heron stands in the reeds.',
    };
    const taken = await ask(ingest, ADMINISTRATOR, 'POST', '/v1/documents', document);
    expect([me, taken.status]).toEqual([me, 202]);
    await vi.waitFor(
      async () => {
        const { json } = await ask(retrieve, 'anna', 'POST', '/v1/retrieve', { query: 'a heron' });
        expect(json.passages).toMatchObject([{ text: 'A heron stands in the reeds.' }]);
      },
      { timeout: 20_000, interval: 200 },
    );
    for (const process of [indexer, retrieve])
      expect((await ask(process, ADMINISTRATOR, 'GET', '/readyz')).json.status).toBe('ready');
  });

  it('do not start with a key that may do more or less than the role', async () => {
    const asReader = { QDRANT_API_KEY: qdrant.readKey ?? '' };
    await expect(roles.open('indexer', asReader, 'indexer-reader')).rejects.toMatchObject({
      message: expect.stringMatching(/^(config_invalid|store_unsafe|index_unavailable): [^\n]+$/),
    });
    const keyFile = join(roles.config('retrieve').dataFolder, 'write-key');
    await writeFile(keyFile, qdrant.key ?? '');
    const asWriter = { QDRANT_READ_KEY_FILE: keyFile };
    await expect(roles.open('retrieve', asWriter, 'retrieve-writer')).rejects.toMatchObject({
      message: expect.stringMatching(/^(config_invalid|store_unsafe): [^\n]+$/),
    });
  });

  it('leave it to their operator to look after', async () => {
    const operator = await roles.open('indexer', {}, 'indexer-for', { isOperator: true });
    const ask = async (path: string) => {
      const headers = { 'content-type': 'application/json' };
      const request = new Request(`http://localhost${path}`, { method: 'POST', headers, body: '{}' });
      return (await operator.app.fetch(request)).text();
    };
    expect(JSON.parse(await ask('/v1/doctor'))).toMatchObject({ differences: { missing: 0, orphan: 0 } });
    expect(await ask('/v1/index/rebuild')).toMatch(/"result":\{"passages":1\}/);
    expect(JSON.parse(await ask('/v1/doctor'))).toMatchObject({ differences: { missing: 0, orphan: 0 } });
  });
});
