/** The realm of a company, as JSON for Keycloak: who is there, what its clients may do, what its tokens carry. */
import type { JWK } from 'jose';

export const REALM = 'northwind';
export const AUDIENCE = 'urn:bulkhead:api';
export const PASSWORD = 'correct horse battery staple';

/** Ids are given, so that Bulkhead's directory can name the accounts before anybody signs in. */
export const PEOPLE = {
  admin: { id: '00000000-0000-4000-8000-000000000001', groups: ['/people'] },
  ada: { id: '00000000-0000-4000-8000-000000000002', groups: ['/people', '/staff/engineering/acoustics'] },
  bo: { id: '00000000-0000-4000-8000-000000000003', groups: ['/people', '/tenant-b/admin'] },
  cleo: { id: '00000000-0000-4000-8000-000000000004', groups: ['/people', '/admin'] },
  /** In no group at all, of which Keycloak's tokens say nothing. */
  dora: { id: '00000000-0000-4000-8000-000000000005', groups: [] },
} as const;
export type Person = keyof typeof PEOPLE;

export const SECRETS = {
  bulkhead: 'secret-of-bulkhead',
  assistant: 'secret-of-assistant',
  cli: 'secret-of-cli',
  sibling: 'secret-of-sibling',
};

interface RealmOptions {
  readonly bulkheadUrl: string;
  readonly backchannelLogoutPath: string;
  /** Of the service that signs its own client assertions. */
  readonly robotKey: JWK;
}

export function realm(options: RealmOptions): object {
  return {
    realm: REALM,
    enabled: true,
    sslRequired: 'none',
    defaultSignatureAlgorithm: 'ES256',
    accessTokenLifespan: 300,
    attributes: { 'acr.loa.map': JSON.stringify({ once: 1, twice: 2 }) },
    groups: [
      { name: 'people' },
      { name: 'admin' },
      { name: 'tenant-b', subGroups: [{ name: 'admin' }] },
      { name: 'staff', subGroups: [{ name: 'engineering', subGroups: [{ name: 'acoustics' }] }] },
    ],
    users: Object.entries(PEOPLE).map(([username, { id, groups }]) => ({
      id,
      username,
      firstName: username,
      lastName: 'Northwind',
      // the same address for a stranger would be nobody's proof: nothing here is keyed by it
      email: `${username}@northwind.example`,
      emailVerified: true,
      enabled: true,
      credentials: [{ type: 'password', value: PASSWORD, temporary: false }],
      groups,
    })),
    clients: clients(options),
  };
}

function clients({ bulkheadUrl, backchannelLogoutPath, robotKey }: RealmOptions): readonly object[] {
  return [
    {
      ...client('bulkhead', [audience(AUDIENCE), groupPaths()]),
      secret: SECRETS.bulkhead,
      standardFlowEnabled: true,
      // for a token of a session that Bulkhead is told the end of, in the hands of a program
      directAccessGrantsEnabled: true,
      redirectUris: [`${bulkheadUrl}/callback`, `${bulkheadUrl}/callback/company`],
      attributes: {
        ...attributes,
        'pkce.code.challenge.method': 'S256',
        'post.logout.redirect.uris': `${bulkheadUrl}/*`,
        // asked for by Keycloak's own HTTP client
        'backchannel.logout.url': `${bulkheadUrl.replace('localhost', '127.0.0.1')}${backchannelLogoutPath}`,
        'backchannel.logout.session.required': 'true',
      },
    },
    {
      // a person's own scripts; `assistant` may exchange what they get
      ...client('cli', [audience(AUDIENCE), audienceOfClient('assistant'), groupPaths()]),
      secret: SECRETS.cli,
      directAccessGrantsEnabled: true,
    },
    { ...client('sibling', [groupPaths()]), secret: SECRETS.sibling, directAccessGrantsEnabled: true },
    {
      ...client('assistant', [audience(AUDIENCE), groupPaths()]),
      secret: SECRETS.assistant,
      serviceAccountsEnabled: true,
      attributes: { ...attributes, 'standard.token.exchange.enabled': 'true' },
    },
    {
      ...client('robot', [audience(AUDIENCE)]),
      clientAuthenticatorType: 'client-jwt',
      serviceAccountsEnabled: true,
      attributes: {
        ...attributes,
        'use.jwks.string': 'true',
        'jwks.string': JSON.stringify({ keys: [robotKey] }),
        'token.endpoint.auth.signing.alg': 'ES256',
      },
    },
  ];
}

/** Access tokens of RFC 9068: `at+jwt` is off unless asked for. */
const attributes = { 'access.token.header.type.rfc9068': 'true' };

function client(clientId: string, protocolMappers: readonly object[]): object {
  return {
    clientId,
    protocol: 'openid-connect',
    publicClient: false,
    clientAuthenticatorType: 'client-secret',
    standardFlowEnabled: false,
    directAccessGrantsEnabled: false,
    fullScopeAllowed: false,
    attributes,
    protocolMappers,
  };
}

const mapper = (name: string, protocolMapper: string, config: Readonly<Record<string, string>>): object => ({
  name,
  protocol: 'openid-connect',
  protocolMapper,
  config: { 'access.token.claim': 'true', 'id.token.claim': 'false', ...config },
});

const audience = (value: string): object =>
  mapper(`aud ${value}`, 'oidc-audience-mapper', { 'included.custom.audience': value });

const audienceOfClient = (value: string): object =>
  mapper(`aud ${value}`, 'oidc-audience-mapper', { 'included.client.audience': value });

/** Whole paths: leaf names would make `/tenant-b/admin` and `/admin` one group. */
const groupPaths = (): object =>
  mapper('groups', 'oidc-group-membership-mapper', { 'claim.name': 'groups', 'full.path': 'true' });
