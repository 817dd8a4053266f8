import type { CredentialRight } from '../store/authority.ts';

/** Whose quirks an issuer's tokens have. */
export type ProviderKind = 'entra' | 'okta' | 'keycloak' | 'auth0' | 'google' | 'oidc';

/** The tenant of every token of the issuer, or what the values of a claim stand for. */
type TenantRule = string | { readonly claim: string; readonly map: Readonly<Record<string, string>> };

/** How the issuer is asked about opaque tokens (RFC 7662). */
export interface IntrospectionProfile {
  /** Absent: found by discovery. */
  readonly endpoint?: string | undefined;
  readonly clientId: string;
  readonly clientSecret?: string | undefined;
  /** PEM (PKCS #8), for `private_key_jwt`. */
  readonly privateKey?: string | undefined;
  readonly keyAlgorithm?: string | undefined;
  readonly keyId?: string | undefined;
  readonly tokenPrefix?: string | undefined;
  readonly cacheSeconds: number;
}

/** Everything Bulkhead takes for granted about one token issuer. Two issuers never share a principal. */
export interface IssuerProfile {
  /** Short stable key used in principals, as in `user:workforce|anna.keller`. */
  readonly name: string;
  /** Whose quirks its tokens have; default `oidc`. */
  readonly kind?: ProviderKind | undefined;
  readonly tenant: TenantRule;
  /** Compared with `iss` character by character; `{tid}` in it stands for the id of a tenant of Entra. */
  readonly issuer: string;
  readonly audience: string;
  /** JWS algorithms, asymmetric only. */
  readonly algorithms: readonly string[];
  /** Accepted `typ` headers: `at+jwt` (RFC 9068 §2.1), or what the provider sends instead; `absent` for none. */
  readonly typ: readonly string[];
  /** Absent: found by OpenID Connect discovery. */
  readonly jwksUri?: string | undefined;
  /** Which claim says what. `groups` is needed only where the token is a source of groups. */
  readonly claims: {
    /** The values of several claims are joined by `:`. */
    readonly subject: string | readonly string[];
    readonly client: string;
    /** What names a service, where that is more than its client id. */
    readonly service?: string | readonly string[] | undefined;
    readonly groups?: string | undefined;
    readonly scope?: string | undefined;
    readonly session?: string | undefined;
    readonly acr: string;
    readonly authTime: string;
  };
  readonly groupSource: 'token' | 'directory' | 'both';
  /** The directory holds every membership of the issuer's people: it may answer for a token that could not say. */
  readonly directoryAuthoritative?: boolean | undefined;
  /** Which rights a scope gives; absent = scopes limit nothing. */
  readonly scopes?: Readonly<Record<string, readonly CredentialRight[]>> | undefined;
  readonly introspection?: IntrospectionProfile | undefined;
  /** Services in a row between the user and the request; default 1. */
  readonly maxActorDepth?: number | undefined;
  /** Clients that hold users' tokens only to act for them, of a provider that does not write `act`. */
  readonly actingClients?: readonly string[] | undefined;
  readonly clockToleranceSeconds: number;
  /** Longest time since `iat`; absent = as long as `exp` allows. */
  readonly maxTokenAgeSeconds?: number | undefined;
}
