/** Accounts whose ids are written with `|` escaped, as Auth0's, are those that its events and logouts name. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sessionEnding } from '../../src/assembly/session-ending.ts';
import { createLogoutTokens } from '../../src/identity/logout-token.ts';
import { PostgresSessionStore } from '../../src/store/session-store.ts';
import { TenantIds } from '../../src/store/tenant-ids.ts';
import { BrowserProvider, CLIENT, RESOURCE } from '../helpers/browser-provider.ts';
import { CAEP, RISC, seconds, TestTransmitter } from '../helpers/security-events.ts';

let auth0: BrowserProvider;
let them: TestTransmitter;

beforeAll(async () => {
  auth0 = await BrowserProvider.start('auth0');
  const profiles = [auth0.profile({ kind: 'auth0' })];
  them = await TestTransmitter.open({
    profiles,
    more: (_, { database, log: audit }) => ({
      logoutTokens: createLogoutTokens({ profiles, clientIdOf: () => CLIENT, now: Date.now }),
      sessionEnding: sessionEnding({ database, audit, tenants: new TenantIds(database, 'audit') }),
      sessionStore: new PostgresSessionStore(database),
    }),
  });
  auth0.serve(them.app.url);
  them.configure({ issuerName: 'auth0', issuerKind: 'auth0', subjectIssuer: auth0.url });
});
afterAll(async () => {
  await them?.close();
  await auth0?.close();
});

/** Makes the account known. @returns a token of it */
async function account(sub: string, written: string): Promise<string> {
  const body = { principal: `user:auth0|${written}`, display_name: sub };
  expect((await them.app.ask('root', 'POST', '/v1/principals', body)).status).toBe(201);
  const iat = seconds();
  const claims = {
    iss: auth0.url,
    aud: RESOURCE,
    sub,
    client_id: 'page',
    iat,
    exp: iat + 600,
    auth_time: iat,
  };
  return auth0.sign(claims, { typ: 'at+jwt' });
}

/** @returns status and code that the token gets */
async function ask(token: string): Promise<readonly [number, string | undefined]> {
  const headers = { authorization: `Bearer ${token}` };
  const response = await fetch(`${them.app.url}/v1/documents`, { headers });
  return [response.status, ((await response.json()) as { code?: string }).code];
}

const logOut = async (sub: string) => {
  const body = new URLSearchParams({ logout_token: await auth0.logoutToken({ sub }) });
  return (await fetch(`${them.app.url}/backchannel-logout/auth0`, { method: 'POST', body })).status;
};

describe.each([
  ['holds the bar', 'auth0|5f7c', 'auth0%7C5f7c'],
  ['looks escaped already', 'joe%40x', 'joe%2540x'],
])('An account whose id %s', (_, sub, written) => {
  it('is the one that an event names, and what was issued to it is refused', async () => {
    const [token, other] = [await account(sub, written), await account(`${sub}1`, `${written}1`)];
    expect([await ask(token), await ask(other)]).toEqual([
      [200, undefined],
      [200, undefined],
    ]);
    const event = them.claims(`${CAEP}credential-change`, them.user(sub, auth0.url));
    expect(await them.send(event)).toBe(202);
    expect(await ask(token)).toEqual([401, 'credential_revoked']);
    expect(await ask(other)).toEqual([200, undefined]);
    expect(await them.recordsOf('signal.received', event)).toMatchObject([
      { about: `user:auth0|${written}` },
    ]);
  });

  it('is the one that an event disables', async () => {
    const token = await account(`${sub}2`, `${written}2`);
    const disabled = them.claims(`${RISC}account-disabled`, them.user(`${sub}2`, auth0.url));
    expect([(await ask(token))[0], await them.send(disabled), (await ask(token))[0]]).toEqual([
      200, 202, 401,
    ]);
    expect(await them.records('account.changed')).toContainEqual(
      expect.objectContaining({ principal: `user:auth0|${written}2`, status: 'disabled' }),
    );
  });

  it('is the one that a logout token names', async () => {
    const token = await account(`${sub}3`, `${written}3`);
    expect([(await ask(token))[0], await logOut(`${sub}3`)]).toEqual([200, 200]);
    expect(await ask(token)).toEqual([401, 'credential_revoked']);
  });
});
