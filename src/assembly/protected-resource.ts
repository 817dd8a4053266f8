import type { Config } from '../config/config.ts';
import type { ProtectedResource } from '../http/protected-resource.ts';
import { PROOF_ALGORITHMS } from '../identity/dpop.ts';
import type { IssuerProfile } from '../identity/issuer.ts';

/**
 * How the service describes itself, from its configuration.
 * @param baseUrl as callers see the server
 * @param profiles the configured issuers, and in the demo those of development
 */
export function protectedResource(
  { resource, issuers, certificate, certificates }: Config,
  baseUrl: URL,
  profiles: readonly Pick<IssuerProfile, 'issuer'>[],
): ProtectedResource {
  const scopes = issuers.flatMap(({ scopes: given = {} }) => Object.keys(given));
  return {
    identifier: new URL(resource.identifier ?? baseUrl.origin),
    name: resource.name,
    documentation: resource.documentation,
    // one that stands for many tenants is no address of a server
    authorizationServers: distinct(profiles.map(({ issuer }) => issuer)).filter((url) => !url.includes('{')),
    scopes: resource.scopes ?? distinct(scopes),
    dpop: { algorithms: PROOF_ALGORITHMS, isRequired: false },
    // the listener asks for client certificates only where somebody vouches for them
    isCertificateBound: certificate !== undefined && certificates.length > 0,
  };
}

const distinct = (texts: readonly string[]): readonly string[] => [...new Set(texts)].sort();
