/** Sign-in, session and renewal in a browser, against a real OpenID provider; sessions in the database. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { pages } from '../../src/http/pages/pages.ts';
import { type BrowserFirm, csrfOf, openBrowserFirm } from '../helpers/browser-firm.ts';
import { CLIENT } from '../helpers/browser-provider.ts';
import { Browser } from '../helpers/identity-browser.ts';

const SESSION = 'bulkhead-session';
let firm: BrowserFirm;

beforeAll(async () => {
  firm = await openBrowserFirm({ otherNamesItself: false });
  await firm.app.add('/open', 'Salaries are paid on the 25th.');
});
afterAll(() => firm?.close());
beforeEach(() => {
  Object.assign(firm.corp, { trouble: undefined, tokenTrouble: undefined, accessTokenLifetime: 300 });
  Object.assign(firm.corp, { renewsNothing: false, renewsAs: undefined });
});

/** What a browser with only this cookie sees. */
async function homeWith(cookie: string | undefined, url = firm.app.url): Promise<string> {
  return (await fetch(`${url}/`, { headers: { cookie: `${SESSION}=${cookie}` } })).text();
}

async function ask(browser: Browser, question = 'When are salaries paid?') {
  const home = await browser.visit(firm.at('/'));
  return firm.post(browser, '/ask', { csrf: csrfOf(home), question });
}

describe('a session', () => {
  it('goes on at another replica, and so does a sign-in under way', async () => {
    const replica = await firm.replica();
    try {
      const { browser } = await firm.signIn();
      expect(await homeWith(browser.cookie(SESSION), replica.url)).toContain('Sign out');
      const other = new Browser();
      const back = await firm.leave(other);
      const there = new URL(back.pathname + back.search, replica.url);
      await other.visit(there, { stopAt: `${firm.app.url}/` });
      expect(await homeWith(other.cookie(SESSION))).toContain('Sign out');
    } finally {
      await replica.close();
    }
  });

  it('that was stolen is worth nothing once its person has signed out', async () => {
    const { browser, home } = await firm.signIn();
    const stolen = browser.cookie(SESSION);
    expect(await homeWith(stolen)).toContain('Sign out');
    await firm.post(browser, '/signout', { csrf: csrfOf(home) });
    expect(await homeWith(stolen)).not.toContain('Sign out');
    const asked = await fetch(firm.at('/ask?id=x'), {
      redirect: 'manual',
      headers: { cookie: `${SESSION}=${stolen}` },
    });
    expect(asked.headers.get('location')).toBe('/signin');
  });

  it('that was planted before the sign-in is not the one after it', async () => {
    const attacker = await firm.signIn('tom');
    const planted = attacker.browser.cookie(SESSION) ?? '';
    const victim = new Browser();
    victim.plant(SESSION, planted);
    await firm.signIn('anna', 'pwd', victim);
    expect(victim.cookie(SESSION)).not.toBe(planted);
    expect(await homeWith(planted)).not.toContain('Sign out');
  });

  it('is not anybody’s who makes a cookie up', async () => {
    for (const made of ['', 'A'.repeat(43), '../../session', "' or 1=1 --"])
      expect(await homeWith(encodeURIComponent(made))).not.toContain('Sign out');
  });
});

describe('a return from the provider', () => {
  it('belongs to the browser that left (login CSRF)', async () => {
    const back = await firm.leave(new Browser());
    const victim = new Browser();
    expect((await victim.visit(back)).status).toBe(400);
    await firm.leave(victim);
    expect((await victim.visit(back)).status).toBe(400);
    expect(victim.cookie(SESSION) ?? '').toBe('');
    expect(firm.app.signIns.at(-1)).toMatchObject({ kind: 'failed', code: 'sign_in_failed' });
  });

  it('is used once, at whatever replica and however fast', async () => {
    const replica = await firm.replica();
    try {
      const browser = new Browser();
      const back = await firm.leave(browser);
      const cookie = `bulkhead-signin=${browser.cookie('bulkhead-signin')}`;
      const answers = await Promise.all(
        [firm.app.url, replica.url, firm.app.url].map((url) =>
          fetch(url + back.pathname + back.search, { redirect: 'manual', headers: { cookie } }),
        ),
      );
      expect(answers.map(({ status }) => status).sort()).toEqual([303, 400, 400]);
    } finally {
      await replica.close();
    }
  });

  it.each(['code', 'state', 'iss'])('without its %s is refused', async (parameter) => {
    const browser = new Browser();
    const back = await firm.leave(browser);
    back.searchParams.delete(parameter);
    expect((await browser.visit(back)).status).toBe(400);
  });

  it('that names another issuer than was asked is refused (RFC 9207)', async () => {
    const browser = new Browser();
    const back = await firm.leave(browser);
    back.searchParams.set('iss', firm.other.url);
    const asked = firm.corp.tokenRequests;
    expect((await browser.visit(back)).status).toBe(400);
    expect(firm.corp.tokenRequests).toBe(asked);
    expect(firm.app.signIns.at(-1)).toMatchObject({ kind: 'failed', issuer: 'corp' });
  });

  it('from an issuer that does not name itself comes to an address of its own, and to no other', async () => {
    const browser = new Browser();
    const back = await firm.leave(browser, '/signin/other');
    expect(back.pathname).toBe('/callback/other');
    expect(back.searchParams.get('iss')).toBeNull();
    const asked = firm.other.tokenRequests;
    for (const path of ['/callback', '/callback/corp', '/callback/nobody']) {
      const mixedUp = new Browser();
      const answer = await firm.leave(mixedUp, '/signin/other');
      answer.pathname = path;
      expect([path, (await mixedUp.visit(answer)).status]).toEqual([path, 400]);
    }
    // a code that may be another issuer's is shown to none
    expect(firm.other.tokenRequests).toBe(asked);
    expect((await browser.visit(back)).url.pathname).toBe('/');
  });

  it('with a code of one issuer is not taken for a sign-in with the other', async () => {
    const honest = await firm.leave(new Browser());
    const browser = new Browser();
    const begun = await firm.leave(browser, '/signin/other');
    begun.searchParams.set('code', honest.searchParams.get('code') ?? '');
    expect((await browser.visit(begun)).status).toBe(400);
  });

  it('that carries an error says so without its words', async () => {
    const browser = new Browser();
    const back = await firm.leave(browser);
    const url = firm.at('/callback');
    for (const name of ['state', 'iss']) url.searchParams.set(name, back.searchParams.get(name) ?? '');
    url.searchParams.set('error', 'access_denied');
    url.searchParams.set('error_description', 'Call the helpdesk of Evil');
    const page = await browser.visit(url);
    expect(page.status).toBe(400);
    expect(page.body).toContain('was cancelled');
    expect(page.body).not.toContain('Evil');
  });
});

describe('going back to where one was', () => {
  it('leads to the page that asked for the sign-in', async () => {
    const id = await firm.app.add('/open', 'The canteen opens at eleven.');
    const browser = new Browser();
    await browser.visit(firm.at(`/why/${id}`));
    const { home } = await firm.signIn('anna', 'pwd', browser);
    expect(home.url.pathname).toBe(`/why/${id}`);
    expect(home.body).toContain('Why you can see this');
  });

  const elsewhere = [
    '//evil.example',
    '/\\evil.example',
    'https://evil.example',
    '%2F%2Fevil.example',
    '/%5Cevil.example',
    '/why/%0d%0aLocation:%20https:%2F%2Fevil.example',
    '/why/..%2f..%2fevil',
    '/why/https:evil',
    'javascript:alert(1)',
  ];

  it.each(elsewhere)('never leads to %s, in a path or in a parameter', async (target) => {
    const host = new URL(firm.app.url).host;
    const browser = new Browser();
    const path = target.startsWith('/') ? target.replaceAll('\\', '%5C') : `/${target}`;
    // fetch resolves `//host` itself, so such a path goes after a dot
    await browser.visit(new URL(`${firm.app.url}/.${path}`));
    for (const name of ['return_to', 'returnTo', 'next', 'redirect_uri', 'url', 'RelayState'])
      await browser.visit(firm.at(`/signin?${new URLSearchParams({ [name]: target })}`));
    const start = firm.at(`/signin/corp?${new URLSearchParams({ return_to: target, next: target })}`);
    const back = (await browser.visit(start, { stopAt: `${firm.app.url}/callback` })).url;
    back.searchParams.set('return_to', target);
    const home = await browser.visit(back);
    expect(home.url.host).toBe(host);
    expect(home.url.pathname).toMatch(/^\/(why\/|callback)?/);
    expect(home.headers.get('location')).toBeNull();
  });
});

describe('a form', () => {
  it.each(['/ask', '/signout'])('posted to %s without the session’s own token is refused', async (path) => {
    const { browser } = await firm.signIn();
    const { home: other } = await firm.signIn('tom');
    for (const csrf of ['', 'guess', csrfOf(other)])
      expect((await firm.post(browser, path, { csrf, question: 'x' })).status).toBe(403);
    expect(await homeWith(browser.cookie(SESSION))).toContain('Sign out');
  });

  it('of a session before is worth nothing after the next sign-in', async () => {
    const { browser, home } = await firm.signIn();
    await firm.signIn('anna', 'pwd', browser);
    expect((await firm.post(browser, '/signout', { csrf: csrfOf(home) })).status).toBe(403);
  });

  it('is the only way to change anything: every POST of the pages was looked at', () => {
    const { routes } = pages(firm.app.services, { ...firm.app.options, explains: true }).routes;
    const posts = routes.filter(({ method }) => method !== 'GET' && method !== 'ALL');
    expect([...new Set(posts.map(({ path }) => path))].sort()).toEqual([
      '/ask',
      // its caller is no browser: what it takes is signed
      '/backchannel-logout/:issuer',
      '/signout',
    ]);
  });
});

describe('a question', () => {
  it('is kept for its person over a sign-in, and shown to nobody else', async () => {
    const { browser } = await firm.signIn('zoe');
    const page = await ask(browser, 'Where is my secret?');
    const revocation = { kind: 'user', id: 'corp|zoe', reason: 'test' };
    expect((await firm.app.ask('root', 'POST', '/v1/revocations', revocation)).status).toBeLessThan(300);
    const again = await browser.visit(page.url);
    expect(again.url.pathname).toBe('/signin');
    expect(again.body).toContain('Your sign-in has ended.');
    const { home } = await firm.signIn('tom', 'pwd', forgetting(browser));
    expect(home.body).not.toContain('Where is my secret?');
  });
});

/** The same browser, signed out at the provider. */
function forgetting(browser: Browser): Browser {
  for (const name of browser.cookieNames) if (name.startsWith('corp_')) browser.plant(name, '');
  return browser;
}

describe('a renewal', () => {
  it('happens shortly before the access token ends, and the page goes on', async () => {
    firm.corp.accessTokenLifetime = 45;
    const { browser } = await firm.signIn();
    const before = firm.corp.refreshes;
    firm.corp.accessTokenLifetime = 300;
    expect((await ask(browser)).body).toContain('paid on the 25th');
    expect(firm.corp.refreshes).toBe(before + 1);
    expect((await ask(browser)).body).toContain('paid on the 25th');
    expect(firm.corp.refreshes).toBe(before + 1);
  });

  it('is done once for many requests at once, at any replica: refresh tokens are used once', async () => {
    const replica = await firm.replica();
    try {
      firm.corp.accessTokenLifetime = 2;
      const { browser } = await firm.signIn();
      const page = await ask(browser);
      const before = firm.corp.refreshes;
      await new Promise((resolve) => setTimeout(resolve, 2_100));
      firm.corp.accessTokenLifetime = 300;
      const headers = { cookie: `${SESSION}=${browser.cookie(SESSION)}` };
      const path = page.url.pathname + page.url.search;
      const answers = await Promise.all(
        Array.from({ length: 8 }, (_, i) =>
          fetch((i % 2 === 0 ? firm.app.url : replica.url) + path, { headers, redirect: 'manual' }),
        ),
      );
      expect(answers.map(({ status }) => status)).toEqual(Array(8).fill(200));
      expect(firm.corp.refreshes).toBe(before + 1);
    } finally {
      await replica.close();
    }
  });

  it('that the provider refuses ends the session, and says so', async () => {
    firm.corp.accessTokenLifetime = 45;
    const { browser } = await firm.signIn();
    const home = await browser.visit(firm.at('/'));
    firm.corp.renewsNothing = true;
    const page = await firm.post(browser, '/ask', { csrf: csrfOf(home), question: 'Still there?' });
    expect(page.url.pathname).toBe('/signin');
    expect(page.body).toContain('Your sign-in has ended.');
    expect(page.body).toContain('Your question is kept.');
    expect(await homeWith(browser.cookie(SESSION))).not.toContain('Sign out');
  });

  it('never becomes somebody else', async () => {
    firm.corp.accessTokenLifetime = 45;
    const { browser } = await firm.signIn('anna');
    firm.corp.renewsAs = 'tom';
    const page = await ask(browser);
    expect(page.url.pathname).toBe('/signin');
    expect(await homeWith(browser.cookie(SESSION))).not.toContain('Sign out');
  });

  it.each([
    ['the person', 'user', 'corp|anna'],
    ['the client that they signed in with', 'client', `corp|${CLIENT}`],
  ])('carries no session over a revocation of what was issued to %s', async (_, kind, id) => {
    firm.corp.accessTokenLifetime = 45;
    const { browser } = await firm.signIn();
    const revocation = { kind, id, reason: 'a stolen laptop' };
    expect((await firm.app.ask('root', 'POST', '/v1/revocations', revocation)).status).toBe(200);
    // the time of issue in a token is whole seconds: the renewed one's is later
    await new Promise((resolve) => setTimeout(resolve, 1_100));
    const before = firm.corp.refreshes;
    const page = await ask(browser);
    expect(firm.corp.refreshes).toBe(before + 1);
    expect([page.url.pathname, page.body.includes('paid on the 25th')]).toEqual(['/signin', false]);
    expect(await homeWith(browser.cookie(SESSION))).not.toContain('Sign out');
    await new Promise((resolve) => setTimeout(resolve, 1_100));
    const again = await firm.signIn();
    expect((await ask(again.browser)).body).toContain('paid on the 25th');
  });

  it('by a provider that is down is done later, while the token lasts', async () => {
    firm.corp.accessTokenLifetime = 45;
    const { browser } = await firm.signIn();
    firm.corp.tokenTrouble = 'down';
    expect((await ask(browser)).body).toContain('paid on the 25th');
  });

  it('by a provider that is down leaves a clear page when the token has ended, and goes on afterwards', async () => {
    firm.corp.accessTokenLifetime = 2;
    const { browser } = await firm.signIn();
    firm.corp.tokenTrouble = 'garbage';
    await new Promise((resolve) => setTimeout(resolve, 2_100));
    const page = await ask(browser);
    expect(page.status).toBe(503);
    expect(page.body).toContain('Corp does not answer.');
    expect(page.headers.get('retry-after')).toMatch(/^\d+$/);
    expect(await homeWith(browser.cookie(SESSION))).toContain('Sign out');
  });
});

describe('signing out', () => {
  it('leads to the provider with the session it is about, and leaves it there', async () => {
    const { browser, home } = await firm.signIn();
    const page = await firm.post(browser, '/signout', { csrf: csrfOf(home) });
    const href = /class="button quiet" href="([^"]+)"/.exec(page.body)?.[1]?.replaceAll('&amp;', '&') ?? '';
    const url = new URL(href);
    expect(url.origin).toBe(firm.corp.url);
    expect(url.searchParams.get('client_id')).toBe('bulkhead');
    expect(url.searchParams.get('state')).toMatch(/^[\w-]{43}$/);
    expect(url.searchParams.get('id_token_hint')?.split('.')).toHaveLength(3);
  });
});

describe('a provider', () => {
  it.each(['down', 'garbage', 'slow'] as const)(
    'that is %s gets a page with its name, a retry and the other ways to sign in',
    async (trouble) => {
      const unknown = await openBrowserFirm();
      try {
        unknown.corp.trouble = trouble;
        const page = await new Browser().visit(unknown.at('/signin/corp'));
        expect(page.status).toBe(503);
        expect(page.headers.get('retry-after')).toMatch(/^\d+$/);
        expect(page.body).toContain('Corp does not answer.');
        expect(page.body).toContain('href="/signin/corp"');
        expect(page.body).toContain('href="/signin/other"');
        expect(page.body).not.toMatch(/<script|127\.0\.0\.1/);
        expect(page.body).toContain('name="viewport"');
      } finally {
        await unknown.close();
      }
    },
  );

  it('that fails on the way back keeps the question, and names itself', async () => {
    const browser = new Browser();
    await firm.post(browser, '/ask', { question: 'Kept over a failure?' });
    const back = await firm.leave(browser);
    firm.corp.tokenTrouble = 'garbage';
    const page = await browser.visit(back);
    expect(page.status).toBe(503);
    expect(page.body).toContain('Corp does not answer.');
    firm.corp.tokenTrouble = undefined;
    expect((await firm.signIn('anna', 'pwd', browser)).home.body).toContain('Kept over a failure?');
  });
});

// the last: what is kept for strangers is used up for a minute
describe('strangers who ask for pages without end', () => {
  it('keep nobody from signing in', async () => {
    for (let i = 0; i < 420; i += 20) {
      const pages = Array.from({ length: 20 }, () => fetch(firm.at('/ask?id=x'), { redirect: 'manual' }));
      expect((await Promise.all(pages)).every(({ status }) => status === 303)).toBe(true);
    }
    expect((await firm.signIn()).home.body).toContain('Sign out');
  });
});
