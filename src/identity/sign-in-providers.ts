/** The identity providers that people sign in with: found once an hour, and not asked again and again while they are down. */
import * as client from 'openid-client';
import { BulkheadError } from '../errors.ts';
import { type IssuerProfile, profilesByIssuer } from './issuer.ts';
import { isLoopbackHttp } from './secure-url.ts';

const TIMEOUT_SECONDS = 5;
/** An endpoint that has moved is found again after this. */
const KNOWN_MS = 60 * 60_000;
/** After a provider did not answer, nobody waits for it again for so long. */
const FAILURE_COOLDOWN_MS = 5_000;

/** This service as one provider knows it. */
export interface SignInClient {
  readonly clientId: string;
  /** Absent: a public client, protected by PKCE alone. */
  readonly clientSecret?: string | undefined;
  /** Absent: `openid`. */
  readonly scope?: string | undefined;
  /** Asks for a refresh token; one that comes unasked is used all the same. */
  readonly offlineAccess?: boolean | undefined;
}

export interface ProvidersOptions {
  readonly profiles: readonly IssuerProfile[];
  /** By name of the issuer; absent = nobody signs in there. */
  readonly clientOf: (issuer: string) => SignInClient | undefined;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  readonly fetch?: client.CustomFetch | undefined;
}

export interface Provider {
  readonly profile: IssuerProfile;
  readonly client: SignInClient;
  readonly configuration: client.Configuration;
}

interface Known {
  readonly configuration: Promise<client.Configuration>;
  readonly until: number;
}

export class Providers {
  readonly #options: ProvidersOptions;
  readonly #profiles: readonly IssuerProfile[];
  readonly #known = new Map<string, Known>();

  constructor(options: ProvidersOptions) {
    this.#options = options;
    this.#profiles = [...profilesByIssuer(options.profiles).values()];
  }

  /** Whether there are others that an answer could be from. */
  get areSeveral(): boolean {
    return this.#profiles.filter(({ name }) => this.#options.clientOf(name) !== undefined).length > 1;
  }

  /** @throws BulkheadError `not_found` for an issuer that nobody signs in with, `identity_unavailable` */
  async named(name: string): Promise<Provider> {
    const profile = this.#profiles.find((candidate) => candidate.name === name);
    const registered = this.#options.clientOf(name);
    if (profile === undefined || registered === undefined)
      throw new BulkheadError('not_found', 'There is no such way to sign in.');
    return { profile, client: registered, configuration: await this.#configurationOf(profile, registered) };
  }

  #configurationOf(profile: IssuerProfile, registered: SignInClient): Promise<client.Configuration> {
    const now = this.#options.now();
    const known = this.#known.get(profile.name);
    if (known !== undefined && now < known.until) return known.configuration;
    const found = this.#discover(profile, registered);
    this.#known.set(profile.name, { configuration: found, until: now + KNOWN_MS });
    found.catch(() => {
      const until = this.#options.now() + FAILURE_COOLDOWN_MS;
      this.#known.set(profile.name, { configuration: found, until });
    });
    return found;
  }

  async #discover(profile: IssuerProfile, { clientId, clientSecret }: SignInClient) {
    const issuer = new URL(profile.issuer);
    // Signatures of id tokens are checked even where TLS alone would do (OpenID Connect Core 1.0 §3.1.3.7).
    const execute = [client.enableNonRepudiationChecks];
    if (isLoopbackHttp(issuer)) execute.push(client.allowInsecureRequests);
    const authentication =
      clientSecret === undefined ? client.None() : client.ClientSecretBasic(clientSecret);
    const { fetch } = this.#options;
    try {
      const configuration = await client.discovery(issuer, clientId, undefined, authentication, {
        execute,
        timeout: TIMEOUT_SECONDS,
        ...(fetch === undefined ? {} : { [client.customFetch]: fetch }),
      });
      // openid-client lets some providers answer with another issuer.
      if (configuration.serverMetadata().issuer !== profile.issuer)
        throw new TypeError('Another issuer answered.');
      return configuration;
    } catch (cause) {
      throw providerUnavailable(cause);
    }
  }
}

export function providerUnavailable(cause: unknown): BulkheadError {
  return new BulkheadError('identity_unavailable', 'The identity provider did not answer.', {
    retryAfterSeconds: TIMEOUT_SECONDS,
    cause,
  });
}
