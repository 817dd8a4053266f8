import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openTestApp, type TestApp } from '../helpers/app.ts';
import { IssuerServer, newKey, type SigningKey } from '../helpers/identity-issuer.ts';

let app: TestApp;
let issuer: IssuerServer;
let rival: IssuerServer;
let key: SigningKey;

beforeAll(async () => {
  [issuer, rival] = await Promise.all([IssuerServer.start(), IssuerServer.start()]);
  key = await newKey('key-1');
  issuer.published = [key];
  rival.published = [key];
  app = await openTestApp(undefined, {
    profiles: [issuer.profile({ name: 'clinic' }), rival.profile({ name: 'rival', tenant: 'rival' })],
  });
}, 60_000);

afterAll(async () => {
  await app.close();
  await Promise.all([issuer.close(), rival.close()]);
});

const reload = (account: string | undefined, name: string) =>
  app.ask(account, 'POST', `/v1/issuers/${name}/keys:reload`);

async function statusOf(token: string): Promise<number> {
  const headers = { authorization: `Bearer ${token}` };
  return (await fetch(`${app.url}/v1/documents`, { headers })).status;
}

async function reloads(): Promise<unknown[]> {
  const { json } = await app.ask('root', 'GET', '/v1/audit/records?kind=issuer.keys_reloaded');
  return json.records as unknown[];
}

describe('an administrator who reloads the keys of an issuer', () => {
  it('ends a withdrawn key at once, for tokens that were accepted before too', async () => {
    const now = Math.floor(Date.now() / 1000);
    const token = await issuer.sign(key, { sub: 'stranger', iat: now, exp: now + 600, auth_time: now });
    // verified, and then not in the directory
    expect(await statusOf(token)).toBe(403);
    expect(await statusOf(token)).toBe(403);
    issuer.published = [await newKey('key-2')];
    expect(await statusOf(token)).toBe(403);
    expect((await reload('root', 'clinic')).status).toBe(204);
    expect(await statusOf(token)).toBe(401);
  });

  it('leaves a record of it', async () => {
    expect(JSON.stringify(await reloads())).toContain('clinic');
  });

  it('is told when the issuer does not answer, and nothing of it is believed meanwhile', async () => {
    issuer.failing = true;
    const answer = await reload('root', 'clinic');
    expect(answer.status).toBe(503);
    expect(answer.headers.get('retry-after')).toMatch(/^\d+$/);
    issuer.failing = false;
  });
});

describe('nobody else', () => {
  it('reloads keys without a token, or without administer at the root', async () => {
    const asked = issuer.requests.length;
    expect((await reload(undefined, 'clinic')).status).toBe(401);
    expect((await reload('petra', 'clinic')).status).toBe(403);
    expect((await reload('anna', 'clinic')).status).toBe(403);
    expect(issuer.requests.length).toBe(asked);
  });

  it('learns which issuers there are, of another tenant or none', async () => {
    const asked = rival.requests.length;
    const other = await reload('root', 'rival');
    const none = await reload('root', 'nobody');
    const odd = await reload('root', '..%2f..');
    for (const { status, json } of [other, none, odd]) {
      expect(status).toBe(404);
      expect(json.detail).toBe(none.json.detail);
    }
    expect(rival.requests.length).toBe(asked);
    expect((await reload('petra', 'rival')).json.code).toBe((await reload('petra', 'nobody')).json.code);
  });
});
