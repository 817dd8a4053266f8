import { beforeAll, describe, expect, it } from 'vitest';
import { toIdentity } from '../../src/http/authenticate.ts';
import type { ConfiguredIssuer } from '../../src/identity/issuer-presets.ts';
import { newKey, type SigningKey } from '../helpers/identity-issuer.ts';
import {
  configured,
  ENTRA_TENANT,
  OTHER_ENTRA_TENANT,
  PROVIDER_TOKENS,
  providerToken,
  type TestedProvider,
  verifierOf,
} from '../helpers/provider-tokens.ts';

let key: SigningKey;
beforeAll(async () => {
  key = await newKey('k1');
});

async function callerOf(
  kind: TestedProvider,
  claims: Record<string, unknown> = {},
  changes: Partial<ConfiguredIssuer> = {},
  header?: Record<string, unknown>,
) {
  const token = await providerToken(kind, key, claims, header);
  return verifierOf([configured(kind, changes)], [key]).verify(token);
}

function expectRefused(kind: TestedProvider, claims: Record<string, unknown>, changes = {}, detail = /./) {
  return expect(callerOf(kind, claims, changes)).rejects.toMatchObject({
    code: 'invalid_token',
    detail: expect.stringMatching(detail),
  });
}

function expectForbidden(kind: TestedProvider, changes: object) {
  const issuer = { ...configured(kind), ...changes } as ConfiguredIssuer;
  expect(() => verifierOf([issuer], [key])).toThrow(expect.objectContaining({ code: 'config_invalid' }));
}

describe('Microsoft Entra ID', () => {
  it('names people by tid and oid, whatever their addresses say', async () => {
    const caller = await callerOf('entra', { email: 'ceo@meridian.example' });
    expect(caller).toMatchObject({ kind: 'user', id: `${ENTRA_TENANT}:${PROVIDER_TOKENS.entra.oid}` });
    expect(JSON.stringify(caller)).not.toContain('@');
  });

  it.each(['email', 'upn', 'preferred_username', 'sub', 'oid', ['tid', 'email'], ['oid', 'tid']])(
    'cannot be configured to name people by %j',
    (subject) => expectForbidden('entra', { claims: { subject } }),
  );

  it.each([
    ['_claim_names in the place of the list', { groups: undefined, _claim_names: { groups: 'src1' } }],
    ['hasgroups', { groups: undefined, hasgroups: true }],
    ['hasgroups as a word', { groups: undefined, hasgroups: 'true' }],
  ])('with more than 200 groups, said by %s, is unknown and never none', async (_, claims) => {
    const caller = await callerOf('entra', claims);
    expect(caller.groups).toBe('unknown');
    expect(toIdentity(caller).tokenGroups).toBe('unknown');
  });

  it('with more than 200 groups is answered from a directory that knows all of them, and from no other', async () => {
    const claims = { groups: undefined, _claim_names: { groups: 'src1' } };
    const complete = { groupSource: 'both', directoryAuthoritative: true } as const;
    expect((await callerOf('entra', claims, complete)).groups).toEqual([]);
    const tokenOnly = { groupSource: 'token', directoryAuthoritative: true } as const;
    expect((await callerOf('entra', claims, tokenOnly)).groups).toBe('unknown');
  });

  it('tells an application from a person without believing its name', async () => {
    const app = { scp: undefined, roles: ['bulkhead'], sub: PROVIDER_TOKENS.entra.oid, groups: undefined };
    expect(await callerOf('entra', app)).toMatchObject({
      kind: 'service',
      id: `${ENTRA_TENANT}:${PROVIDER_TOKENS.entra.azp}`,
      groups: [],
    });
    expect((await callerOf('entra', { idtyp: 'user' })).kind).toBe('user');
  });

  it('refuses an ID token, which has neither scope nor role', () =>
    expectRefused('entra', { scp: undefined }, {}, /not an access token/));

  it('refuses a token whose tid is not that of its issuer', () =>
    expectRefused('entra', { tid: OTHER_ENTRA_TENANT }, {}, /tenant/));

  const several = {
    issuer: 'https://login.microsoftonline.com/{tid}/v2.0',
    tenant: { claim: 'tid', map: { [ENTRA_TENANT]: 'meridian', [OTHER_ENTRA_TENANT]: 'rival' } },
  };
  const ofRival = {
    tid: OTHER_ENTRA_TENANT,
    iss: `https://login.microsoftonline.com/${OTHER_ENTRA_TENANT}/v2.0`,
  };

  it('of several tenants finds each by its claim, checked against the URL', async () => {
    expect((await callerOf('entra', {}, several)).tenant).toBe('meridian');
    expect((await callerOf('entra', ofRival, several)).tenant).toBe('rival');
    await expectRefused('entra', { tid: OTHER_ENTRA_TENANT }, several, /tenant/);
    await expectRefused('entra', { iss: ofRival.iss }, several, /tenant/);
  });

  it('of several tenants refuses one that is not mapped, an inherited name among them', async () => {
    const one = { ...several, tenant: { claim: 'tid', map: { [ENTRA_TENANT]: 'meridian' } } };
    await expectRefused('entra', ofRival, one, /not served/);
    await expectRefused(
      'entra',
      { iss: 'https://login.microsoftonline.com/constructor/v2.0', tid: 'constructor' },
      one,
    );
  });

  it.each([
    'https://login.microsoftonline.com/evil/../v2.0',
    `https://login.microsoftonline.com/${ENTRA_TENANT}/v2.0/../x/v2.0`,
    `https://login.microsoftonline.com/${ENTRA_TENANT.toUpperCase()}X/v2.0`,
    'https://login.microsoftonline.com/{tid}/v2.0',
  ])('of several tenants takes %s for nobody’s', (iss) =>
    expectRefused('entra', { iss, tid: '{tid}' }, several, /trusted here/),
  );

  it('of several tenants may not leave out which claim says whose a token is', () => {
    expectForbidden('entra', { issuer: several.issuer });
    expectForbidden('entra', { issuer: several.issuer, tenant: { claim: 'email', map: {} } });
  });

  it('does not verify with a key that the key set says is another issuer’s', async () => {
    const token = await providerToken('entra', key);
    const template = { issuer: 'https://login.microsoftonline.com/{tenantid}/v2.0' };
    expect(await verifierOf([configured('entra')], [key], template).verify(token)).toMatchObject({
      kind: 'user',
    });
    const others = { issuer: ofRival.iss };
    await expect(verifierOf([configured('entra')], [key], others).verify(token)).rejects.toMatchObject({
      code: 'invalid_token',
    });
  });
});

describe('Okta', () => {
  it('names people by uid, not by the login that can be given to somebody else', async () => {
    expect(await callerOf('okta')).toMatchObject({ kind: 'user', id: '00u1anna' });
    expectForbidden('okta', { claims: { subject: 'sub' } });
  });

  it('takes a list of 100 groups for one that may have been cut off', async () => {
    const list = (count: number) => ({ groups: Array.from({ length: count }, (_, i) => `g${i}`) });
    expect((await callerOf('okta', list(99))).groups).toHaveLength(99);
    expect((await callerOf('okta', list(100))).groups).toBe('unknown');
    const complete = { directoryAuthoritative: true };
    expect((await callerOf('okta', list(100), complete)).groups).toHaveLength(100);
  });

  it('sends no typ, and that is accepted of no other', async () => {
    expect(await callerOf('okta', {}, {}, {})).toMatchObject({ id: '00u1anna' });
    await expect(callerOf('keycloak', {}, {}, {})).rejects.toMatchObject({ code: 'invalid_token' });
  });

  it('tells a service from a person', async () => {
    const claims = { uid: undefined, sub: '0oa1page', groups: undefined };
    expect(await callerOf('okta', claims)).toMatchObject({ kind: 'service', id: '0oa1page' });
  });

  it('of the org’s own server cannot be configured, whose tokens nobody else verifies', () =>
    expectForbidden('okta', { issuer: 'https://meridian.okta.com' }));
});

describe('Keycloak', () => {
  it('keeps group paths whole, so that /tenant-b/admin is not admin', async () => {
    const caller = await callerOf('keycloak', { groups: ['/tenant-b/admin'] });
    expect(toIdentity(caller).tokenGroups).toEqual(['group:keycloak|/tenant-b/admin']);
  });

  it('refuses group names without a path, of which two could be meant', () =>
    expectRefused('keycloak', { groups: ['admin'] }, {}, /full group path/));

  it.each(['ID', 'Refresh', 'Logout', undefined])('refuses a token of the type %s', (typ) =>
    expectRefused('keycloak', { typ }, {}, /not an access token/),
  );

  it('tells a service account from a person who took its name', async () => {
    const service = { client_id: 'page', preferred_username: 'service-account-page', groups: undefined };
    expect(await callerOf('keycloak', service)).toMatchObject({ kind: 'service', id: 'page' });
    // with a mapper that names the client in everybody's token, as RFC 9068 asks
    for (const person of [{ client_id: 'page' }, { client_id: 'page', preferred_username: undefined }])
      expect(await callerOf('keycloak', person)).toMatchObject({ kind: 'user', id: 'f3b0-anna' });
    const person = { preferred_username: 'service-account-page' };
    expect(await callerOf('keycloak', person)).toMatchObject({ kind: 'user', id: 'f3b0-anna' });
  });

  it('may not have the audience that every token of the realm has', () =>
    expectForbidden('keycloak', { audience: 'account' }));

  it('lets a client that exchanges users’ tokens only act for them', async () => {
    const caller = await callerOf('keycloak', { azp: 'agent' }, { actingClients: ['agent'] });
    expect(caller).toMatchObject({ kind: 'user', actor: { issuer: 'keycloak', id: 'agent' } });
    expect((await callerOf('keycloak', {}, { actingClients: ['agent'] })).actor).toBeUndefined();
  });
});

describe('Auth0', () => {
  it('writes the bar of a subject so that no two subjects meet', async () => {
    expect((await callerOf('auth0')).id).toBe('auth0%7C507f1f77');
    expect((await callerOf('auth0', { sub: 'auth0%7C507f1f77' })).id).toBe('auth0%257C507f1f77');
  });

  it.each([
    { groups: 'user_metadata' },
    { groups: 'https://meridian.example/user_metadata/groups' },
    { subject: 'user_metadata' },
    { acr: 'https://meridian.example/user_metadata.acr' },
    { groups: 'groups' },
    { subject: 'email' },
  ])('cannot be configured to take %j', (claims) =>
    expectForbidden('auth0', { claims, groupSource: 'both' }),
  );

  it('does not take a tenant from what users edit', () =>
    expectForbidden('auth0', { tenant: { claim: 'https://x.example/user_metadata', map: {} } }));

  it('takes groups from a claim under the firm’s own URL', async () => {
    const claims = { groups: 'https://meridian.example/groups' };
    expect((await callerOf('auth0', {}, { claims, groupSource: 'token' })).groups).toEqual(['hr']);
    const edited = { 'https://meridian.example/groups': undefined, user_metadata: { groups: ['board'] } };
    expect((await callerOf('auth0', edited, { claims, groupSource: 'token' })).groups).toBe('unknown');
  });

  it('tells a machine by its grant and not by its name', async () => {
    expect(await callerOf('auth0', { sub: 'page@clients', gty: 'client-credentials' })).toMatchObject({
      kind: 'service',
      id: 'page',
    });
    expect((await callerOf('auth0', { sub: 'page@clients' })).kind).toBe('user');
  });
});

describe('Google', () => {
  it('is believed about service accounts, and says nothing of groups', async () => {
    const caller = await callerOf('google', { groups: ['board'] });
    expect(caller).toMatchObject({ kind: 'service', id: '104523', groups: [] });
    expectForbidden('google', { groupSource: 'token', claims: { groups: 'groups' } });
  });

  it('is not believed with the ID token of a sign-in', async () => {
    await expectRefused('google', { azp: 'page', nonce: 'n' }, {}, /not an access token/);
    await expectRefused('google', { azp: 'page', at_hash: 'h' }, {}, /not an access token/);
    expectForbidden('google', { audience: '1-x.apps.googleusercontent.com' });
  });
});

describe('several issuers', () => {
  it('never share a group, whatever they call it', async () => {
    const issuers = [configured('okta'), configured('keycloak')];
    const verifier = verifierOf(issuers, [key]);
    const [one, other] = await Promise.all([
      verifier.verify(await providerToken('okta', key, { groups: ['/hr'] })),
      verifier.verify(await providerToken('keycloak', key, { groups: ['/hr'] })),
    ]);
    expect(toIdentity(one).tokenGroups).toEqual(['group:okta|/hr']);
    expect(toIdentity(other).tokenGroups).toEqual(['group:keycloak|/hr']);
  });

  it('never share a person, with the same address and the same id', async () => {
    const verifier = verifierOf([configured('okta'), configured('keycloak')], [key]);
    const same = { email: 'anna@meridian.example', email_verified: true };
    const one = await verifier.verify(await providerToken('okta', key, { ...same, uid: 'anna' }));
    const other = await verifier.verify(await providerToken('keycloak', key, { ...same, sub: 'anna' }));
    expect(toIdentity(one).user).toBe('user:okta|anna');
    expect(toIdentity(other).user).toBe('user:keycloak|anna');
  });
});

describe('what a token says besides', () => {
  it('names by what it can be taken back: its user, session and client, from when it was issued', async () => {
    const { revocable } = await callerOf('keycloak');
    expect(revocable?.map(({ kind, id }) => `${kind} ${id}`)).toEqual([
      'user keycloak|f3b0-anna',
      'session keycloak|s-1',
      'client keycloak|page',
    ]);
    expect(new Set(revocable?.map(({ issuedAt }) => Number(issuedAt))).size).toBe(1);
  });

  it('gives the rights of its scopes where scopes are configured, and none without one', async () => {
    const scopes = { 'bulkhead.read': ['read'], 'bulkhead.write': ['ingest', 'label'] } as const;
    expect([...((await callerOf('keycloak', {}, { scopes })).rights ?? [])]).toEqual(['read']);
    expect([...((await callerOf('okta', {}, { scopes })).rights ?? [])]).toEqual(['read']);
    expect((await callerOf('keycloak', { scope: 'openid constructor' }, { scopes })).rights?.size).toBe(0);
    expect((await callerOf('keycloak', { scope: undefined }, { scopes })).rights?.size).toBe(0);
    expect((await callerOf('keycloak')).rights).toBeUndefined();
  });

  it.each([[{ scope: 7 }], [{ sid: 7 }], [{ sid: 'a|b' }]])('is refused when it is %j', (claims) =>
    expectRefused('keycloak', claims, { scopes: {} }),
  );
});

describe('whatever a claim holds', () => {
  const ODD = [null, true, 7, -1, '', ' ', '|', 'a\u0000b', [], [null], [[]], {}, { a: 1 }, 'x'.repeat(300)];
  const CLAIMS = [
    'iss',
    'sub',
    'aud',
    'exp',
    'iat',
    'nbf',
    'azp',
    'cid',
    'uid',
    'tid',
    'oid',
    'scp',
    'scope',
    'sid',
  ];
  const MORE = [
    'groups',
    'act',
    'cnf',
    'acr',
    'auth_time',
    'typ',
    'gty',
    '_claim_names',
    'hasgroups',
    'roles',
  ];

  it.each(Object.keys(PROVIDER_TOKENS) as TestedProvider[])(
    'the token of %s is accepted or refused, and nothing breaks',
    async (kind) => {
      const scopes = { r: ['read'] } as const;
      const verifier = verifierOf([configured(kind, { scopes })], [key]);
      for (const name of [...CLAIMS, ...MORE])
        for (const value of ODD) {
          const token = await providerToken(kind, key, { [name]: value });
          const code = await verifier.verify(token).then(
            () => 'invalid_token',
            (error: unknown) => (error as { code?: string }).code,
          );
          expect(code, `${name} = ${JSON.stringify(value)}`).toBe('invalid_token');
        }
    },
  );
});
