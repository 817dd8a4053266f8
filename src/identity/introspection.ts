/** Opaque tokens, which their issuer is asked about (RFC 7662). */
import { importPKCS8 } from 'jose';
import { LRUCache } from 'lru-cache';
import * as client from 'openid-client';
import { BulkheadError } from '../errors.ts';
import { type Claims, claim } from './claim-values.ts';
import type { IntrospectionProfile, IssuerProfile } from './issuer.ts';
import { discover } from './key-set.ts';
import { limited, PROVIDER_TIMEOUT_MS } from './limited-fetch.ts';
import { isLoopbackHttp, parseProviderUrl } from './secure-url.ts';
import { refuse } from './token-refusal.ts';

/** RFC 6750 §2.1. */
const OPAQUE = /^[A-Za-z0-9._~+/-]+=*$/;
/** A token that was not active is not asked about again for this long. */
const INACTIVE_MS = 10_000;
const REMEMBERED_INACTIVE = 10_000;
/** Questions under way at once; invented tokens cannot be told from others before they were asked about. */
const MAX_ASKING = 64;
/** After a failed question nobody asks again for this long. */
const FAILURE_COOLDOWN_MS = 2_000;

const NOT_ACTIVE = 'The token is not active, or not one of an issuer that is trusted here.';

interface IntrospectorOptions {
  /** Milliseconds since 1970. */
  readonly now: () => number;
  readonly fetch: typeof fetch;
}

export interface Introspector {
  /** Whether a token like this may be shown to the issuer. */
  takes(token: string): boolean;
  /**
   * What the issuer says of an active token, for this audience and of this very issuer.
   * @param tokenId the token's hash
   * @throws BulkheadError `invalid_token`; `identity_unavailable` when the issuer does not say
   */
  ask(token: string, tokenId: string): Promise<Claims>;
}

export function createIntrospector(
  profile: IssuerProfile,
  how: IntrospectionProfile,
  options: IntrospectorOptions,
): Introspector {
  return new AskedIssuer(profile, how, options);
}

class AskedIssuer implements Introspector {
  readonly #profile: IssuerProfile;
  readonly #how: IntrospectionProfile;
  readonly #options: IntrospectorOptions;
  readonly #inactive = new LRUCache<string, number>({ max: REMEMBERED_INACTIVE });
  readonly #asking = new Map<string, Promise<Claims>>();
  #configured: Promise<client.Configuration> | undefined;
  #failedAt = Number.NEGATIVE_INFINITY;

  constructor(profile: IssuerProfile, how: IntrospectionProfile, options: IntrospectorOptions) {
    this.#profile = profile;
    this.#how = how;
    this.#options = options;
  }

  takes(token: string): boolean {
    return OPAQUE.test(token) && token.startsWith(this.#how.tokenPrefix ?? '');
  }

  async ask(token: string, tokenId: string): Promise<Claims> {
    const now = this.#options.now();
    if (now < (this.#inactive.get(tokenId) ?? 0)) throw refuse(NOT_ACTIVE);
    const asked = this.#asking.get(tokenId);
    if (asked !== undefined) return asked;
    if (this.#asking.size >= MAX_ASKING) throw this.#unavailable(1);
    const wait = this.#failedAt + FAILURE_COOLDOWN_MS - now;
    if (wait > 0) throw this.#unavailable(wait / 1000);
    const asking = this.#askNow(token, tokenId).finally(() => this.#asking.delete(tokenId));
    this.#asking.set(tokenId, asking);
    return asking;
  }

  async #askNow(token: string, tokenId: string): Promise<Claims> {
    const answer = await this.#answerOf(token);
    if (answer.active === false) {
      this.#inactive.set(tokenId, this.#options.now() + INACTIVE_MS);
      throw refuse(NOT_ACTIVE);
    }
    checkAnswer(answer, this.#profile);
    return answer;
  }

  async #answerOf(token: string): Promise<Claims> {
    try {
      const configuration = await this.#configuration();
      return {
        ...(await client.tokenIntrospection(configuration, token, { token_type_hint: 'access_token' })),
      };
    } catch (cause) {
      this.#failedAt = this.#options.now();
      throw this.#unavailable(FAILURE_COOLDOWN_MS / 1000, cause);
    }
  }

  #configuration(): Promise<client.Configuration> {
    this.#configured ??= configure(this.#profile, this.#how, this.#options.fetch).catch((error) => {
      this.#configured = undefined;
      throw error;
    });
    return this.#configured;
  }

  #unavailable(seconds: number, cause?: unknown): BulkheadError {
    return new BulkheadError(
      'identity_unavailable',
      `The issuer "${this.#profile.name}" could not be asked about the token.`,
      { retryAfterSeconds: Math.max(1, Math.ceil(seconds)), cause },
    );
  }
}

async function configure(
  profile: IssuerProfile,
  how: IntrospectionProfile,
  fetcher: typeof fetch,
): Promise<client.Configuration> {
  const found = how.endpoint ?? (await discover(profile, fetcher)).introspection_endpoint;
  if (typeof found !== 'string')
    throw new TypeError('The discovery document names no introspection endpoint.');
  const endpoint = parseProviderUrl(found, 'discovered introspection endpoint');
  const configuration = new client.Configuration(
    { issuer: profile.issuer, introspection_endpoint: endpoint.href },
    how.clientId,
    undefined,
    await authenticationOf(how),
  );
  configuration.timeout = PROVIDER_TIMEOUT_MS / 1000;
  configuration[client.customFetch] = limited(fetcher) as client.CustomFetch;
  if (isLoopbackHttp(endpoint)) client.allowInsecureRequests(configuration);
  return configuration;
}

async function authenticationOf(how: IntrospectionProfile): Promise<client.ClientAuth> {
  if (how.privateKey === undefined) return client.ClientSecretBasic(how.clientSecret ?? '');
  const key = await importPKCS8(how.privateKey, how.keyAlgorithm ?? 'ES256');
  return client.PrivateKeyJwt(how.keyId === undefined ? key : { key, kid: how.keyId });
}

/** RFC 7662 leaves nearly every member out; none of these may be missing for a token to be believed. */
function checkAnswer(answer: Claims, { issuer, audience }: IssuerProfile): void {
  if (answer.active !== true) throw refuse(NOT_ACTIVE);
  // it came over TLS from the issuer's own endpoint, so only another name is a contradiction
  if (claim(answer, 'iss') !== undefined && answer.iss !== issuer) throw refuse(NOT_ACTIVE);
  const type = typeof answer.token_type === 'string' ? answer.token_type.toLowerCase() : undefined;
  if (type !== 'bearer' && type !== 'dpop')
    throw refuse('The token is not an access token of the type this issuer sends.');
  // RFC 9449 §6.2: which key it is bound to comes with it; without one nobody could be asked for its proof
  if (type === 'dpop' && claim(answer, 'cnf') === undefined)
    throw refuse('The token is bound to a key (DPoP), and its issuer does not say which.');
  if (![answer.aud].flat().includes(audience)) throw refuse('The token was issued for another audience.');
}
