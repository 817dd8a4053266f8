/** The program as it is put together for an installation: sign-in, session, and a logout at the provider. */
import { mkdtempSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Bulkhead, openBulkhead } from '../../src/assembly/server.ts';
import { loadConfig } from '../../src/config/config.ts';
import { createTenant } from '../../src/store/tenants.ts';
import { createLog } from '../../src/telemetry/log.ts';
import { BrowserProvider, CLIENT, RESOURCE } from '../helpers/browser-provider.ts';
import { Browser } from '../helpers/identity-browser.ts';
import { asSuperuser } from '../helpers/policy-tables.ts';

let provider: BrowserProvider;
let bulkhead: Bulkhead;
let url: URL;
const folder = mkdtempSync(join(tmpdir(), 'bulkhead-assembled-'));

beforeAll(async () => {
  provider = await BrowserProvider.start('corp');
  const file = join(folder, 'bulkhead.yaml');
  const issuer = { name: 'corp', tenant: 'meridian', issuer: provider.url, audience: RESOURCE };
  writeFileSync(file, JSON.stringify({ issuers: [issuer], signIn: { clientId: CLIENT } }));
  const port = 20_000 + Math.floor(Math.random() * 20_000);
  const config = loadConfig({
    BULKHEAD_CONFIG: file,
    BULKHEAD_DATA: join(folder, 'data'),
    PORT: String(port),
  });
  bulkhead = await openBulkhead(config, { log: createLog({ level: 'silent' }) });
  await createTenant(bulkhead.parts.database, {
    name: 'meridian',
    admin: { principal: 'user:corp|anna', source: 'corp', displayName: 'Anna' },
    rootLevel: 'public',
  });
  url = await bulkhead.listen();
  provider.serve(url.origin);
});
afterAll(async () => {
  await bulkhead?.close();
  await provider.close();
  await rm(folder, { recursive: true, force: true });
});

describe('an installation with one provider', () => {
  it('signs in, hears of a logout at the provider, and refuses the tokens of that session', async () => {
    const browser = new Browser();
    const home = await browser.visit(new URL('/signin/corp', url));
    expect(home.body).toContain('Sign out');
    const { database } = bulkhead.parts;
    const [event] = await asSuperuser<{ body: string }>(
      database,
      "select body from audit_record where kind = 'signin.succeeded'",
    );
    expect(JSON.parse(event?.body ?? '{}')).toMatchObject({ subject: 'user:corp|anna', issuer: 'corp' });
    const answer = await fetch(new URL('/backchannel-logout/corp', url), {
      method: 'POST',
      body: new URLSearchParams({ logout_token: await provider.logoutToken({ sub: 'anna' }) }),
    });
    expect(answer.status).toBe(200);
    expect((await browser.visit(new URL('/', url))).body).not.toContain('Sign out');
    const revoked = await asSuperuser<{ kind: string }>(
      database,
      'select kind from revocation order by kind',
    );
    expect(revoked.map(({ kind }) => kind)).toEqual(['session', 'user']);
    const [ended] = await asSuperuser<{ body: string }>(
      database,
      "select body from audit_record where kind = 'signin.ended_by_provider'",
    );
    expect(JSON.parse(ended?.body ?? '{}')).toMatchObject({ subject: 'user:corp|anna', sessions: 1 });
  });

  it('records in its one tenant who was refused without being known', async () => {
    for (const headers of [{}, { authorization: 'Bearer eyJhbGciOiJub25lIn0.e30.' }])
      expect((await fetch(new URL('/v1/documents', url), { headers })).status).toBe(401);
    const refused = await asSuperuser<{ body: string }>(
      bulkhead.parts.database,
      "select body from audit_record where kind = 'request.refused' order by seq",
    );
    expect(refused.map(({ body }) => JSON.parse(body))).toMatchObject([
      { subject: null, code: 'missing_token', status: 401, route: '/v1/documents' },
      { subject: null, code: 'invalid_token', status: 401, route: '/v1/documents' },
    ]);
  });
});
