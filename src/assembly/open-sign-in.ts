/** How people sign in to the pages, and how providers say that they have signed out. */
import type { Config } from '../config/config.ts';
import type { DevIdentityProviders } from '../dev/identity-provider.ts';
import type { IssuerProfile } from '../identity/issuer.ts';
import { createLogoutTokens, type LogoutTokens } from '../identity/logout-token.ts';
import { createSignIn, type SignIn } from '../identity/sign-in.ts';
import type { SignInClient } from '../identity/sign-in-providers.ts';
import type { SignInChoice } from '../ui/sign-in-page.tsx';

export interface SignInParts {
  /** Absent: nobody signs in to the pages. */
  readonly signIn: SignIn | undefined;
  /** Issuer names a person may sign in with, and what to call them. */
  readonly choices: readonly SignInChoice[];
  readonly logoutTokens: LogoutTokens | undefined;
}

export function openSignIn(
  { signIn }: Config,
  profiles: readonly IssuerProfile[],
  development: DevIdentityProviders | undefined,
  baseUrl: URL,
  now: () => number,
): SignInParts {
  const clientOf = clientsOf(signIn, development);
  const choices = profiles.filter(({ name }) => clientOf(name) !== undefined).map(({ name }) => name);
  if (choices.length === 0) return { signIn: undefined, choices: [], logoutTokens: undefined };
  return {
    signIn: createSignIn({
      profiles,
      clientOf,
      redirectUri: new URL('/callback', baseUrl).href,
      postLogoutRedirectUri: new URL('/', baseUrl).href,
      now,
    }),
    choices: choices.map((name) => ({ name, title: titleOf(name) })),
    logoutTokens: createLogoutTokens({
      profiles,
      clientIdOf: (name) => clientOf(name)?.clientId,
      now,
      ...(development && { fetch: development.fetch }),
    }),
  };
}

/** Every client that this service signs people in as. */
export function signInClientIds(
  { signIn }: Config,
  development: DevIdentityProviders | undefined,
): readonly string[] {
  const clients = [signIn?.client, ...Object.values(signIn?.clients ?? {}), development];
  return [...new Set(clients.flatMap((client) => client?.clientId ?? []))];
}

function clientsOf(
  signIn: Config['signIn'],
  development: DevIdentityProviders | undefined,
): (issuer: string) => SignInClient | undefined {
  const ofDevelopment = new Set<string>(development?.issuers.map(({ name }) => name));
  return (issuer) => {
    if (development !== undefined && ofDevelopment.has(issuer)) return { clientId: development.clientId };
    if (signIn !== undefined && Object.hasOwn(signIn.clients, issuer)) return signIn.clients[issuer];
    return signIn?.client;
  };
}

function titleOf(name: string): string {
  return name.charAt(0).toUpperCase() + name.slice(1);
}
