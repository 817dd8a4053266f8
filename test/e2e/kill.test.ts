import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { type Environment, freePort, type Running, run, serve, start, stop } from '../helpers/command.ts';
import { AUDIENCE, IssuerServer, newKey, type SigningKey } from '../helpers/identity-issuer.ts';

// each command is a process, and the machine may be busy
vi.setConfig({ testTimeout: 180_000, hookTimeout: 180_000 });

const DOCUMENTS = 60;
const MODEL = resolve(import.meta.dirname, '../../models/all-MiniLM-L6-v2');

let folder: string;
let issuer: IssuerServer;
let key: SigningKey;
let env: Environment;
let server: Running | undefined;

/** A tenant of its own with an identity provider of its own: nothing of the demo. */
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bulkhead-kill-'));
  issuer = await IssuerServer.start();
  key = await newKey('one');
  issuer.published = [key];
  const config = join(folder, 'bulkhead.yaml');
  const own = {
    name: 'house',
    tenant: 'acme',
    issuer: issuer.url,
    audience: AUDIENCE,
    jwksUri: `${issuer.url}/jwks`,
  };
  await writeFile(config, JSON.stringify({ issuers: [own] }));
  env = {
    BULKHEAD_DATA: join(folder, 'data'),
    BULKHEAD_CONFIG: config,
    PORT: String(await freePort()),
    BULKHEAD_TOKEN: await tokenOf('jane.doe'),
  };
  await mkdir(join(folder, 'log'));
  await writeFile(join(folder, 'log/.acl.yaml'), 'level: internal\nentries:\n  - allow: everyone\n');
  for (let i = 0; i < DOCUMENTS; i += 1) await writeFile(join(folder, 'log', `${i}.txt`), textOf(i));
});

afterAll(async () => {
  if (server !== undefined) await stop(server);
  await issuer.close();
  await rm(folder, { recursive: true, force: true });
});

/** Several passages each, so that half a document could be seen. */
function textOf(i: number): string {
  const sentence = (part: number) =>
    `Part ${part} of log ${i} says that the tide was ${i * 7 + part} millimetres up. `;
  return `${Array.from({ length: 40 }, (_, part) => sentence(part)).join('')}End of log ${i}.`;
}

function tokenOf(account: string): Promise<string> {
  const now = Math.floor(Date.now() / 1000);
  return issuer.sign(key, { sub: account, iat: now - 1, exp: now + 3600, auth_time: now - 1 });
}

async function api<T>(account: string, method: string, path: string, body?: object): Promise<T> {
  const response = await fetch(`http://127.0.0.1:${env.PORT}${path}`, {
    method,
    headers: { authorization: `Bearer ${await tokenOf(account)}`, 'content-type': 'application/json' },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  if (!response.ok) throw new Error(`${method} ${path}: ${await response.text()}`);
  return (response.status === 204 ? undefined : await response.json()) as T;
}

interface Listed {
  readonly document_id: string;
  readonly external_id: string;
}

async function visibleTo(account: string): Promise<readonly Listed[]> {
  const all: Listed[] = [];
  for (let cursor = ''; ; ) {
    const page = await api<{ documents: Listed[]; next_cursor: string | null }>(
      account,
      'GET',
      `/v1/documents?limit=200${cursor && `&cursor=${encodeURIComponent(cursor)}`}`,
    );
    all.push(...page.documents);
    if (page.next_cursor === null) return all;
    cursor = page.next_cursor;
  }
}

const ingest = (...options: string[]) => ['ingest', join(folder, 'log'), '--container', '/log', ...options];

describe('a tenant of its own', () => {
  const init = () => run(['init', '--tenant', 'acme', '--issuer', 'house', '--admin', 'jane.doe'], env);

  it('is made by init, once', async () => {
    expect(await init()).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^Created the tenant acme\. user:house\|jane\.doe /),
    });
    expect(await init()).toMatchObject({
      code: 1,
      stderr: 'bulkhead: There is a tenant "acme" already. (conflict)\n',
    });
  });

  it('has an administrator who gives others what they need, and a log that begins with its making', async () => {
    server = await serve(env);
    await api('jane.doe', 'POST', '/v1/principals', { principal: 'user:house|rea', display_name: 'Rea' });
    const clearances = `/v1/principals/${encodeURIComponent('user:house|rea')}/clearances`;
    await api('jane.doe', 'POST', clearances, { level: 'internal' });
    const { stdout } = await run(['audit', 'list', '--kind', 'tenant.created', '--json'], env);
    expect((JSON.parse(stdout) as { records: unknown[] }).records).toMatchObject([
      { body: { tenant: 'acme', administrator: 'user:house|jane.doe' } },
    ]);
  });

  it('has no development accounts', async () => {
    const { code, stderr } = await run(['retrieve', 'tide', '--as', 'jane.doe'], env);
    expect({ code, stderr }).toEqual({ code: 1, stderr: expect.stringMatching(/\(development_only\)\n$/) });
  });
});

describe('kill -9 during a batch ingest', () => {
  let reported: readonly string[];

  it('leaves a command that says what is done and why it ends', async () => {
    const sending = start(ingest('--json'), env);
    await sending.said(/("created".*\n.*){20}/);
    server?.child.kill('SIGKILL');
    const { code, stdout, stderr } = await sending.finished;
    const results = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { name: string; status: string });
    expect(results.every(({ status }) => status === 'created')).toBe(true);
    reported = results.map(({ name }) => name);
    expect(code).toBe(1);
    expect(stderr).toContain(`created ${reported.length}, replaced 0, unchanged 0, failed 0\n`);
    expect(stderr).toMatch(/\nbulkhead: The server broke off its answer: .*\(server_unreachable\)\n$/);
    expect(reported.length).toBeLessThan(DOCUMENTS);
  });

  it('loses nothing that was reported, doubles nothing, and shows no half document', async () => {
    server = await serve(env);
    const visible = await visibleTo('rea');
    const names = visible.map(({ external_id }) => external_id);
    expect(new Set(names).size).toBe(names.length);
    expect(reported.filter((name) => !names.includes(name))).toEqual([]);
    for (const { document_id, external_id } of visible) {
      const { passages } = await api<{ passages: { text: string }[] }>(
        'rea',
        'GET',
        `/v1/documents/${document_id}`,
      );
      const i = Number.parseInt(external_id, 10);
      expect(passages[0]?.text).toContain(`Part 0 of log ${i} `);
      expect(passages.at(-1)?.text).toContain(`End of log ${i}.`);
    }
    expect(await run(['doctor'], env)).toMatchObject({
      code: 0,
      stdout: 'The index is what the database says.\n',
    });
    expect(await run(['audit', 'verify'], env)).toMatchObject({ code: 0 });
  });

  it('is made good by sending the same again', async () => {
    const before = (await visibleTo('rea')).length;
    expect(await run(ingest(), env)).toMatchObject({
      code: 0,
      stdout: `created ${DOCUMENTS - before}, replaced 0, unchanged ${before}, failed 0\n`,
    });
    expect(await visibleTo('rea')).toHaveLength(DOCUMENTS);
  });
});

describe('another embedding model', () => {
  let other: Environment;

  beforeAll(async () => {
    if (server !== undefined) await stop(server);
    server = undefined;
    other = { ...env, BULKHEAD_MODEL: await modelWithPrefix() };
  });

  /** The same weights with another query prefix are another model: their vectors do not compare. */
  async function modelWithPrefix(): Promise<string> {
    const root = join(folder, 'model');
    await cp(MODEL, root, { recursive: true });
    const file = join(root, 'manifest.json');
    const manifest = JSON.parse(await readFile(file, 'utf8')) as Record<string, unknown>;
    await writeFile(file, JSON.stringify({ ...manifest, queryPrefix: 'query: ' }));
    return file;
  }

  it('is refused until reembed has run, and the earlier one afterwards', async () => {
    const refused = { code: 1, stderr: expect.stringMatching(/bulkhead reembed \(model_changed\)\n$/) };
    expect(await run(['retrieve', 'tide'], other)).toMatchObject(refused);
    expect(await run(['reembed'], other)).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^Embedded \d{3,} passages;/),
    });
    const asRea = { ...other, BULKHEAD_TOKEN: await tokenOf('rea') };
    const { code, stdout } = await run(['retrieve', 'tide of log 17', '--limit', '1'], asRea);
    expect({ code, stdout }).toEqual({ code: 0, stdout: expect.stringMatching(/^1\. .*\[internal\]\n/) });
    expect(await run(['retrieve', 'tide'], env)).toMatchObject(refused);
  });
});
