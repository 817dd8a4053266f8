import type { Config } from '../config/config.ts';
import type { DevIdentityProviders } from '../dev/identity-provider.ts';
import type { IssuerProfile } from '../identity/issuer.ts';
import { createSignIn, type SignIn } from '../identity/sign-in.ts';
import { createTokenVerifier, type TokenVerifier } from '../identity/verify-token.ts';
import type { SignInChoice } from '../ui/sign-in-page.tsx';
import { DEVELOPMENT_AUDIENCE, developmentKeysFile } from './development.ts';

export const DEMO_TENANT = 'meridian';

export interface Identity {
  readonly verifier: TokenVerifier;
  readonly profiles: readonly IssuerProfile[];
  readonly signIn: SignIn | undefined;
  /** Issuer names a person may sign in with, and what to call them. */
  readonly choices: readonly SignInChoice[];
  /** Only in development. */
  readonly development: DevIdentityProviders | undefined;
}

/** Who may issue tokens: the configured issuers, and in the demo the development identity provider. */
export async function openIdentity(config: Config, baseUrl: URL, now: () => number): Promise<Identity> {
  const development = config.demo ? await openDevelopment(config, baseUrl) : undefined;
  const profiles: readonly IssuerProfile[] = [...config.issuers, ...developmentProfiles(development)];
  const clientId = config.signIn?.clientId ?? development?.clientId;
  return {
    verifier: createTokenVerifier(profiles, { now, ...(development && { fetch: development.fetch }) }),
    profiles,
    signIn:
      clientId === undefined
        ? undefined
        : createSignIn({
            profiles,
            clientId,
            clientSecret: config.signIn?.clientSecret,
            redirectUri: new URL('/callback', baseUrl).href,
            postLogoutRedirectUri: new URL('/', baseUrl).href,
            now,
          }),
    choices: profiles.map(({ name }) => ({ name, title: titleOf(name) })),
    development,
  };
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

function titleOf(name: string): string {
  return name.charAt(0).toUpperCase() + name.slice(1);
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
