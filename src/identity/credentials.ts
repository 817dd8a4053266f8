/** What a request presents, and who can say whose it is. The one way in for tokens, keys and certificates. */
import type { VerifiedCaller } from './token-claims.ts';

/** The credentials of one request, read from its headers and its connection and from nowhere else. */
export interface PresentedCredentials {
  /** The authorization scheme; `Bearer` too where no token was sent. */
  readonly scheme: 'Bearer' | 'DPoP';
  /** An access token, or an API key (`bhk_…`); absent when there is no `Authorization` header. */
  readonly token?: string | undefined;
  /** The `DPoP` header (RFC 9449 §4.1). */
  readonly proof?: string | undefined;
  readonly method: string;
  /** As callers see it: the public origin and this request's path. */
  readonly url: URL;
  /** What the connection itself proved; absent unless the TLS listener verified it against the configured bundles. */
  readonly clientCertificate?: ClientCertificate | undefined;
  /** The `Actor-Authorization` header: the token of the service that acts for the user of `token`. */
  readonly actorToken?: string | undefined;
  /** Of the connection's other end. */
  readonly address: string | undefined;
}

export interface Authenticator {
  /**
   * @throws BulkheadError `missing_token`, `invalid_token`, `credential_revoked`; `identity_unavailable` (with a time
   *   to retry) when whoever could say does not answer
   */
  authenticate(presented: PresentedCredentials): Promise<VerifiedCaller>;
}

/** API keys are told from tokens by how they begin, so that none is ever sent to an identity provider. */
export const API_KEY_PREFIX = 'bhk_';

export interface ApiKeyVerifier {
  /** @param now milliseconds since 1970 @throws BulkheadError `invalid_token`, `credential_revoked` */
  verify(key: string, now: number): Promise<VerifiedCaller>;
}

/** Of a connection, from http/peer-certificate.ts. */
export interface ClientCertificate {
  /** DER. */
  readonly raw: Uint8Array;
  /** DER of what links it to an authority, from its own issuer on. */
  readonly issuers: readonly Uint8Array[];
}

export interface CertificateVerifier {
  /** @param now milliseconds since 1970 @throws BulkheadError `invalid_token` */
  verify(certificate: ClientCertificate, now: number): Promise<VerifiedCaller>;
}
