import { mkdtempSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { getRequestListener } from '@hono/node-server';
import { Hono } from 'hono';
import { decodeJwt, decodeProtectedHeader } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  createDevIdentityProviders,
  type DevIdentityProviderOptions,
  type DevIdentityProviders,
} from '../../src/dev/identity-provider.ts';
import { loadDirectory } from '../../src/dev/load-directory.ts';
import type { IssuerProfile } from '../../src/identity/issuer.ts';
import { createSignIn, type SignedIn, type SignIn, type SignInNeeds } from '../../src/identity/sign-in.ts';
import { createTokenVerifier, type TokenVerifier } from '../../src/identity/verify-token.ts';
import { Browser } from '../helpers/identity-browser.ts';

const AUDIENCE = 'https://bulkhead.example/api';
const now = () => Date.now();

let server: Server;
let baseUrl: string;
let options: DevIdentityProviderOptions;
let idp: DevIdentityProviders;
let signIn: SignIn;
let verifier: TokenVerifier;

beforeAll(async () => {
  const app = new Hono();
  server = createServer(getRequestListener(app.fetch));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  options = {
    production: false,
    accounts: await loadDirectory(join(import.meta.dirname, '../helpers/identity-directory.yaml')),
    keysFile: join(mkdtempSync(join(tmpdir(), 'bulkhead-idp-')), 'dev', 'keys.json'),
    baseUrl,
    resource: AUDIENCE,
    clientRedirectUri: `${baseUrl}/signed-in`,
    postLogoutRedirectUri: `${baseUrl}/signed-out`,
  };
  idp = createDevIdentityProviders(options);
  app.route('/dev/idp', idp.handle);
  const profiles = idp.issuers.map(profileOf);
  signIn = createSignIn({
    profiles,
    clientOf: () => ({ clientId: idp.clientId }),
    redirectUri: options.clientRedirectUri,
    postLogoutRedirectUri: options.postLogoutRedirectUri,
    now,
  });
  verifier = createTokenVerifier(profiles, { now });
});

afterAll(() => {
  server.close();
  server.closeAllConnections();
});

function profileOf({ name, issuer }: { name: string; issuer: string }): IssuerProfile {
  return {
    name,
    tenant: 'meridian',
    issuer,
    audience: AUDIENCE,
    algorithms: ['ES256'],
    typ: ['at+jwt'],
    claims: { subject: 'sub', client: 'client_id', acr: 'acr', authTime: 'auth_time' },
    groupSource: 'directory',
    clockToleranceSeconds: 0,
  };
}

async function signInAs(
  account: string,
  {
    issuer = 'workforce',
    browser = new Browser(),
    needs,
  }: { issuer?: string; browser?: Browser; needs?: SignInNeeds } = {},
): Promise<SignedIn> {
  const { url, state } = await signIn.start(issuer, needs);
  const chooser = await browser.visit(url, { stopAt: options.clientRedirectUri });
  expect(chooser.status).toBe(200);
  const action = new URL(`?account=${account}`, chooser.url);
  const back = await browser.visit(action, { method: 'POST', stopAt: options.clientRedirectUri });
  return signIn.finish(back.url, state);
}

async function startedChooser(browser = new Browser(), needs?: SignInNeeds) {
  const { url, state } = await signIn.start('workforce', needs);
  return { browser, state, page: await browser.visit(url) };
}

describe('signing in with the development provider', () => {
  it('gives an access token that the verifier believes', async () => {
    const before = Math.floor(Date.now() / 1000) * 1000;
    const signedIn = await signInAs('anna.keller');
    const caller = await verifier.verify(signedIn.accessToken);
    expect(caller).toMatchObject({
      issuer: 'workforce',
      tenant: 'meridian',
      kind: 'user',
      id: 'anna.keller',
      groups: [],
      actor: undefined,
      acr: 'mfa',
    });
    expect(caller.authTime).toBeGreaterThanOrEqual(before);
    expect(Math.abs(signedIn.expiresAt - caller.expiresAt)).toBeLessThan(2_000);
    expect(signedIn.idTokenClaims).toMatchObject({ sub: 'anna.keller', name: 'Anna Keller', acr: 'mfa' });
  });

  it('gives an id token that is refused as an access token', async () => {
    const { idToken } = await signInAs('anna.keller');
    await expect(verifier.verify(idToken)).rejects.toMatchObject({ code: 'invalid_token' });
  });

  it('keeps its issuers apart: same account name, another person, another key', async () => {
    const workforce = await signInAs('tom.brandt');
    const partners = await signInAs('tom.brandt', { issuer: 'partners' });
    expect(await verifier.verify(workforce.accessToken)).toMatchObject({
      issuer: 'workforce',
      id: 'tom.brandt',
    });
    expect(await verifier.verify(partners.accessToken)).toMatchObject({
      issuer: 'partners',
      id: 'tom.brandt',
    });
    const kid = (token: string) => decodeProtectedHeader(token).kid;
    expect(kid(workforce.accessToken)).not.toBe(kid(partners.accessToken));
  });

  it('keeps the sessions of its issuers apart in one browser', async () => {
    const browser = new Browser();
    await signInAs('anna.keller', { browser });
    await signInAs('carla.mendes', { browser, issuer: 'partners' });
    const { url, state } = await signIn.start('workforce');
    const back = await browser.visit(url, { stopAt: options.clientRedirectUri });
    expect((await signIn.finish(back.url, state)).idTokenClaims.sub).toBe('anna.keller');
  });

  it('asks again, and records the strength, when a stronger sign-in is needed', async () => {
    const browser = new Browser();
    const weak = await signInAs('tom.brandt', { browser });
    expect(await verifier.verify(weak.accessToken)).toMatchObject({ acr: 'pwd' });
    const strong = await signInAs('tom.brandt', {
      browser,
      needs: { acrValues: ['mfa'], maxAgeSeconds: 60 },
    });
    expect(await verifier.verify(strong.accessToken)).toMatchObject({ acr: 'mfa' });
  });

  it('lets another person of the same browser sign in instead', async () => {
    const browser = new Browser();
    await signInAs('anna.keller', { browser });
    const { url, state } = await signIn.start('workforce', { acrValues: ['pwd'] });
    const chooser = await browser.visit(url);
    const ended = await browser.visit(new URL('?account=tom.brandt', chooser.url), { method: 'POST' });
    const field = (pattern: RegExp) => pattern.exec(ended.body)?.[1] ?? '';
    const body = new URLSearchParams({ xsrf: field(/name="xsrf" value="([^"]+)"/), logout: 'yes' });
    const confirm = new URL(field(/action="([^"]+)"/), ended.url);
    const back = await browser.visit(confirm, { method: 'POST', body, stopAt: options.clientRedirectUri });
    expect((await signIn.finish(back.url, state)).idTokenClaims.sub).toBe('tom.brandt');
  });

  it('builds its addresses from the configured base URL, whatever Host header it is sent', async () => {
    const { request } = await import('node:http');
    const document = await new Promise<string>((resolve, reject) => {
      const path = '/dev/idp/workforce/.well-known/openid-configuration';
      const port = (server.address() as AddressInfo).port;
      request({ host: '127.0.0.1', port, path, headers: { host: 'evil.example' } }, (response) => {
        let body = '';
        response.on('data', (part) => {
          body += part;
        });
        response.on('end', () => resolve(body));
      })
        .on('error', reject)
        .end();
    });
    expect(document).toContain(`${baseUrl}/dev/idp/workforce/token`);
    expect(document).not.toContain('evil.example');
  });
});

describe('an address under the provider', () => {
  it.each([
    '/dev/idp/%77orkforce/jwks',
    '/dev/idp/elsewhere/jwks',
    '/dev/idp/workforce',
    '/dev/idp/workforce/nothing',
  ])('is not found when it is %s', async (path) => {
    expect((await fetch(baseUrl + path)).status).toBe(404);
  });
});

describe('a sign-in that was tampered with', () => {
  it.each(['state', 'code', 'iss'])('fails when %s was changed on the way back', async (parameter) => {
    const { browser, state, page } = await startedChooser();
    const action = new URL('?account=anna.keller', page.url);
    const { url } = await browser.visit(action, { method: 'POST', stopAt: options.clientRedirectUri });
    expect(url.searchParams.get(parameter)).not.toBeNull();
    url.searchParams.set(parameter, 'https://evil.example');
    await expect(signIn.finish(url, state)).rejects.toMatchObject({ code: 'sign_in_failed' });
  });

  it.each(['codeVerifier', 'nonce'] as const)('fails with the %s of another sign-in', async (field) => {
    const { browser, state, page } = await startedChooser();
    const other = await signIn.start('workforce');
    const action = new URL('?account=anna.keller', page.url);
    const { url } = await browser.visit(action, { method: 'POST', stopAt: options.clientRedirectUri });
    const mixed = { ...state, [field]: other.state[field] };
    await expect(signIn.finish(url, mixed)).rejects.toMatchObject({ code: 'sign_in_failed' });
  });

  it('fails when its code was used before', async () => {
    const { browser, state, page } = await startedChooser();
    const action = new URL('?account=anna.keller', page.url);
    const { url } = await browser.visit(action, { method: 'POST', stopAt: options.clientRedirectUri });
    await signIn.finish(url, state);
    await expect(signIn.finish(url, state)).rejects.toMatchObject({ code: 'sign_in_failed' });
  });

  it('shows an error of our own for a redirect to another client', async () => {
    const { url } = await signIn.start('workforce');
    url.searchParams.set('redirect_uri', 'https://evil.example/');
    const page = await new Browser().visit(url);
    expect(page.status).toBe(400);
    expect(page.body).toContain('The sign-in failed');
    expect(page.body).not.toMatch(/https?:\/\/(?!127\.0\.0\.1)/);
  });

  it('is not started without PKCE', async () => {
    const { url } = await signIn.start('workforce');
    url.searchParams.delete('code_challenge');
    url.searchParams.delete('code_challenge_method');
    const back = await new Browser().visit(url, { stopAt: options.clientRedirectUri });
    expect(back.url.searchParams.get('error')).toBe('invalid_request');
  });

  it('is not started with an issuer that is not configured', async () => {
    await expect(signIn.start('elsewhere')).rejects.toMatchObject({ code: 'not_found' });
  });

  it('says when the provider does not answer, leaves it alone for five seconds, and recovers', async () => {
    let failing = true;
    let passed = 0;
    const other = createSignIn({
      profiles: idp.issuers.map(profileOf),
      clientOf: () => ({ clientId: idp.clientId }),
      redirectUri: options.clientRedirectUri,
      postLogoutRedirectUri: options.postLogoutRedirectUri,
      now: () => now() + passed,
      fetch: (url, init) =>
        failing ? Promise.reject(new TypeError('fetch failed')) : fetch(url, init as RequestInit),
    });
    await expect(other.start('workforce')).rejects.toMatchObject({ code: 'identity_unavailable' });
    failing = false;
    await expect(other.start('workforce')).rejects.toMatchObject({ code: 'identity_unavailable' });
    passed = 5_000;
    expect((await other.start('workforce')).url.pathname).toBe('/dev/idp/workforce/auth');
  });
});

describe('the account chooser', () => {
  it('lists the active accounts of its own issuer, escaped, with name and title', async () => {
    const { page } = await startedChooser();
    expect(page.body).toContain('Anna Keller');
    expect(page.body).toContain('Head of HR');
    expect(page.body).toContain('Tom &lt;b&gt;Brandt&lt;/b&gt;');
    expect(page.body).not.toContain('Paul Becker');
    expect(page.body).not.toContain('Carla Mendes');
  });

  it('needs no script and no other host, and says so in its policy', async () => {
    const { page } = await startedChooser();
    const policy = page.headers.get('content-security-policy') ?? '';
    expect(policy).toContain("default-src 'none'");
    expect(policy).toContain(`form-action 'self' ${baseUrl}`);
    expect(page.body).not.toContain('<script');
    expect(page.body).not.toMatch(/https?:\/\//);
    expect(page.body).toContain('name="viewport"');
  });

  it.each(['paul.becker', 'carla.mendes', 'nobody'])('signs nobody in as %s', async (account) => {
    const { browser, page } = await startedChooser();
    const answer = await browser.visit(new URL(`?account=${account}`, page.url), { method: 'POST' });
    expect(answer.status).toBe(400);
  });

  it('is worth nothing in another browser', async () => {
    const { page } = await startedChooser();
    const stolen = await new Browser().visit(new URL('?account=anna.keller', page.url), { method: 'POST' });
    expect(stolen.status).toBe(400);
    expect(stolen.body).toContain('Please start again');
  });
});

describe('signing out', () => {
  it('ends the session at the provider and comes back', async () => {
    const browser = new Browser();
    const { idToken } = await signInAs('anna.keller', { browser });
    const url = await signIn.logoutUrl('workforce', idToken);
    if (url === undefined) throw new Error('The provider has no page to sign out.');
    const question = await browser.visit(url);
    expect(question.body).toContain('Sign out?');
    expect(question.headers.get('content-security-policy')).toContain("default-src 'none'");
    const field = (name: string) => new RegExp(`${name}="([^"]+)"`).exec(question.body)?.[1] ?? '';
    const body = new URLSearchParams({ xsrf: field('value'), logout: 'yes' });
    const confirm = new URL(field('action'), question.url);
    const back = await browser.visit(confirm, {
      method: 'POST',
      body,
      stopAt: options.postLogoutRedirectUri,
    });
    expect(back.url.origin + back.url.pathname).toBe(options.postLogoutRedirectUri);
    expect(back.url.searchParams.get('state')).toBe(url.searchParams.get('state'));
    expect((await startedChooser(browser)).page.body).toContain('Sign in as');
  });
});

describe('a minted token', () => {
  const minted = (account: string, changes = {}) => idp.mintToken(account, { now: Date.now(), ...changes });

  it('has the header and the claims of one from the browser', async () => {
    const real = (await signInAs('anna.keller')).accessToken;
    const made = await minted('anna.keller');
    expect(decodeProtectedHeader(made)).toEqual(decodeProtectedHeader(real));
    expect(Object.keys(decodeJwt(made)).sort()).toEqual(Object.keys(decodeJwt(real)).sort());
    const { iss, aud, sub, client_id, acr } = decodeJwt(real);
    expect(decodeJwt(made)).toMatchObject({ iss, aud, sub, client_id, acr });
  });

  it('is believed by the verifier', async () => {
    expect(await verifier.verify(await minted('anna.keller'))).toMatchObject({
      kind: 'user',
      id: 'anna.keller',
    });
  });

  it('of a service says that the service is its own client', async () => {
    const caller = await verifier.verify(await minted('order-sync'));
    expect(caller).toMatchObject({ kind: 'service', id: 'order-sync', acr: undefined, authTime: undefined });
  });

  it('names the actor that acts for the account', async () => {
    const caller = await verifier.verify(await minted('anna.keller', { actor: 'research-agent' }));
    expect(caller).toMatchObject({
      kind: 'user',
      id: 'anna.keller',
      actor: { issuer: 'workforce', id: 'research-agent' },
    });
  });

  it('may have another strength and lifetime', async () => {
    const token = await minted('anna.keller', { acr: 'pwd', lifetimeSeconds: 60 });
    const { iat = 0, exp = 0, acr } = decodeJwt(token);
    expect([exp - iat, acr]).toEqual([60, 'pwd']);
  });

  it('of a leaver exists, as one issued before they left', async () => {
    expect(await verifier.verify(await minted('paul.becker'))).toMatchObject({ id: 'paul.becker' });
  });

  it('asks which issuer is meant when two have the account', async () => {
    await expect(minted('tom.brandt')).rejects.toThrow(/"workforce\|tom.brandt" or "partners\|tom.brandt"/);
    expect(await verifier.verify(await minted('partners|tom.brandt'))).toMatchObject({ issuer: 'partners' });
  });

  it('is refused for an unknown account or actor', async () => {
    await expect(minted('nobody')).rejects.toMatchObject({ code: 'subject_unknown' });
    await expect(minted('anna.keller', { actor: 'anna.keller' })).rejects.toMatchObject({
      code: 'unknown_principal',
    });
    await expect(minted('carla.mendes', { actor: 'research-agent' })).rejects.toMatchObject({
      code: 'unknown_principal',
    });
  });
});

describe('the keys of the development provider', () => {
  it('are readable by their owner only and survive a restart', async () => {
    expect(statSync(options.keysFile).mode & 0o777).toBe(0o600);
    const again = createDevIdentityProviders(options);
    const token = await again.mintToken('anna.keller', { now: Date.now() });
    expect(await verifier.verify(token)).toMatchObject({ id: 'anna.keller' });
  });

  it('are not replaced silently when the file is damaged', () => {
    const keysFile = join(mkdtempSync(join(tmpdir(), 'bulkhead-idp-')), 'keys.json');
    writeFileSync(keysFile, '{}');
    expect(() => createDevIdentityProviders({ ...options, keysFile })).toThrow(/config_invalid/);
  });
});

it('the development provider refuses production', () => {
  expect(() => createDevIdentityProviders({ ...options, production: true })).toThrow(/development_only/);
});
