import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { loadConfig } from '../../src/config/config.ts';
import { profilesByIssuer } from '../../src/identity/issuer.ts';
import { profileOf } from '../../src/identity/issuer-presets.ts';

function profilesOf(yaml: string, secrets: Readonly<Record<string, string>> = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'bulkhead-issuers-'));
  for (const [name, text] of Object.entries(secrets)) writeFileSync(join(folder, name), text);
  const file = join(folder, 'bulkhead.yaml');
  writeFileSync(file, yaml);
  const { issuers } = loadConfig({ BULKHEAD_CONFIG: file });
  return [...profilesByIssuer(issuers.map(profileOf)).values()];
}

const invalid = expect.objectContaining({ code: 'config_invalid' });

it('each kind of provider needs its URL, its audience and its tenant, and nothing more', () => {
  const profiles = profilesOf(`issuers:
  - { name: entra, kind: entra, tenant: firm, audience: a, issuer: "https://login.microsoftonline.com/11111111-2222-3333-4444-555555555555/v2.0" }
  - { name: okta, kind: okta, tenant: firm, audience: a, issuer: "https://firm.okta.com/oauth2/default" }
  - { name: keycloak, kind: keycloak, tenant: firm, audience: a, issuer: "https://id.firm.example/realms/firm" }
  - { name: auth0, kind: auth0, tenant: firm, audience: a, issuer: "https://firm.eu.auth0.com/" }
  - { name: google, kind: google, tenant: firm, audience: a, issuer: "https://accounts.google.com" }
  - { name: other, tenant: firm, audience: a, issuer: "https://id.other.example" }
`);
  expect(profiles.map(({ name, claims, groupSource }) => [name, claims.subject, groupSource])).toEqual([
    ['entra', ['tid', 'oid'], 'both'],
    ['okta', 'uid', 'both'],
    ['keycloak', 'sub', 'both'],
    ['auth0', 'sub', 'directory'],
    ['google', 'sub', 'directory'],
    ['other', 'sub', 'directory'],
  ]);
  expect(profiles.at(-1)).toMatchObject({
    typ: ['at+jwt'],
    algorithms: ['ES256', 'RS256', 'PS256', 'EdDSA'],
  });
});

it('what the file says of an issuer beats the preset', () => {
  const [profile] = profilesOf(`issuers:
  - name: keycloak
    kind: keycloak
    tenant: { claim: organization, map: { a: firm, b: clinic } }
    audience: bulkhead
    issuer: https://id.firm.example/realms/firm
    algorithms: [ES256]
    groupSource: token
    claims: { groups: teams, session: session_state }
    scopes: { bulkhead.read: [read], bulkhead.load: [read, ingest] }
    maxActorDepth: 2
    actingClients: [research-agent]
`);
  expect(profile).toMatchObject({
    tenant: { claim: 'organization', map: { a: 'firm', b: 'clinic' } },
    algorithms: ['ES256'],
    groupSource: 'token',
    claims: { subject: 'sub', client: 'azp', groups: 'teams', session: 'session_state' },
    scopes: { 'bulkhead.read': ['read'] },
    maxActorDepth: 2,
    actingClients: ['research-agent'],
  });
});

const INTROSPECTING = (how: string) => `issuers:
  - { name: opaque, tenant: firm, audience: a, issuer: "https://id.firm.example", introspection: { clientId: bulkhead, ${how} } }
`;

it('secrets of introspection are files, beside the configuration', () => {
  const [profile] = profilesOf(INTROSPECTING('clientSecretFile: secret'), { secret: 'hush\n' });
  expect(profile?.introspection).toMatchObject({
    clientId: 'bulkhead',
    clientSecret: 'hush',
    cacheSeconds: 30,
  });
  expect(() => profilesOf(INTROSPECTING('clientSecret: hush'))).toThrow(invalid);
  expect(() => profilesOf(INTROSPECTING('clientSecretFile: gone'))).toThrow(invalid);
});

it.each([
  ['no way for the client to prove itself', INTROSPECTING('cacheSeconds: 10')],
  ['two ways', INTROSPECTING('clientSecretFile: secret, privateKeyFile: secret')],
  ['answers kept for longer than a minute', INTROSPECTING('clientSecretFile: secret, cacheSeconds: 61')],
  [
    'a kind that there is not',
    'issuers: [{ name: x, kind: ping, tenant: t, audience: a, issuer: "https://x.example" }]',
  ],
  [
    'a right that there is not',
    'issuers: [{ name: x, tenant: t, audience: a, issuer: "https://x.example", scopes: { s: [root] } }]',
  ],
  ['a URL that is none', 'issuers: [{ name: x, tenant: t, audience: a, issuer: "x" }]'],
  [
    'a place for the tenant in the URL of an issuer that has one',
    'issuers: [{ name: x, tenant: t, audience: a, issuer: "https://x.example/{tid}" }]',
  ],
  [
    'people named by their addresses',
    'issuers: [{ name: x, tenant: t, audience: a, issuer: "https://x.example", claims: { subject: email } }]',
  ],
  [
    'a tenant that users choose',
    'issuers: [{ name: x, tenant: { claim: user_metadata, map: {} }, audience: a, issuer: "https://x.example" }]',
  ],
])('a configuration with %s is refused at the start', (_, yaml) => {
  expect(() => profilesOf(yaml, { secret: 'hush' })).toThrow(invalid);
});
