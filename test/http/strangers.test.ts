/** Whose audit log has the refusals of callers whose tenant nobody can tell. */
import { mkdtempSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { auditService } from '../../src/assembly/audit-service.ts';
import { initTenant } from '../../src/assembly/init.ts';
import { type Bulkhead, openBulkhead } from '../../src/assembly/server.ts';
import { type Config, loadConfig } from '../../src/config/config.ts';
import { createLog } from '../../src/telemetry/log.ts';
import { asSuperuser } from '../helpers/policy-tables.ts';

const folder = mkdtempSync(join(tmpdir(), 'bulkhead-strangers-'));
const lines: string[] = [];
let bulkhead: Bulkhead | undefined;

const issuer = (name: string, tenant: unknown) => ({
  name,
  tenant,
  issuer: `https://${name}.example`,
  audience: 'urn:bulkhead:api',
});
const SHARED = issuer('shared', { claim: 'org', map: { a: 'acme', b: 'beta' } });
const ISSUERS = [issuer('corp', 'acme'), issuer('other', 'beta'), SHARED];

function configured(audit: object | undefined): Config {
  const file = join(folder, 'bulkhead.yaml');
  writeFileSync(file, JSON.stringify({ issuers: ISSUERS, ...(audit && { audit }) }));
  return loadConfig({ BULKHEAD_CONFIG: file, BULKHEAD_DATA: join(folder, 'data') });
}

async function start(audit: object | undefined): Promise<Bulkhead> {
  lines.length = 0;
  const destination = { write: (line: string) => void lines.push(line) };
  bulkhead = await openBulkhead(configured(audit), { log: createLog({ level: 'warn', destination }) });
  return bulkhead;
}

interface Logged {
  readonly tenant: string;
  readonly body: string;
}

function started(): Bulkhead {
  if (bulkhead === undefined) throw new Error('not started');
  return bulkhead;
}

async function logged({ parts }: Bulkhead, kind: string) {
  const rows = await asSuperuser<Logged>(
    parts.database,
    `select t.name as tenant, r.body from audit_record r join tenant t on t.id = r.tenant_id
     where r.kind = '${kind}' order by t.name, r.seq`,
  );
  return rows.map(({ tenant, body }): Record<string, unknown> => ({ tenant, ...JSON.parse(body) }));
}

const knock = ({ app }: Bulkhead) => app.fetch(new Request('http://localhost/v1/documents'));
const failedSignIn = { kind: 'failed', code: 'invalid_token', requestId: 'r1' } as const;

beforeAll(async () => {
  const first = { account: 'root', displayName: 'Root' };
  await initTenant(configured(undefined), { ...first, tenant: 'acme', issuer: 'corp' });
  await initTenant(configured(undefined), { ...first, tenant: 'beta', issuer: 'other' });
}, 60_000);
afterEach(async () => {
  await bulkhead?.close();
  bulkhead = undefined;
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe('an installation of several tenants', () => {
  it('that names none for strangers warns once at the start, and has their refusals in its access log alone', async () => {
    const running = await start(undefined);
    expect(lines.filter((line) => line.includes('audit.strangers'))).toHaveLength(1);
    expect((await knock(running)).status).toBe(401);
    expect(await logged(running, 'request.refused')).toEqual([]);
  }, 30_000);

  it('does not start for strangers of a tenant that does not exist', async () => {
    await expect(start({ strangers: 'gamma' })).rejects.toMatchObject({
      code: 'config_invalid',
      message: expect.stringMatching(/audit\.strangers.*"gamma"/),
    });
    expect(() => configured({ strangers: '' })).toThrow(/audit\.strangers/);
    expect(() => configured({ stranger: 'acme' })).toThrow(/audit/);
  }, 30_000);

  it('records a flood of strangers in the one that it names, twenty records a minute and the rest as a count', async () => {
    const running = await start({ strangers: 'acme' });
    expect(lines.filter((line) => line.includes('audit.strangers'))).toEqual([]);
    for (let i = 0; i < 60; i += 1) expect((await knock(running)).status).toBe(401);
    const before = await logged(running, 'request.refused');
    expect(before).toHaveLength(20);
    expect(before[0]).toMatchObject({
      tenant: 'acme',
      subject: null,
      code: 'missing_token',
      route: '/v1/documents',
    });
    await running.app.close();
    const after = await logged(running, 'request.refused');
    expect(after.slice(20)).toMatchObject([{ tenant: 'acme', code: 'missing_token', count: 40 }]);
    expect(after).toHaveLength(21);
  }, 30_000);

  it('names nobody there whose tenant was never made', async () => {
    const { parts } = await start({ strangers: 'acme' });
    const audit = auditService(parts, () => undefined, 'acme');
    const refusal = { request: 'r2', code: 'subject_unknown', status: 403, route: '/', count: 1 } as const;
    await audit.refused({ ...refusal, tenant: 'gamma', subject: 'user:gamma|eve', actor: 'service:gamma|x' });
    await audit.refused({ ...refusal, tenant: 'beta', subject: 'user:other|bob', actor: null });
    const found = (await logged(started(), 'request.refused')).filter(({ request }) => request === 'r2');
    expect(found).toMatchObject([
      { tenant: 'acme', subject: null, actor: null },
      { tenant: 'beta', subject: 'user:other|bob' },
    ]);
  }, 30_000);

  it('records there the failed sign-ins of no one tenant, counted apart from its own', async () => {
    const { parts } = await start({ strangers: 'acme' });
    const audit = auditService(parts, (name) => (name === 'corp' ? 'acme' : undefined), 'acme');
    for (let i = 0; i < 30; i += 1)
      await audit.signIn({ ...failedSignIn, issuer: i === 0 ? null : 'shared' });
    await audit.signIn({ ...failedSignIn, issuer: 'corp' });
    const found = await logged(started(), 'signin.failed');
    expect(found.map(({ tenant }) => tenant)).toEqual(Array(21).fill('acme'));
    expect(found.at(-1)).toMatchObject({ issuer: 'corp', count: 1 });
  }, 30_000);

  it('leaves them to the access log where none is named', async () => {
    const { parts } = await start(undefined);
    const before = (await logged(started(), 'signin.failed')).length;
    await auditService(parts, () => undefined, undefined).signIn({ ...failedSignIn, issuer: 'shared' });
    expect(await logged(started(), 'signin.failed')).toHaveLength(before);
  }, 30_000);
});
