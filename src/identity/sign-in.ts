import * as client from 'openid-client';
import { BulkheadError, isBulkheadError } from '../errors.ts';
import { type IssuerProfile, profilesByIssuer } from './issuer.ts';
import { isLoopbackHttp } from './secure-url.ts';

const TIMEOUT_SECONDS = 5;

/** What must be remembered between the redirect and the return: on the server, never in the URL. */
export interface SignInState {
  readonly issuer: string;
  readonly codeVerifier: string;
  readonly state: string;
  readonly nonce: string;
  readonly maxAgeSeconds?: number | undefined;
}

/** A stronger or fresher sign-in, as in an RFC 9470 challenge. */
export interface SignInNeeds {
  readonly acrValues?: readonly string[] | undefined;
  readonly maxAgeSeconds?: number | undefined;
}

export interface SignedIn {
  readonly accessToken: string;
  /** For signing out only: it is not an access token. */
  readonly idToken: string;
  readonly idTokenClaims: client.IDToken;
  /** Milliseconds since 1970. */
  readonly expiresAt: number;
}

interface SignInOptions {
  readonly profiles: readonly IssuerProfile[];
  readonly clientId: string;
  /** Absent: a public client, protected by PKCE alone. */
  readonly clientSecret?: string | undefined;
  readonly redirectUri: string;
  readonly postLogoutRedirectUri: string;
  /** Default `openid`. */
  readonly scope?: string | undefined;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  readonly fetch?: client.CustomFetch | undefined;
}

export interface SignIn {
  /** @throws BulkheadError `not_found` for an issuer that is not configured, `identity_unavailable` */
  start(issuerName: string, needs?: SignInNeeds): Promise<{ url: URL; state: SignInState }>;
  /** @throws BulkheadError `sign_in_failed`, `identity_unavailable` */
  finish(currentUrl: URL, state: SignInState): Promise<SignedIn>;
  /** Where to sign out at the provider (RP-Initiated Logout 1.0); `undefined` when it has no such page. */
  logoutUrl(issuerName: string, idToken?: string): Promise<URL | undefined>;
}

/**
 * The browser's sign-in: OpenID Connect authorization code flow with PKCE (RFC 7636), state and nonce. The access
 * token it returns is not trusted here; it goes through the token verifier like any other.
 */
export function createSignIn(options: SignInOptions): SignIn {
  const profiles = [...profilesByIssuer(options.profiles).values()];
  const discovered = new Map<string, Promise<client.Configuration>>();

  function configurationOf(issuerName: string): Promise<client.Configuration> {
    const known = discovered.get(issuerName);
    if (known !== undefined) return known;
    const profile = profiles.find(({ name }) => name === issuerName);
    if (profile === undefined)
      return Promise.reject(new BulkheadError('not_found', 'There is no such way to sign in.'));
    const found = discover(profile, options);
    discovered.set(issuerName, found);
    found.catch(() => discovered.delete(issuerName));
    return found;
  }

  return {
    async start(issuerName, needs = {}) {
      const configuration = await configurationOf(issuerName);
      const state = newState(issuerName, needs);
      const parameters = await authorizationParameters(options, state, needs);
      return { url: client.buildAuthorizationUrl(configuration, parameters), state };
    },
    async finish(currentUrl, state) {
      const configuration = await configurationOf(state.issuer);
      try {
        return readTokens(await redeem(configuration, currentUrl, state), options.now());
      } catch (error) {
        throw signInError(error);
      }
    },
    async logoutUrl(issuerName, idToken) {
      const configuration = await configurationOf(issuerName);
      if (configuration.serverMetadata().end_session_endpoint === undefined) return undefined;
      return client.buildEndSessionUrl(configuration, {
        post_logout_redirect_uri: options.postLogoutRedirectUri,
        ...(idToken === undefined ? {} : { id_token_hint: idToken }),
      });
    },
  };
}

async function discover(profile: IssuerProfile, options: SignInOptions): Promise<client.Configuration> {
  const issuer = new URL(profile.issuer);
  // Signatures of id tokens are checked even where TLS alone would do (OpenID Connect Core 1.0 §3.1.3.7).
  const execute = [client.enableNonRepudiationChecks];
  if (isLoopbackHttp(issuer)) execute.push(client.allowInsecureRequests);
  const authentication =
    options.clientSecret === undefined ? client.None() : client.ClientSecretBasic(options.clientSecret);
  try {
    const configuration = await client.discovery(issuer, options.clientId, undefined, authentication, {
      execute,
      timeout: TIMEOUT_SECONDS,
      ...(options.fetch === undefined ? {} : { [client.customFetch]: options.fetch }),
    });
    // openid-client lets some providers answer with another issuer.
    if (configuration.serverMetadata().issuer !== profile.issuer)
      throw new TypeError('Another issuer answered.');
    return configuration;
  } catch (cause) {
    throw unavailable(cause);
  }
}

function newState(issuer: string, needs: SignInNeeds): SignInState {
  return {
    issuer,
    codeVerifier: client.randomPKCECodeVerifier(),
    state: client.randomState(),
    nonce: client.randomNonce(),
    maxAgeSeconds: needs.maxAgeSeconds,
  };
}

async function authorizationParameters(
  options: SignInOptions,
  state: SignInState,
  needs: SignInNeeds,
): Promise<Record<string, string>> {
  return {
    redirect_uri: options.redirectUri,
    scope: options.scope ?? 'openid',
    code_challenge: await client.calculatePKCECodeChallenge(state.codeVerifier),
    code_challenge_method: 'S256',
    state: state.state,
    nonce: state.nonce,
    ...(needs.maxAgeSeconds === undefined ? {} : { max_age: String(needs.maxAgeSeconds) }),
    // acr_values alone is a wish: a provider with a session of its own would just return the old sign-in.
    ...(needs.acrValues === undefined ? {} : { acr_values: needs.acrValues.join(' '), prompt: 'login' }),
  };
}

function redeem(configuration: client.Configuration, currentUrl: URL, state: SignInState) {
  return client.authorizationCodeGrant(configuration, currentUrl, {
    pkceCodeVerifier: state.codeVerifier,
    expectedState: state.state,
    expectedNonce: state.nonce,
    idTokenExpected: true,
    ...(state.maxAgeSeconds === undefined ? {} : { maxAge: state.maxAgeSeconds }),
  });
}

function readTokens(tokens: Awaited<ReturnType<typeof redeem>>, now: number): SignedIn {
  const idTokenClaims = tokens.claims();
  if (idTokenClaims === undefined || tokens.id_token === undefined)
    throw new BulkheadError('sign_in_failed', 'The identity provider did not say who signed in.');
  const lifetime = tokens.expiresIn();
  return {
    accessToken: tokens.access_token,
    idToken: tokens.id_token,
    idTokenClaims,
    expiresAt: lifetime === undefined ? idTokenClaims.exp * 1000 : now + lifetime * 1000,
  };
}

function signInError(error: unknown): BulkheadError {
  if (isBulkheadError(error)) return error;
  if (error instanceof client.AuthorizationResponseError)
    return new BulkheadError('sign_in_failed', 'The identity provider did not complete the sign-in.');
  // A fetch that got no answer is a TypeError, one that took too long a ClientError with this code.
  if (error instanceof TypeError || (error instanceof client.ClientError && error.code === 'OAUTH_TIMEOUT'))
    return unavailable(error);
  return new BulkheadError(
    'sign_in_failed',
    'The sign-in expired or was tampered with; please start again.',
    {
      cause: error,
    },
  );
}

function unavailable(cause: unknown): BulkheadError {
  return new BulkheadError('identity_unavailable', 'The identity provider did not answer.', {
    retryAfterSeconds: TIMEOUT_SECONDS,
    cause,
  });
}
