import * as client from 'openid-client';
import { BulkheadError } from '../errors.ts';
import { signInError } from './sign-in-errors.ts';
import { type Provider, Providers, type ProvidersOptions, type SignInClient } from './sign-in-providers.ts';

/** What must be remembered between the redirect and the return: on the server, never in the URL. */
export interface SignInState {
  readonly issuer: string;
  /** Where this issuer, and no other, sends the browser back to. */
  readonly redirectUri: string;
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

/** Tokens, of a sign-in or of its renewal. */
interface SignInTokens {
  readonly accessToken: string;
  /** Milliseconds since 1970. */
  readonly expiresAt: number;
  /** Absent: nothing renews the access token. */
  readonly refreshToken: string | undefined;
}

export interface SignedIn extends SignInTokens {
  /** For signing out only: it is not an access token. */
  readonly idToken: string;
  readonly idTokenClaims: client.IDToken;
}

interface SignInOptions extends ProvidersOptions {
  readonly redirectUri: string;
  readonly postLogoutRedirectUri: string;
}

export interface SignIn {
  /** @throws BulkheadError `not_found` for an issuer that is not configured, `identity_unavailable` */
  start(issuerName: string, needs?: SignInNeeds): Promise<{ url: URL; state: SignInState }>;
  /**
   * @param currentUrl where the browser came back to
   * @throws BulkheadError `sign_in_failed`, `identity_unavailable`
   */
  finish(currentUrl: URL, state: SignInState): Promise<SignedIn>;
  /**
   * New tokens for the same sign-in (RFC 6749 §6). A refresh token may be good for one use: nobody else may try
   * meanwhile.
   * @param subject the `sub` that the id token had
   * @throws BulkheadError `sign_in_failed` when the provider renews no more, `identity_unavailable`
   */
  refresh(issuerName: string, refreshToken: string, subject: string): Promise<SignInTokens>;
  /** Where to sign out at the provider (RP-Initiated Logout 1.0); `undefined` when it has no such page. */
  logoutUrl(issuerName: string, idToken?: string): Promise<URL | undefined>;
}

/**
 * The browser's sign-in: OpenID Connect authorization code flow with PKCE (RFC 7636), state and nonce. The access
 * token it returns is not trusted here; it goes through the token verifier like any other.
 */
export function createSignIn(options: SignInOptions): SignIn {
  const providers = new Providers(options);
  return {
    async start(issuerName, needs = {}) {
      const provider = await providers.named(issuerName);
      const redirectUri = redirectUriFor(provider, providers.areSeveral, options.redirectUri);
      const state = newState(issuerName, redirectUri, needs);
      const parameters = await authorizationParameters(provider.client, state, needs);
      return { url: client.buildAuthorizationUrl(provider.configuration, parameters), state };
    },
    async finish(currentUrl, state) {
      const { configuration } = await providers.named(state.issuer);
      if (`${currentUrl.origin}${currentUrl.pathname}` !== state.redirectUri)
        throw new BulkheadError('sign_in_failed', 'Another identity provider answered than was asked.');
      try {
        return readTokens(await redeem(configuration, currentUrl, state), options.now());
      } catch (error) {
        throw signInError(error);
      }
    },
    async refresh(issuerName, refreshToken, subject) {
      const { configuration } = await providers.named(issuerName);
      try {
        const tokens = await client.refreshTokenGrant(configuration, refreshToken);
        return renewedTokens(tokens, refreshToken, subject, options.now());
      } catch (error) {
        throw signInError(error);
      }
    },
    async logoutUrl(issuerName, idToken) {
      const { configuration } = await providers.named(issuerName);
      if (configuration.serverMetadata().end_session_endpoint === undefined) return undefined;
      return client.buildEndSessionUrl(configuration, {
        post_logout_redirect_uri: options.postLogoutRedirectUri,
        // nothing hangs on the return, so nothing remembers it
        state: client.randomState(),
        ...(idToken === undefined ? {} : { id_token_hint: idToken }),
      });
    },
  };
}

/**
 * The defences against mixed-up issuers (RFC 9700 §4.4.2): a provider that names itself in its answers (RFC 9207) is
 * checked by that; any other, where there are several, answers to an address of its own.
 */
function redirectUriFor({ configuration, profile }: Provider, areSeveral: boolean, common: string): string {
  const namesItself = configuration.serverMetadata().authorization_response_iss_parameter_supported === true;
  return namesItself || !areSeveral ? common : `${common}/${encodeURIComponent(profile.name)}`;
}

function newState(issuer: string, redirectUri: string, needs: SignInNeeds): SignInState {
  return {
    issuer,
    redirectUri,
    codeVerifier: client.randomPKCECodeVerifier(),
    state: client.randomState(),
    nonce: client.randomNonce(),
    maxAgeSeconds: needs.maxAgeSeconds,
  };
}

async function authorizationParameters(
  { scope = 'openid', offlineAccess }: SignInClient,
  state: SignInState,
  needs: SignInNeeds,
): Promise<Record<string, string>> {
  return {
    redirect_uri: state.redirectUri,
    scope: offlineAccess === true ? `${scope} offline_access` : scope,
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

type Tokens = Awaited<ReturnType<typeof redeem>>;

function readTokens(tokens: Tokens, now: number): SignedIn {
  const idTokenClaims = tokens.claims();
  if (idTokenClaims === undefined || tokens.id_token === undefined)
    throw new BulkheadError('sign_in_failed', 'The identity provider did not say who signed in.');
  const lifetime = tokens.expiresIn();
  return {
    accessToken: tokens.access_token,
    refreshToken: tokens.refresh_token,
    idToken: tokens.id_token,
    idTokenClaims,
    expiresAt: lifetime === undefined ? idTokenClaims.exp * 1000 : now + lifetime * 1000,
  };
}

/** How long a renewed token is taken to last when the provider does not say. */
const SHORTEST_MS = 60_000;

/** An id token need not come with them; one that does is of the same person (OpenID Connect Core 1.0 §12.2). */
function renewedTokens(tokens: Tokens, used: string, subject: string, now: number): SignInTokens {
  const claims = tokens.claims();
  if (claims !== undefined && claims.sub !== subject)
    throw new BulkheadError('sign_in_failed', 'The identity provider renewed the sign-in of somebody else.');
  const lifetime = tokens.expiresIn();
  return {
    accessToken: tokens.access_token,
    refreshToken: tokens.refresh_token ?? used,
    expiresAt: now + (lifetime === undefined ? SHORTEST_MS : lifetime * 1000),
  };
}
