import type { Config } from '../config/config.ts';
import type { DevIdentityProviders } from '../dev/identity-provider.ts';
import { type ClientCertificates, createClientCertificates } from '../identity/client-certificates.ts';
import type { IssuerProfile } from '../identity/issuer.ts';
import { profileOf } from '../identity/issuer-presets.ts';
import { requireSubjectsKnown } from '../identity/transmitter-subjects.ts';
import { createTokenVerifier, type TokenVerifier } from '../identity/verify-token.ts';
import { DEVELOPMENT_AUDIENCE, developmentKeysFile } from './development.ts';
import { KeyReloads } from './key-reloads.ts';
import { openSignIn, type SignInParts, signInClientIds } from './open-sign-in.ts';

export const DEMO_TENANT = 'meridian';

export interface Identity extends SignInParts {
  readonly verifier: TokenVerifier;
  readonly keyReloads: KeyReloads;
  readonly profiles: readonly IssuerProfile[];
  readonly certificates: ClientCertificates;
  /** Only in development. */
  readonly development: DevIdentityProviders | undefined;
}

/**
 * Who may issue tokens: the configured issuers, and in the demo the development identity provider.
 * @throws BulkheadError `config_invalid`
 */
export async function openIdentity(config: Config, baseUrl: URL, now: () => number): Promise<Identity> {
  const development = config.demo ? await openDevelopment(config, baseUrl) : undefined;
  const profiles: readonly IssuerProfile[] = [
    ...config.issuers.map(profileOf),
    ...developmentProfiles(development),
  ];
  const verifier = createTokenVerifier(profiles, {
    now,
    signInClients: signInClientIds(config, development),
    maxStaleSeconds: maxStaleSeconds(config),
    ...(development && { fetch: development.fetch }),
  });
  requireSubjectsKnown(config.signals, profiles);
  return {
    verifier,
    keyReloads: new KeyReloads(verifier),
    profiles,
    certificates: createClientCertificates(config.certificates),
    ...openSignIn(config, profiles, development, baseUrl, now),
    development,
  };
}

const HOUR_SECONDS = 3_600;

/**
 * How long a token is believed whose issuer does not answer any more: an hour, or as long as the level with the
 * shortest patience believes an old directory.
 */
function maxStaleSeconds({ policy }: Config): number {
  return Math.min(HOUR_SECONDS, ...policy.levels.map((level) => levelStaleness(level)));
}

function levelStaleness(level: Config['policy']['levels'][number]): number {
  return 'maxDirectoryAgeSeconds' in level ? (level.maxDirectoryAgeSeconds ?? HOUR_SECONDS) : HOUR_SECONDS;
}

/** Imported only here and only then: production never loads it. */
async function openDevelopment(config: Config, baseUrl: URL): Promise<DevIdentityProviders> {
  const { createDevIdentityProviders } = await import('../dev/identity-provider.ts');
  const { loadDirectory } = await import('../dev/load-directory.ts');
  const { DEMO_DIRECTORY } = await import('../dev/company.ts');
  return createDevIdentityProviders({
    production: config.production,
    accounts: await loadDirectory(DEMO_DIRECTORY),
    keysFile: developmentKeysFile(config),
    baseUrl: baseUrl.origin,
    resource: DEVELOPMENT_AUDIENCE,
    clientRedirectUri: new URL('/callback', baseUrl).href,
    postLogoutRedirectUri: new URL('/', baseUrl).href,
  });
}

function developmentProfiles(development: DevIdentityProviders | undefined): readonly IssuerProfile[] {
  return (development?.issuers ?? []).map(({ name, issuer, jwksUri }) => ({
    name,
    tenant: DEMO_TENANT,
    issuer,
    jwksUri,
    audience: DEVELOPMENT_AUDIENCE,
    algorithms: ['ES256'],
    typ: ['at+jwt'],
    claims: { subject: 'sub', client: 'client_id', acr: 'acr', authTime: 'auth_time' },
    groupSource: 'directory',
    clockToleranceSeconds: 0,
  }));
}
