/** Back-channel logout (OpenID Connect Back-Channel Logout 1.0), by a real provider and by tokens that try to pass. */
import { decodeJwt } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type BrowserFirm, openBrowserFirm } from '../helpers/browser-firm.ts';
import { CLIENT, RESOURCE } from '../helpers/browser-provider.ts';
import type { Browser } from '../helpers/identity-browser.ts';
import { asSuperuser } from '../helpers/policy-tables.ts';

let firm: BrowserFirm;
let lastToken = '';

beforeAll(async () => {
  firm = await openBrowserFirm({
    change: (services) => ({
      ...services,
      verifyToken: (token) => {
        lastToken = token;
        return services.verifyToken(token);
      },
    }),
  });
});
afterAll(() => firm?.close());

const send = (token: string, issuer = 'corp') =>
  fetch(firm.at(`/backchannel-logout/${issuer}`), {
    method: 'POST',
    body: new URLSearchParams({ logout_token: token }),
  });

async function signedIn(account = 'anna') {
  const { browser } = await firm.signIn(account);
  return { browser, token: lastToken, sid: String(decodeJwt(lastToken).sid) };
}

const isIn = async (browser: Browser) => (await browser.visit(firm.at('/'))).body.includes('Sign out');

const asks = async (token: string) => {
  const response = await fetch(firm.at('/v1/documents'), { headers: { authorization: `Bearer ${token}` } });
  return { status: response.status, code: ((await response.json()) as { code?: string }).code };
};

const recorded = () =>
  asSuperuser<{ kind: string; body: string }>(
    firm.app.store.database,
    "select kind, body from audit_record where kind = 'signin.ended_by_provider' order by at, seq",
  );

describe('signing out at the provider', () => {
  it('ends the session here, and the tokens that programs hold of it', async () => {
    const { browser, token } = await signedIn();
    expect(await isIn(browser)).toBe(true);
    expect((await asks(token)).status).toBe(200);
    const form = await browser.visit(new URL('/session/end', firm.corp.url));
    const xsrf = /name="xsrf" value="([^"]+)"/.exec(form.body)?.[1] ?? '';
    await browser.visit(new URL('/session/end/confirm', firm.corp.url), {
      method: 'POST',
      body: new URLSearchParams({ xsrf, logout: 'yes' }),
    });
    expect(await isIn(browser)).toBe(false);
    expect(await asks(token)).toEqual({ status: 401, code: 'credential_revoked' });
  });
});

describe('a logout token', () => {
  it('that names a session ends that one, is answered without a word, and is recorded', async () => {
    const one = await signedIn();
    const other = await signedIn();
    const answer = await send(await firm.corp.logoutToken({ sid: one.sid, sub: 'anna' }));
    expect([answer.status, answer.headers.get('cache-control'), await answer.text()]).toEqual([
      200,
      'no-store',
      '',
    ]);
    expect(await isIn(one.browser)).toBe(false);
    expect(await isIn(other.browser)).toBe(true);
    expect((await asks(one.token)).status).toBe(401);
    expect((await asks(other.token)).status).toBe(200);
    expect(JSON.parse((await recorded()).at(-1)?.body ?? '{}')).toMatchObject({
      subject: 'user:corp|anna',
      issuer: 'corp',
      session: one.sid,
      sessions: 1,
    });
  });

  it('that names a subject ends all that they have, and nobody else’s', async () => {
    const zoe = [await signedIn('zoe'), await signedIn('zoe')];
    const tom = await signedIn('tom');
    expect((await send(await firm.corp.logoutToken({ sub: 'zoe' }))).status).toBe(200);
    for (const { browser, token } of zoe) {
      expect(await isIn(browser)).toBe(false);
      expect((await asks(token)).status).toBe(401);
    }
    expect(await isIn(tom.browser)).toBe(true);
    expect((await asks(tom.token)).status).toBe(200);
  });

  it('for a session that never was here ends the tokens of it all the same', async () => {
    const { browser, token, sid } = await signedIn();
    await asSuperuser(firm.app.store.database, "delete from browser_session where kind = 'session'");
    expect((await send(await firm.corp.logoutToken({ sid }))).status).toBe(200);
    expect(await isIn(browser)).toBe(false);
    expect((await asks(token)).status).toBe(401);
  });

  it('is taken once', async () => {
    const token = await firm.corp.logoutToken({ sub: 'tom' });
    const answers = await Promise.all([send(token), send(token), send(token)]);
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 400, 400]);
    const { browser } = await signedIn('tom');
    expect((await send(token)).status).toBe(400);
    expect(await isIn(browser)).toBe(true);
  });

  it('is taken without a type too, as providers send it that came before the specification', async () => {
    const untyped = await firm.corp.logoutToken({ sub: 'nobody' }, { typ: undefined });
    expect((await send(untyped)).status).toBe(200);
  });
});

describe('what is no logout token', () => {
  const now = () => Math.floor(Date.now() / 1000);
  const mine = (claims: object, header: Record<string, unknown> = {}) =>
    firm.corp.logoutToken({ sub: 'tom', ...claims }, header);

  it.each<readonly [string, () => Promise<string>]>([
    ['with a nonce', () => mine({ nonce: 'n' })],
    ['without its event', () => mine({ events: undefined })],
    ['with another event', () => mine({ events: { 'https://example.com/other': {} } })],
    [
      'whose event is no object',
      () => mine({ events: { 'http://schemas.openid.net/event/backchannel-logout': 1 } }),
    ],
    ['that names nobody', () => mine({ sub: undefined })],
    ['whose session is no text', () => mine({ sid: 7 })],
    ['for another client', () => mine({ aud: 'another' })],
    ['of another issuer', () => mine({ iss: firm.other.url })],
    ['signed by another issuer', () => firm.other.logoutToken({ iss: firm.corp.url, sub: 'tom' })],
    ['that has expired', () => mine({ iat: now() - 200, exp: now() - 100 })],
    ['that does not expire', () => mine({ exp: undefined })],
    ['that is old', () => mine({ iat: now() - 1_000, exp: now() + 1_000 })],
    ['from the future', () => mine({ iat: now() + 1_000, exp: now() + 2_000 })],
    ['without an id', () => mine({ jti: undefined })],
    ['of the type of an access token', () => mine({}, { typ: 'at+jwt' })],
    ['with an extension', () => mine({}, { crit: ['b64'], b64: true })],
    ['signed by nobody', async () => `${Buffer.from('{"alg":"none"}').toString('base64url')}.e30.`],
    ['of nonsense', async () => 'nonsense'],
    ['of nothing', async () => ''],
    ['of 20 KB', async () => 'x'.repeat(20_000)],
  ])('%s is refused, recorded, and ends nothing', async (_, make) => {
    const { browser } = await signedIn('tom');
    const before = firm.app.signIns.length;
    const answer = await send(await make());
    expect(answer.status).toBe(400);
    expect(answer.headers.get('cache-control')).toBe('no-store');
    expect(await answer.json()).toMatchObject({ error: 'invalid_request' });
    expect(firm.app.signIns.slice(before)).toMatchObject([{ kind: 'failed', code: 'invalid_token' }]);
    expect(await isIn(browser)).toBe(true);
  });

  it('an access token and an id token are none', async () => {
    const { browser, token, sid } = await signedIn('tom');
    expect((await send(token)).status).toBe(400);
    const idToken = await firm.corp.sign(
      { iss: firm.corp.url, aud: CLIENT, sub: 'tom', sid, iat: now(), exp: now() + 60, jti: 'j', nonce: 'n' },
      { typ: 'JWT' },
    );
    expect((await send(idToken)).status).toBe(400);
    expect(await isIn(browser)).toBe(true);
  });

  it('a logout token is no access token either', async () => {
    const token = await mine({ aud: RESOURCE, client_id: CLIENT });
    expect((await asks(token)).status).toBe(401);
  });

  it('nothing is, at the address of another issuer or of nobody', async () => {
    expect((await send(await mine({}), 'other')).status).toBe(400);
    expect((await send(await mine({}), 'nobody')).status).toBe(404);
  });

  it('nothing is that is not a form', async () => {
    const answer = await fetch(firm.at('/backchannel-logout/corp'), { method: 'POST', body: '{}' });
    expect(answer.status).toBe(415);
  });
});

describe('a provider whose keys cannot be had', () => {
  it('is told to come again, and its token is then good', async () => {
    const fresh = await openBrowserFirm();
    try {
      const token = await fresh.corp.logoutToken({ sub: 'tom' });
      const again = () =>
        fetch(fresh.at('/backchannel-logout/corp'), {
          method: 'POST',
          body: new URLSearchParams({ logout_token: token }),
        });
      fresh.corp.trouble = 'down';
      expect((await again()).status).toBe(503);
    } finally {
      await fresh.close();
    }
  });
});
