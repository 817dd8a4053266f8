import { randomBytes, randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BulkheadError } from '../../src/errors.ts';
import { createApp } from '../../src/http/app.ts';
import { createLog } from '../../src/telemetry/log.ts';
import { LEVELS, openTestApp, type TestApp } from '../helpers/app.ts';
import { Browser, type Visit } from '../helpers/identity-browser.ts';

const HOSTILE = '<script>alert(1)</script><img src=x onerror="alert(2)">';
let test: TestApp;
let tokensExpired = false;
const ids = { open: '', hidden: '' };

beforeAll(async () => {
  test = await openTestApp((services) => ({
    ...services,
    verifyToken: (token) =>
      tokensExpired
        ? Promise.reject(new BulkheadError('invalid_token', 'The token has expired.'))
        : services.verifyToken(token),
  }));
  const text = `Salaries are paid on the 25th. ${HOSTILE} Ask pay@meridian.example.`;
  ids.open = await test.add('/open', text, {
    media_type: 'text/plain',
    title: `Pay ${HOSTILE}`,
    source: 'a"><b>',
  });
  ids.hidden = await test.add('/hr', '# Bonus\n\nThe bonus of Aurora is secret.');
});
afterAll(() => test?.close());

const at = (path: string) => new URL(path, test.url);
const post = (browser: Browser, path: string, fields: Record<string, string>) =>
  browser.visit(at(path), { method: 'POST', body: new URLSearchParams(fields) });

async function signIn(account: string, browser = new Browser()): Promise<{ browser: Browser; home: Visit }> {
  const chooser = await browser.visit(at('/signin/workforce'));
  // whoever is signed in at the issuer still is not asked again
  if (chooser.url.pathname === '/') return { browser, home: chooser };
  const choice = new URL(`?account=${account}`, chooser.url);
  return { browser, home: await browser.visit(choice, { method: 'POST' }) };
}

const csrfOf = (page: Visit) => /name="csrf" value="([^"]+)"/.exec(page.body)?.[1] ?? '';

async function ask(browser: Browser, home: Visit, question: string): Promise<Visit> {
  return post(browser, '/ask', { csrf: csrfOf(home), question });
}

describe('asking', () => {
  it('shows the passages with label, place, what was removed, receipt and why', async () => {
    const { browser, home } = await signIn('petra');
    expect(home.url.pathname).toBe('/');
    expect(home.body).toContain('Petra Fuchs');
    const page = await ask(browser, home, 'When are salaries paid?');
    expect(page.status).toBe(200);
    expect(page.body).toContain('One passage');
    expect(page.body).toContain('tone-0');
    expect(page.body).toContain('/open');
    expect(page.body).toContain('1 e-mail address removed');
    expect(page.body).toContain('<mark>[email]</mark>');
    expect(page.body).toContain(`href="/why/${ids.open}"`);
    expect(page.body).toMatch(/Receipt<\/dt><dd><code>[\w-]{22}/);
    const why = await browser.visit(at(`/why/${ids.open}`));
    expect(why.body).toContain('Why you can see this');
    expect(why.body).toContain('/open');
  });

  it('keeps the question in the field and out of URL and title', async () => {
    const { browser, home } = await signIn('petra');
    const page = await ask(browser, home, 'When are "salaries" paid?');
    expect(page.body).toContain('value="When are &quot;salaries&quot; paid?"');
    expect(page.url.href).not.toContain('salaries');
    expect(page.body).toContain('<title>Answer · Bulkhead</title>');
  });

  it('shows two people two answers to one question', async () => {
    const petra = await signIn('petra');
    const anna = await signIn('anna');
    expect((await ask(petra.browser, petra.home, 'bonus of Aurora')).body).not.toContain('secret');
    expect((await ask(anna.browser, anna.home, 'bonus of Aurora')).body).toContain('is secret');
  });

  it('says nothing of what is hidden: no answer looks like no document', async () => {
    const carla = new Browser();
    const chooser = await carla.visit(at('/signin/partners'));
    const home = await carla.visit(new URL('?account=carla', chooser.url), { method: 'POST' });
    await test.ask('root', 'POST', '/v1/containers/open/entries', { deny: 'user:partners|carla' });
    const page = await ask(carla, home, 'bonus of Aurora');
    expect(page.body).toContain('Nothing you may read answers this.');
    expect(page.body).not.toContain('class="passage"');
  });

  it.each([
    ['nothing', '   ', 'Please type a question.'],
    ['too much', 'x'.repeat(2_001), 'at most 2000'],
    ['NUL', 'a\0b', 'at most 2000'],
  ])('%s is answered in the form', async (_, question, problem) => {
    const { browser, home } = await signIn('petra');
    const page = await ask(browser, home, question);
    expect(page.status).toBe(400);
    expect(page.body).toContain(problem);
    expect(page.body).toContain('role="alert"');
  });

  it('answers a hidden document’s why like that of a missing one', async () => {
    const { browser } = await signIn('petra');
    const show = async (id: string) => {
      const { status, headers, body } = await browser.visit(at(`/why/${id}`));
      return { status, body: body.replaceAll(headers.get('x-request-id') ?? '', 'REQUEST') };
    };
    const hidden = await show(ids.hidden);
    expect(hidden.status).toBe(404);
    expect(hidden).toEqual(await show(randomUUID()));
    expect(hidden).toEqual(await show('no-id'));
  });
});

describe('hostile text', () => {
  it('in documents, names and questions is shown as text', async () => {
    const { browser, home } = await signIn('anna');
    expect(home.body).toContain('Anna &lt;b&gt;Keller&lt;/b&gt;');
    const page = await ask(browser, home, `salaries ${HOSTILE} "><script>alert(3)</script>`);
    expect(page.body).toContain('&lt;script&gt;alert(1)&lt;/script&gt;');
    expect(page.body).not.toMatch(/<script|<img src=x|onerror="|<b>/);
  });

  it('would find no script, style or foreign address allowed', async () => {
    const { browser, home } = await signIn('anna');
    const page = await ask(browser, home, 'salaries');
    expect(page.headers.get('content-security-policy')).toBe(
      "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    );
    expect(page.body).not.toMatch(/<script|<style| style=|https?:\/\/|\/\/[a-z]+\./);
  });
});

describe('the session', () => {
  const cookiesOf = async (path: string, init: RequestInit = {}) =>
    (await fetch(at(path), { redirect: 'manual', ...init })).headers.getSetCookie();

  it('is a cookie that scripts and other sites do not get', async () => {
    const [cookie = ''] = await cookiesOf('/signin/workforce');
    expect(cookie).toMatch(/^bulkhead-signin=[\w-]{43}; Path=\/; HttpOnly; SameSite=Lax$/);
  });

  it('is bound to the host and to TLS where the server is reached by https', async () => {
    const app = createApp(test.services, {
      version: '0',
      publicUrl: new URL('https://bulkhead.example'),
      levels: LEVELS,
      now: Date.now,
      randomBytes,
      newRequestId: randomUUID,
      log: createLog({ level: 'silent' }),
      signIn: undefined,
      signInChoices: [],
      limits: undefined,
    });
    const response = await app.fetch(
      new Request('https://bulkhead.example/ask', {
        method: 'POST',
        body: new URLSearchParams({ question: 'kept' }),
      }),
    );
    expect(response.headers.getSetCookie()[0]).toMatch(
      /^__Host-bulkhead-signin=[\w-]{43}; Path=\/; HttpOnly; Secure; SameSite=Lax$/,
    );
    expect(response.headers.get('strict-transport-security')).toContain('max-age=31536000');
  });

  it('begins under a new id at each sign-in', async () => {
    const { browser } = await signIn('petra');
    const before = browser.cookie('bulkhead-session');
    await signIn('petra', browser);
    expect(browser.cookie('bulkhead-session')).not.toBe(before);
    const old = await fetch(at('/'), { headers: { cookie: `bulkhead-session=${before}` } });
    expect(await old.text()).toContain('Sign in with');
  });

  it('is no way into the API', async () => {
    const { browser } = await signIn('petra');
    const cookie = `bulkhead-session=${browser.cookie('bulkhead-session')}`;
    expect((await fetch(at('/v1/documents'), { headers: { cookie } })).status).toBe(401);
  });

  it('whose token has expired asks for a new sign-in and keeps the question, without asking it', async () => {
    const { browser, home } = await signIn('petra');
    const csrf = csrfOf(home);
    tokensExpired = true;
    const again = await post(browser, '/ask', { csrf, question: 'When are salaries paid?' });
    tokensExpired = false;
    expect(again.url.pathname).toBe('/signin');
    expect(again.body).toContain('Your question is kept.');
    const { home: back } = await signIn('petra', browser);
    expect(back.body).toContain('value="When are salaries paid?"');
    expect(back.body).not.toContain('class="passage"');
    expect((await browser.visit(at('/'))).body).not.toContain('value="When are');
  });

  it('that is gone keeps the question just the same', async () => {
    const browser = new Browser();
    const page = await post(browser, '/ask', { csrf: 'any', question: 'Where is the boat?' });
    expect(page.body).toContain('Your question is kept.');
    expect((await signIn('petra', browser)).home.body).toContain('value="Where is the boat?"');
  });

  it('ends with signing out, and is recorded', async () => {
    const { browser, home } = await signIn('petra');
    const session = browser.cookie('bulkhead-session');
    const out = await post(browser, '/signout', { csrf: csrfOf(home) });
    expect(out.body).toContain('You are signed out.');
    expect(out.body).toContain('Sign out of the identity provider too');
    const after = await fetch(at('/'), { headers: { cookie: `bulkhead-session=${session}` } });
    expect(await after.text()).toContain('Sign in with');
    expect(test.signIns.slice(-2).map(({ kind }) => kind)).toEqual(['succeeded', 'ended']);
  });
});

describe('a forged request', () => {
  it.each(['/ask', '/signout'])('to %s without the form’s token is refused', async (path) => {
    const { browser } = await signIn('petra');
    const other = await signIn('anna');
    for (const csrf of ['', 'guess', csrfOf(other.home)]) {
      const page = await post(browser, path, { csrf, question: 'x' });
      expect([page.status, /<code>csrf<\/code>/.test(page.body)]).toEqual([403, true]);
    }
    expect((await browser.visit(at('/'))).body).toContain('Petra Fuchs');
  });

  it('cannot sign a browser in as somebody else: the return belongs to the browser that left', async () => {
    const attacker = new Browser();
    const chooser = await attacker.visit(at('/signin/workforce'));
    const choice = new URL('?account=anna', chooser.url);
    const back = await attacker.visit(choice, { method: 'POST', stopAt: `${test.url}/callback` });
    const victim = new Browser();
    expect((await victim.visit(back.url)).status).toBe(400);
    await victim.visit(at('/signin/workforce'));
    const page = await victim.visit(back.url);
    expect(page.status).toBe(400);
    expect(page.body).toContain('sign_in_failed');
    expect((await victim.visit(at('/'))).body).toContain('Sign in with');
    expect(test.signIns.at(-1)).toMatchObject({ kind: 'failed', code: 'sign_in_failed' });
  });

  it('cannot use a return twice', async () => {
    const browser = new Browser();
    const chooser = await browser.visit(at('/signin/workforce'));
    const choice = new URL('?account=petra', chooser.url);
    const back = await browser.visit(choice, { method: 'POST', stopAt: `${test.url}/callback` });
    expect((await browser.visit(back.url)).url.pathname).toBe('/');
    expect((await browser.visit(back.url)).status).toBe(400);
  });

  it.each(['/signin/https%3A%2F%2Fevil.example', '/signin/%2F%2Fevil.example', '/signin/nobody'])(
    'to %s leads nowhere',
    async (path) => {
      const page = await new Browser().visit(at(path));
      expect(page.status).toBe(404);
      expect(page.url.host).toBe(new URL(test.url).host);
    },
  );

  it('names no place to go afterwards', async () => {
    const { browser } = await signIn('petra');
    for (const path of [
      '/?next=https://evil.example',
      '/ask?id=https://evil.example',
      '/signed-out?to=//evil.example',
    ])
      expect((await browser.visit(at(path))).url.host).toBe(new URL(test.url).host);
  });

  it('of another form, or a large one, is refused', async () => {
    const json = await fetch(at('/ask'), {
      method: 'POST',
      headers: { 'content-type': 'text/plain' },
      body: 'x',
    });
    expect(json.status).toBe(415);
    const large = await fetch(at('/ask'), {
      method: 'POST',
      body: new URLSearchParams({ q: 'x'.repeat(40_000) }),
    });
    expect(large.status).toBe(413);
  });
});

describe('a page', () => {
  it('of an error is friendly and has its code', async () => {
    const page = await new Browser().visit(at('/no/such/page'));
    expect(page.status).toBe(404);
    expect(page.headers.get('content-type')).toContain('text/html');
    expect(page.body).toContain('not_found');
    expect(page.headers.get('www-authenticate')).toBeNull();
  });

  it('has its style by a name that changes with it, kept for ever', async () => {
    const { body } = await new Browser().visit(at('/'));
    const href = /href="(\/assets\/styles-[0-9a-f]{12}\.css)"/.exec(body)?.[1] ?? '';
    const style = await fetch(at(href));
    expect(style.headers.get('content-type')).toContain('text/css');
    expect(style.headers.get('cache-control')).toContain('immutable');
    expect(await style.text()).not.toMatch(/https?:|@import|url\(/);
    expect((await fetch(at('/assets/styles-000000000000.css'))).status).toBe(404);
  });
});
