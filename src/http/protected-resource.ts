/** How the service describes itself to clients that were refused (RFC 9728): where tokens for it come from. */
import { z } from '@hono/zod-openapi';
import { Hono } from 'hono';
import { BulkheadError } from '../errors.ts';
import type { Env } from './env.ts';
import type { ChallengeOptions } from './problem.ts';

export interface ProtectedResource {
  /** The resource identifier: an absolute URL without query and fragment. */
  readonly identifier: URL;
  readonly name?: string | undefined;
  readonly documentation?: string | undefined;
  /** Issuer identifiers, as in the `iss` of their tokens. */
  readonly authorizationServers: readonly string[];
  readonly scopes: readonly string[];
  /** Absent = proofs of possession are not understood. */
  readonly dpop?: { readonly algorithms: readonly string[]; readonly isRequired: boolean } | undefined;
  /** Whether tokens bound to a client certificate (RFC 8705) are accepted on the service's own listener. */
  readonly isCertificateBound: boolean;
}

export const protectedResourceView = z.object({
  resource: z.string(),
  authorization_servers: z.array(z.string()).optional(),
  scopes_supported: z.array(z.string()).optional(),
  bearer_methods_supported: z.array(z.string()),
  resource_name: z.string().optional(),
  resource_documentation: z.string().optional(),
  tls_client_certificate_bound_access_tokens: z.boolean(),
  dpop_signing_alg_values_supported: z.array(z.string()).optional(),
  dpop_bound_access_tokens_required: z.boolean().optional(),
});

const WELL_KNOWN = '/.well-known/oauth-protected-resource';

/** An hour: issuers and scopes change with a configuration, seldom. */
const CACHING = 'public, max-age=3600';

/** Between host and path of the identifier (RFC 9728 §3.1). */
export function metadataUrl({ identifier }: Pick<ProtectedResource, 'identifier'>): URL {
  return new URL(WELL_KNOWN + suffixOf(identifier), identifier.origin);
}

/** What every refusal says of it. */
export function challengeOptions(resource: ProtectedResource): ChallengeOptions {
  return { resourceMetadata: metadataUrl(resource).href, dpopAlgorithms: resource.dpop?.algorithms };
}

/** A parameter without a value is left out (RFC 9728 §3.2). */
function resourceMetadata(resource: ProtectedResource): z.infer<typeof protectedResourceView> {
  const { identifier, name, documentation, authorizationServers, scopes, dpop } = resource;
  return {
    resource: identifierText(identifier),
    ...(authorizationServers.length > 0 && { authorization_servers: [...authorizationServers] }),
    ...(scopes.length > 0 && { scopes_supported: [...scopes] }),
    // a token in a URL is kept by browsers, proxies and logs; one in a form may be a stranger's
    bearer_methods_supported: ['header'],
    ...(name !== undefined && { resource_name: name }),
    ...(documentation !== undefined && { resource_documentation: documentation }),
    tls_client_certificate_bound_access_tokens: resource.isCertificateBound,
    ...(dpop !== undefined && { dpop_signing_alg_values_supported: [...dpop.algorithms] }),
    ...(dpop?.isRequired === true && { dpop_bound_access_tokens_required: true }),
  };
}

/** Anybody may read it, and only at the address that its identifier gives: elsewhere it would prove nothing (§3.3). */
export function protectedResourceRoutes(resource: ProtectedResource) {
  const routes = new Hono<Env>();
  const document = resourceMetadata(resource);
  const path = metadataUrl(resource).pathname;
  for (const route of [WELL_KNOWN, `${WELL_KNOWN}/*`])
    routes.get(route, (c) => {
      if (c.req.path !== path)
        throw new BulkheadError('not_found', 'Another resource would be described here.');
      return c.json(document, 200, { 'cache-control': CACHING });
    });
  return routes;
}

function suffixOf({ pathname }: URL): string {
  return pathname === '/' ? '' : pathname;
}

/** As configured: a bare origin is written without its slash, which clients compare. */
function identifierText(identifier: URL): string {
  return identifier.pathname === '/' ? identifier.origin : identifier.href;
}
