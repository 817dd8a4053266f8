import { SignJWT } from 'jose';
import type { ConfiguredIssuer } from '../../src/identity/issuer-presets.ts';
import { profileOf } from '../../src/identity/issuer-presets.ts';
import { createTokenVerifier, type TokenVerifier } from '../../src/identity/verify-token.ts';
import { AUDIENCE, NOW_SECONDS, type SigningKey } from './identity-issuer.ts';

export const ENTRA_TENANT = '11111111-2222-3333-4444-555555555555';
export const OTHER_ENTRA_TENANT = '99999999-2222-3333-4444-555555555555';

/** As each provider documents its access tokens, without what nobody here reads. */
export const PROVIDER_TOKENS = {
  entra: {
    iss: `https://login.microsoftonline.com/${ENTRA_TENANT}/v2.0`,
    tid: ENTRA_TENANT,
    oid: 'aaaaaaaa-0000-0000-0000-000000000001',
    sub: 'pairwise-subject',
    azp: 'bbbbbbbb-0000-0000-0000-000000000002',
    azpacr: '1',
    scp: 'bulkhead.read',
    ver: '2.0',
    preferred_username: 'anna.keller@meridian.example',
    groups: ['cccccccc-0000-0000-0000-000000000003'],
  },
  okta: {
    iss: 'https://meridian.okta.com/oauth2/aus1',
    sub: 'anna.keller@meridian.example',
    uid: '00u1anna',
    cid: '0oa1page',
    scp: ['bulkhead.read', 'openid'],
    groups: ['hr'],
  },
  keycloak: {
    iss: 'https://id.meridian.example/realms/meridian',
    sub: 'f3b0-anna',
    typ: 'Bearer',
    azp: 'page',
    sid: 's-1',
    scope: 'openid bulkhead.read',
    groups: ['/meridian/hr'],
    preferred_username: 'anna',
  },
  auth0: {
    iss: 'https://meridian.eu.auth0.com/',
    sub: 'auth0|507f1f77',
    azp: 'page',
    scope: 'openid bulkhead.read',
    'https://meridian.example/groups': ['hr'],
  },
  google: {
    iss: 'https://accounts.google.com',
    sub: '104523',
    azp: '104523',
    email: 'sync@project.iam.gserviceaccount.com',
  },
} as const satisfies Record<string, Record<string, unknown>>;

export type TestedProvider = keyof typeof PROVIDER_TOKENS;

export function configured(kind: TestedProvider, changes: Partial<ConfiguredIssuer> = {}): ConfiguredIssuer {
  return {
    name: kind,
    kind,
    tenant: 'meridian',
    issuer: PROVIDER_TOKENS[kind].iss,
    audience: AUDIENCE,
    jwksUri: 'https://keys.example/jwks',
    claims: {},
    clockToleranceSeconds: 0,
    ...changes,
  };
}

/** Every provider publishes the same keys here, so that only their claims tell them apart. */
export function verifierOf(
  issuers: readonly ConfiguredIssuer[],
  keys: readonly SigningKey[],
  extra: { readonly [member: string]: unknown } = {},
): TokenVerifier {
  const published = { keys: keys.map(({ publicJwk }) => ({ ...publicJwk, ...extra })) };
  return createTokenVerifier(
    issuers.map((issuer) => profileOf({ algorithms: ['ES256'], ...issuer })),
    { now: () => NOW_SECONDS * 1000, fetch: async () => Response.json(published) },
  );
}

/** A claim of `undefined` is left out. */
export function providerToken(
  kind: TestedProvider,
  key: SigningKey,
  claims: Record<string, unknown> = {},
  header: Record<string, unknown> = { typ: 'JWT' },
): Promise<string> {
  const times = { aud: AUDIENCE, iat: NOW_SECONDS - 60, exp: NOW_SECONDS + 600 };
  return new SignJWT({ ...times, ...PROVIDER_TOKENS[kind], ...claims })
    .setProtectedHeader({ alg: 'ES256', kid: key.kid, ...header })
    .sign(key.privateKey);
}
