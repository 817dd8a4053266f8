/** Step-up (RFC 9470): the challenge on a document, the notice of an answer, and the way through the page. */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { LabelScheme } from '../../src/policy/label.ts';
import type { Asked } from '../helpers/app.ts';
import { type BrowserFirm, csrfOf, openBrowserFirm } from '../helpers/browser-firm.ts';
import { RESOURCE } from '../helpers/browser-provider.ts';
import { Browser } from '../helpers/identity-browser.ts';
import { asSuperuser } from '../helpers/policy-tables.ts';
import { TEST_SCHEME } from '../helpers/tenant.ts';

/** What is confidential asks for a second factor, what is restricted for a fresh one, too. */
const SAFEGUARDS: Readonly<Record<string, LabelScheme['levels'][number]['safeguards']>> = {
  confidential: { acr: ['mfa', 'hwk'] },
  restricted: { acr: ['mfa'], maxAuthAgeSeconds: 300 },
};
/** A test may replace them for a while. */
const levels = TEST_SCHEME.levels.map((level) => ({ ...level, safeguards: SAFEGUARDS[level.name] ?? {} }));
const SCHEME: LabelScheme = { ...TEST_SCHEME, levels };

let firm: BrowserFirm;
/** Confidential: for anna; for nobody; beyond her clearance; denied to her; in a compartment of others. */
const ids = { hers: '', nobodys: '', above: '', denied: '', payroll: '' };

beforeAll(async () => {
  firm = await openBrowserFirm({ scheme: SCHEME });
  const root = async (method: string, path: string, body: unknown) => {
    const answer = await firm.app.ask('root', method, path, body);
    if (answer.status >= 300) throw new Error(answer.text);
  };
  const clear = (principal: string, level: string) =>
    root('POST', `/v1/principals/${encodeURIComponent(principal)}/clearances`, { level });
  await clear('user:corp|anna', 'confidential');
  await clear('user:corp|tom', 'internal');
  await clear('user:corp|zoe', 'restricted');
  const container = (path: string, level: string, entries: object[], compartments: string[] = []) =>
    root('POST', '/v1/containers', { path, level, entries, compartments });
  await container('/plans', 'confidential', [{ allow: 'user:corp|anna' }, { allow: 'user:corp|tom' }]);
  await container('/others', 'confidential', [{ allow: 'user:workforce|anna' }]);
  await container('/board', 'restricted', [{ allow: 'user:corp|anna' }, { allow: 'user:corp|zoe' }]);
  await container('/not-her', 'confidential', [{ allow: 'everyone' }, { deny: 'user:corp|anna' }]);
  await container('/pay', 'confidential', [{ allow: 'user:corp|anna' }], ['payroll']);
  await firm.app.add('/open', 'The canteen opens at eleven.');
  ids.hers = await firm.app.add('/plans', 'The plan is to merge in May.', { external_id: 'merger' });
  ids.nobodys = await firm.app.add('/others', 'Somebody else’s plan.');
  ids.above = await firm.app.add('/board', 'The board meets in secret.');
  ids.denied = await firm.app.add('/not-her', 'About anna.');
  ids.payroll = await firm.app.add('/pay', 'What everybody earns.');
});
afterAll(() => firm?.close());

interface Strength {
  readonly acr?: string;
  readonly age?: number;
}

/** A token as the provider issues it. */
function tokenOf(account: string, { acr = 'pwd', age = 0 }: Strength = {}): Promise<string> {
  const now = Math.floor(Date.now() / 1000);
  return firm.corp.sign(
    {
      iss: firm.corp.url,
      aud: RESOURCE,
      sub: account,
      client_id: 'bulkhead',
      jti: randomUUID(),
      iat: now,
      exp: now + 300,
      acr,
      auth_time: now - age,
    },
    { typ: 'at+jwt' },
  );
}

async function as(account: string, path: string, strength?: Strength, body?: object): Promise<Asked> {
  const response = await fetch(firm.at(path), {
    method: body === undefined ? 'GET' : 'POST',
    headers: {
      authorization: `Bearer ${await tokenOf(account, strength)}`,
      ...(body && { 'content-type': 'application/json' }),
    },
    ...(body && { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  return { status: response.status, headers: response.headers, text, json: JSON.parse(text) };
}

const read = (account: string, id: string, strength?: Strength) =>
  as(account, `/v1/documents/${id}`, strength);
const query = (account: string, question: string, strength?: Strength) =>
  as(account, '/v1/retrieve', strength, { query: question });

/** What differs from request to request only. */
function comparable({ status, headers, text, json }: Asked) {
  const dated = new Set(['date', 'x-request-id', 'keep-alive', 'connection', 'ratelimit']);
  return {
    status,
    headers: [...headers].filter(([name]) => !dated.has(name)),
    text: text.replaceAll(String(json.request_id), 'REQUEST'),
  };
}

describe('a document that only a stronger sign-in opens', () => {
  it('is answered with what is asked for, and opens with it', async () => {
    const answer = await read('anna', ids.hers);
    expect(answer.status).toBe(401);
    expect(answer.json.code).toBe('step_up_required');
    expect(answer.headers.get('www-authenticate')).toContain('error="insufficient_user_authentication"');
    expect(answer.headers.get('www-authenticate')).toContain('acr_values="mfa hwk"');
    expect(answer.headers.get('www-authenticate')).not.toContain('max_age');
    expect(answer.text).not.toMatch(/merge|merger|plans|confidential/);
    const stronger = await read('anna', ids.hers, { acr: 'mfa' });
    expect([stronger.status, stronger.text.includes('merge in May')]).toEqual([200, true]);
  });

  it('is recorded, with the need, before it is said', async () => {
    const answer = await read('anna', ids.hers);
    const rows = await asSuperuser<{ body: string }>(
      firm.app.store.database,
      "select body from audit_record where kind = 'stepup.challenged' order by at desc, seq desc limit 1",
    );
    expect(JSON.parse(rows[0]?.body ?? '{}')).toMatchObject({
      subject: 'user:corp|anna',
      document: ids.hers,
      acr: ['mfa', 'hwk'],
      maxAgeSeconds: null,
      request: answer.json.request_id,
    });
    expect(firm.app.refusals.at(-1)).toMatchObject({ code: 'step_up_required', status: 401 });
  });

  it.each(['nobodys', 'above', 'denied', 'payroll'] as const)(
    'is the only one: any other (%s) is answered like a missing one, and leaves the same records',
    async (which) => {
      const records = async (ask: () => Promise<Asked>) => {
        const count = () =>
          asSuperuser<{ n: number }>(firm.app.store.database, 'select count(*)::int as n from audit_record');
        const before = (await count())[0]?.n ?? 0;
        const answer = await ask();
        return { answer: comparable(answer), records: ((await count())[0]?.n ?? 0) - before };
      };
      const missing = await records(() => read('anna', randomUUID()));
      expect(missing.answer.status).toBe(404);
      expect(await records(() => read('anna', ids[which]))).toEqual(missing);
    },
  );

  it('is missing for whoever would not see it with any sign-in', async () => {
    expect(comparable(await read('tom', ids.hers))).toEqual(comparable(await read('tom', randomUUID())));
  });

  it('is missing when the directory is too old, which no sign-in mends', async () => {
    const { database } = firm.app.store;
    await asSuperuser(
      database,
      "update directory_source set as_of = now() - interval '1 day' where source = 'corp'",
    );
    const before = [...levels];
    const stale = { maxDirectoryAgeSeconds: 60 };
    levels.splice(
      2,
      2,
      ...before.slice(2).map((level) => ({ ...level, safeguards: { ...level.safeguards, ...stale } })),
    );
    try {
      expect((await read('anna', ids.hers)).status).toBe(404);
      expect((await query('anna', 'plan')).json.step_up).toBeNull();
    } finally {
      levels.splice(0, 4, ...before);
      await asSuperuser(database, "update directory_source set as_of = now() where source = 'corp'");
    }
  });

  it('asks for a fresh sign-in where only its age is in the way', async () => {
    const answer = await read('zoe', ids.above, { acr: 'mfa', age: 301 });
    expect(answer.status).toBe(401);
    expect(answer.headers.get('www-authenticate')).toContain('acr_values="mfa"');
    expect(answer.headers.get('www-authenticate')).toContain('max_age="300"');
    expect((await read('zoe', ids.above, { acr: 'mfa', age: 10 })).status).toBe(200);
  });
});

describe('the notice of an answer', () => {
  it('is the same for every question, whether or not it would find anything', async () => {
    const answers = await Promise.all(
      ['merge in May', 'canteen', 'nothing of the kind', 'board secret'].map((q) => query('anna', q)),
    );
    for (const { status, json } of answers) {
      expect(status).toBe(200);
      expect(json.step_up).toEqual({ acr_values: ['mfa', 'hwk'], max_age: null });
    }
  });

  it('is none for whoever sees all that their classes give', async () => {
    expect((await query('anna', 'canteen', { acr: 'mfa' })).json.step_up).toBeNull();
    expect((await query('tom', 'canteen')).json.step_up).toBeNull();
  });

  it('does not depend on there being any document', async () => {
    const before = await query('tom', 'canteen');
    await firm.app.ask('root', 'POST', '/v1/principals/user:corp%7Ctom/clearances', {
      level: 'confidential',
    });
    expect(before.json.step_up).toBeNull();
    const after = await query('tom', 'canteen');
    expect(after.json.step_up).toEqual({ acr_values: ['mfa', 'hwk'], max_age: null });
    await asSuperuser(
      firm.app.store.database,
      `delete from clearance where rank = 2 and principal_id =
      (select id from principal where key = 'user:corp|tom')`,
    );
  });

  it('changes nothing in the answer itself: what a sign-in does not reach takes no part', async () => {
    const { json } = await query('anna', 'merge in May');
    expect(JSON.stringify(json.passages)).not.toContain('merge');
    expect(json.ceiling).toMatchObject({ level: 'internal' });
  });
});

describe('the page', () => {
  async function askOn(browser: Browser, question: string) {
    const home = await browser.visit(firm.at('/'));
    return firm.post(browser, '/ask', { csrf: csrfOf(home), question });
  }
  const hrefOf = (body: string) => /href="(\/step-up[^"]*)"/.exec(body)?.[1]?.replaceAll('&amp;', '&') ?? '';

  it('takes its person through a stronger sign-in and back to the question, which they ask again', async () => {
    const { browser } = await firm.signIn('anna', 'pwd');
    const weak = await askOn(browser, 'When do we merge?');
    expect(weak.body).toContain('Some of what you may read needs a stronger sign-in.');
    expect(weak.body).not.toContain('merge in May');
    firm.corp.acr = 'mfa';
    const back = await browser.visit(firm.at(hrefOf(weak.body)));
    expect(firm.corp.asked.at(-1)?.get('acr_values')).toBe('mfa hwk');
    expect(firm.corp.asked.at(-1)?.get('prompt')).toBe('login');
    expect(back.url.pathname).toBe('/');
    expect(back.body).toContain('value="When do we merge?"');
    expect(back.body).not.toContain('class="passage"');
    const strong = await askOn(browser, 'When do we merge?');
    expect(strong.body).toContain('merge in May');
    expect(strong.body).not.toContain('needs a stronger sign-in');
  });

  it('says so when the provider gave less, and does not try again by itself', async () => {
    const { browser } = await firm.signIn('anna', 'pwd');
    const weak = await askOn(browser, 'When do we merge?');
    firm.corp.acr = 'pwd';
    const asked = firm.corp.asked.length;
    const back = await browser.visit(firm.at(hrefOf(weak.body)));
    expect(firm.corp.asked.length).toBeLessThanOrEqual(asked + 2);
    expect(back.url.pathname).toBe('/');
    expect(back.body).toContain('not as strongly as was asked for');
    expect(back.body).toContain('value="When do we merge?"');
    const again = await askOn(browser, 'When do we merge?');
    expect(again.body).toContain('needs a stronger sign-in');
    expect(again.body).not.toContain('not as strongly');
  });

  it('shows the question to nobody else who signs in instead', async () => {
    const { browser } = await firm.signIn('anna', 'pwd');
    const weak = await askOn(browser, 'When do we merge?');
    Object.assign(firm.corp, { account: 'tom', acr: 'mfa' });
    for (const name of browser.cookieNames) if (name.startsWith('corp_')) browser.plant(name, '');
    const back = await browser.visit(firm.at(hrefOf(weak.body)));
    expect(back.body).toContain('>tom<');
    expect(back.body).not.toContain('When do we merge?');
  });

  it('takes the need from what it showed, never from the address', async () => {
    const { browser } = await firm.signIn('tom', 'pwd');
    const home = await browser.visit(firm.at('/step-up?id=x&acr_values=none&max_age=0'));
    expect(home.url.pathname).toBe('/');
    expect((await new Browser().visit(firm.at('/step-up'))).body).toContain('Sign in with');
  });
});
