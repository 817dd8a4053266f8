import { decodeJwt, decodeProtectedHeader, exportJWK, generateKeyPair, SignJWT } from 'jose';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { freePort } from '../helpers/command.ts';
import { serveKeys } from '../helpers/key-set-server.ts';
import { type Page, PageBrowser, textOf } from './browser.ts';
import { Firm, QUESTION } from './firm.ts';
import { findKeycloak, type Keycloak, say, startKeycloak } from './keycloak.ts';
import { granted, KeycloakAdmin } from './keycloak-admin.ts';
import { PASSWORD, PEOPLE, type Person, realm, SECRETS } from './realm.ts';

vi.setConfig({ testTimeout: 60_000, hookTimeout: 300_000 });

const home = findKeycloak();
const BACKCHANNEL = '/backchannel-logout/company';
const STREAM = { issuer: 'https://signals.northwind.example', audience: 'urn:bulkhead:signals' };
const SESSION_REVOKED = 'https://schemas.openid.net/secevent/caep/event-type/session-revoked';
const EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';
const ACCESS_TOKEN = 'urn:ietf:params:oauth:token-type:access_token';

describe.skipIf(home === undefined)('with Keycloak', () => {
  let keycloak: Keycloak;
  let admin: KeycloakAdmin;
  let firm: Firm;
  let keySet: Awaited<ReturnType<typeof serveKeys>>;
  let robotKey: Awaited<ReturnType<typeof generateKeyPair>>;
  const seen: (readonly [string, string])[] = [];
  const note = (what: string, result: string) => void seen.push([what, result]);

  beforeAll(async () => {
    const port = await freePort();
    robotKey = await generateKeyPair('ES256', { extractable: true });
    const publicKey = { ...(await exportJWK(robotKey.publicKey)), kid: 'robot', alg: 'ES256', use: 'sig' };
    keycloak = await startKeycloak(home ?? '');
    note('Keycloak ready', `${(keycloak.startedInMs / 1000).toFixed(1)} s`);
    admin = new KeycloakAdmin(keycloak.url);
    await admin.createRealm(
      realm({
        bulkheadUrl: `http://localhost:${port}`,
        backchannelLogoutPath: BACKCHANNEL,
        robotKey: publicKey,
      }),
    );
    await admin.requireLevels();
    keySet = await serveKeys(200, { keys: [publicKey] });
    firm = await Firm.open(admin.issuer, port, { ...STREAM, jwksUri: keySet.url });
    await firm.furnish(await admin.tokenOf('admin'));
    say('Bulkhead has the firm');
  });

  afterAll(async () => {
    await firm?.close();
    await keycloak?.stop();
    keySet?.close();
    const width = Math.max(...seen.map(([what]) => what.length));
    say(`\n${seen.map(([what, result]) => `${what.padEnd(width)}  ${result}`).join('\n')}\n`);
  });

  const assistantToken = async () =>
    granted(
      await admin.token({ grant_type: 'client_credentials' }, { id: 'assistant', secret: SECRETS.assistant }),
    );

  /** Through Keycloak's own form, and back. */
  async function signIn(browser: PageBrowser, person: Person): Promise<Page> {
    const form = await browser.get(`${firm.url}/signin/company`);
    expect(form.url.origin).toBe(keycloak.url);
    return browser.submit(form, { username: person, password: PASSWORD });
  }

  async function askThere(browser: PageBrowser): Promise<Page> {
    return browser.submit(await browser.get(`${firm.url}/`), { question: QUESTION });
  }

  describe('an access token', () => {
    it('of RFC 9068 says who asks, and they read what is theirs', async () => {
      const token = await admin.tokenOf('ada');
      expect(decodeProtectedHeader(token)).toMatchObject({ typ: 'at+jwt', alg: 'ES256' });
      expect(await firm.reads(token)).toEqual(['/handbook', '/staff']);
      note('nested groups: /staff/engineering/acoustics within /staff', 'reads /handbook /staff');
    });

    it('keeps group paths whole: admin of a tenant is not admin', async () => {
      expect(await firm.reads(await admin.tokenOf('bo'))).toEqual(['/handbook']);
      expect(await firm.reads(await admin.tokenOf('cleo'))).toEqual(['/admins', '/handbook']);
      note('/tenant-b/admin is not /admin', 'reads /handbook alone');
    });

    it('of somebody in no group says nothing of groups, which is not the same as none', async () => {
      const token = await admin.tokenOf('dora');
      expect(decodeJwt(token)).not.toHaveProperty('groups');
      expect(await firm.ask(token, 'POST', '/v1/retrieve', { query: QUESTION })).toMatchObject({
        status: 403,
        json: { code: 'groups_unknown' },
      });
      note('somebody in no group', '403 groups_unknown: the claim is left out');
    });

    it('for a sibling application, an ID token and a refresh token are refused alike', async () => {
      const form = { grant_type: 'password', scope: 'openid', username: 'ada', password: PASSWORD };
      const all = (await admin.token(form, { id: 'cli', secret: SECRETS.cli })) as unknown as Record<
        string,
        string
      >;
      const refused = [await admin.tokenOf('ada', 'sibling'), all.id_token ?? '', all.refresh_token ?? ''];
      for (const token of refused)
        expect(await firm.ask(token, 'POST', '/v1/retrieve', { query: QUESTION })).toMatchObject({
          status: 401,
          json: { code: 'invalid_token' },
        });
      note('token of a sibling, ID token, refresh token', '401 each');
    });
  });

  describe('a service', () => {
    it('with client credentials is itself, and reads what everybody may', async () => {
      const token = await assistantToken();
      expect(await firm.reads(token)).toEqual(['/handbook']);
      note('client credentials', `service:company|assistant reads /handbook`);
    });

    it('with a signed assertion (private_key_jwt) reads what it was given', async () => {
      const assertion = await new SignJWT({})
        .setProtectedHeader({ alg: 'ES256', kid: 'robot' })
        .setIssuer('robot')
        .setSubject('robot')
        .setAudience(admin.issuer)
        .setJti(crypto.randomUUID())
        .setIssuedAt()
        .setExpirationTime('60 s')
        .sign(robotKey.privateKey);
      const answer = await admin.token({
        grant_type: 'client_credentials',
        client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
        client_assertion: assertion,
      });
      expect(await firm.reads(granted(answer))).toEqual(['/handbook', '/services']);
      note('private_key_jwt', 'service:company|robot reads /handbook /services');
    });
  });

  describe('a service acting for a person', () => {
    const exchange = async (subject: string) =>
      admin.token(
        {
          grant_type: EXCHANGE,
          subject_token: subject,
          subject_token_type: ACCESS_TOKEN,
          requested_token_type: ACCESS_TOKEN,
        },
        { id: 'assistant', secret: SECRETS.assistant },
      );

    it('with the token it exchanged reads what both may', async () => {
      const token = granted(await exchange(await admin.tokenOf('cleo')));
      expect(decodeJwt(token)).toMatchObject({ sub: PEOPLE.cleo.id, azp: 'assistant' });
      // Keycloak does not say who acts, so the configuration does: `actingClients`
      expect(decodeJwt(token)).not.toHaveProperty('act');
      expect(await firm.reads(token)).toEqual(['/admins', '/handbook']);
      const ofAda = granted(await exchange(await admin.tokenOf('ada')));
      expect(await firm.reads(ofAda)).toEqual(['/handbook']);
      note('token exchange, azp assistant, no act', 'user ∩ ceiling; /staff is beyond the ceiling');
    });

    it('is named in the record beside the person', async () => {
      await firm.reads(granted(await exchange(await admin.tokenOf('ada'))));
      const { json } = await firm.ask(
        await admin.tokenOf('admin'),
        'GET',
        '/v1/audit/records?kind=release&limit=200',
      );
      const bodies = (json.records as { body: Record<string, unknown> }[]).map(({ body }) => body);
      expect(bodies).toContainEqual(
        expect.objectContaining({
          subject: `user:company|${PEOPLE.ada.id}`,
          actor: 'service:company|assistant',
        }),
      );
    });

    it('with the user’s token and its own reads what both may, and neither more', async () => {
      const actor = await assistantToken();
      expect(await firm.reads({ token: await admin.tokenOf('cleo'), actor })).toEqual([
        '/admins',
        '/handbook',
      ]);
      expect(await firm.reads({ token: await admin.tokenOf('ada'), actor })).toEqual(['/handbook']);
      note('user’s token with Actor-Authorization', 'user ∩ ceiling');
    });

    it('cannot exchange a token that was not meant for it', async () => {
      expect(await exchange(await admin.tokenOf('ada', 'sibling'))).toMatchObject({ status: 403 });
    });
  });

  describe('a person at a browser', () => {
    it('signs in through Keycloak’s form, asks, and sees what they may', async () => {
      const browser = new PageBrowser();
      const welcome = await signIn(browser, 'ada');
      expect({ url: welcome.url.origin, status: welcome.status }).toEqual({ url: firm.url, status: 200 });
      expect(textOf(welcome)).toContain('ada');
      const answer = textOf(await askThere(browser));
      expect(answer).toContain('gannet');
      expect(answer).not.toMatch(/puffin|avocet/);
      note('browser sign-in, code with PKCE', 'sees heron gannet, neither puffin nor avocet');
    });

    it('is told that there is more for a stronger sign-in, and brought through it and back', async () => {
      const browser = new PageBrowser();
      await signIn(browser, 'ada');
      const weak = await askThere(browser);
      expect(textOf(weak)).not.toContain('kittiwake');
      const link = /href="(\/step-up[^"]*)"/.exec(weak.html)?.[1];
      let page = await browser.get(new URL((link ?? '').replaceAll('&amp;', '&'), firm.url));
      for (let forms = 0; page.url.origin === keycloak.url && forms < 3; forms += 1)
        page = await browser.submit(page, { password: PASSWORD });
      expect(page.url.origin).toBe(firm.url);
      const strong = await browser.submit(page, { question: QUESTION });
      expect(textOf(strong)).toContain('kittiwake');
      note('step-up to acr twice through Keycloak’s levels', 'sees kittiwake, which was hidden before');
    });

    it('who is logged out in Keycloak is out here on the next request, thief and tokens included', async () => {
      const browser = new PageBrowser();
      await signIn(browser, 'bo');
      const thief = browser.copy();
      expect(textOf(await thief.get(`${firm.url}/`))).toContain('Sign out');
      const token = await admin.tokenOf('bo', 'bulkhead');
      expect(await firm.reads(token)).toEqual(['/handbook']);
      await admin.logOut('bo');
      for (const one of [browser, thief])
        expect(textOf(await one.get(`${firm.url}/`))).not.toContain('Sign out');
      expect(await firm.ask(token, 'POST', '/v1/retrieve', { query: QUESTION })).toMatchObject({
        status: 401,
        json: { code: 'credential_revoked' },
      });
      note(
        'back-channel logout',
        'browser signed out, stolen cookie worthless, token 401 credential_revoked',
      );
    });

    it('who signs out here is signed out of Keycloak too', async () => {
      const browser = new PageBrowser();
      await signIn(browser, 'cleo');
      const out = await browser.press(await browser.get(`${firm.url}/`), /signout$/);
      const there = /href="([^"]+openid-connect\/logout[^"]+)"/.exec(out.html)?.[1];
      const back = await browser.get((there ?? '').replaceAll('&amp;', '&'));
      expect(back.url.origin).toBe(firm.url);
      const again = await browser.get(`${firm.url}/signin/company`);
      expect(again.html).toContain('id="kc-form-login"');
      note('RP-initiated logout', `back at ${back.url.pathname}, and Keycloak asks for the password again`);
    });
  });

  describe('a security event about an account of Keycloak', () => {
    it('ends the person’s tokens, and nobody else’s', async () => {
      const [token, other] = [await admin.tokenOf('cleo'), await admin.tokenOf('ada')];
      expect(await firm.reads(token)).toEqual(['/admins', '/handbook']);
      const event = await new SignJWT({
        sub_id: { format: 'iss_sub', iss: admin.issuer, sub: PEOPLE.cleo.id },
        events: { [SESSION_REVOKED]: { initiating_entity: 'policy' } },
      })
        .setProtectedHeader({ alg: 'ES256', kid: 'robot', typ: 'secevent+jwt' })
        .setIssuer(STREAM.issuer)
        .setAudience(STREAM.audience)
        .setJti(crypto.randomUUID())
        .setIssuedAt()
        .sign(robotKey.privateKey);
      const headers = { 'content-type': 'application/secevent+jwt' };
      const pushed = await fetch(`${firm.url}/security-events`, { method: 'POST', headers, body: event });
      expect(pushed.status).toBe(202);
      expect(await firm.ask(token, 'POST', '/v1/retrieve', { query: QUESTION })).toMatchObject({
        status: 401,
        json: { code: 'credential_revoked' },
      });
      expect(await firm.reads(other)).toEqual(['/handbook', '/staff']);
      note('CAEP session-revoked, pushed', '202, then 401 credential_revoked for that person alone');
    });
  });

  describe('when Keycloak changes', () => {
    it('its signing key, the new one is believed, and the old one no longer than it is published', async () => {
      const old = await admin.tokenOf('ada');
      expect(await firm.reads(old)).toEqual(['/handbook', '/staff']);
      const administrator = await admin.tokenOf('admin');
      await admin.addSigningKey();
      await firm.reloadKeys(administrator);
      const fresh = await admin.tokenOf('ada');
      expect(decodeProtectedHeader(fresh).kid).not.toBe(decodeProtectedHeader(old).kid);
      expect(await firm.reads(fresh)).toEqual(['/handbook', '/staff']);
      expect(await firm.reads(old)).toEqual(['/handbook', '/staff']);
      await admin.withdrawOldKeys();
      await firm.reloadKeys(administrator);
      expect(await firm.ask(old, 'POST', '/v1/retrieve', { query: QUESTION })).toMatchObject({
        status: 401,
        json: { code: 'invalid_token' },
      });
      expect(await firm.reads(fresh)).toEqual(['/handbook', '/staff']);
      note('key rotation', 'new key believed; withdrawn key 401 after keys:reload');
    });

    it('to silence, verified tokens live on, and signing in says what is wrong', async () => {
      const known = await admin.tokenOf('ada');
      const unknown = await admin.tokenOf('cleo');
      expect(await firm.reads(known)).toEqual(['/handbook', '/staff']);
      await keycloak.stop();
      expect(await firm.reads(known)).toEqual(['/handbook', '/staff']);
      await firm.stop();
      await firm.start();
      // a process that has never seen Keycloak's keys
      const answer = await firm.ask(unknown, 'POST', '/v1/retrieve', { query: QUESTION });
      expect(answer).toMatchObject({ status: 503, json: { code: 'identity_unavailable' } });
      expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0);
      const page = await new PageBrowser().get(`${firm.url}/signin/company`);
      expect(page.status).toBe(503);
      expect(textOf(page)).toContain('does not answer');
      note('Keycloak stopped', 'known token 200; new one 503 with Retry-After; sign-in page 503 says who');
    });
  });
});
