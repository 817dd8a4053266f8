/** The one place where credentials become a caller: for the API from its header, for pages from their session. */
import type { HttpBindings } from '@hono/node-server';
import type { Context } from 'hono';
import { BulkheadError } from '../errors.ts';
import type { PresentedCredentials } from '../identity/credentials.ts';
import type { VerifiedCaller } from '../identity/verify-token.ts';
import { instant } from '../policy/ids.ts';
import { formatPrincipal } from '../policy/principal.ts';
import type { CallerIdentity } from '../store/authority.ts';
import type { Env } from './env.ts';
import { peerCertificate } from './peer-certificate.ts';

/** The scheme is compared without case (RFC 9110 §11.1); a token in the query or a cookie is never looked at. */
const CREDENTIALS = /^(bearer|dpop) +(\S+) *$/i;
const BEARER = /^bearer +(\S+) *$/i;

/**
 * What a request presents. A header that cannot be read is a refusal, never as if it had not been sent.
 * @param publicUrl as callers see this service
 * @throws BulkheadError `missing_token`, `invalid_token`
 */
export function presentedCredentials(c: Context<Env>, publicUrl: URL): PresentedCredentials {
  const actorAuthorization = c.req.header('actor-authorization');
  const actorToken = BEARER.exec(actorAuthorization ?? '')?.[1];
  if (actorAuthorization !== undefined && actorToken === undefined)
    throw new BulkheadError('invalid_token', 'Send the service’s token as "Actor-Authorization: Bearer …".');
  const socket = socketOf(c);
  return {
    ...readAuthorization(c.req.header('authorization')),
    proof: c.req.header('dpop'),
    method: c.req.method,
    // put together as text: a path that begins with two slashes would name another host
    url: new URL(publicUrl.origin + c.req.path),
    clientCertificate: peerCertificate(c),
    actorToken,
    address: socket?.remoteAddress,
  };
}

/** @throws BulkheadError `missing_token` for a header that holds none */
export function readAuthorization(
  header: string | undefined,
): Pick<PresentedCredentials, 'scheme' | 'token'> {
  if (header === undefined) return { scheme: 'Bearer' };
  const [, scheme, token] = CREDENTIALS.exec(header) ?? [];
  if (scheme === undefined)
    throw new BulkheadError('missing_token', 'Send an access token as "Authorization: Bearer …".');
  return { scheme: scheme.toLowerCase() === 'dpop' ? 'DPoP' : 'Bearer', token };
}

/** Absent where a request did not come over a connection, as in tests and commands on this machine. */
function socketOf(c: Context<Env>) {
  return (c.env as Partial<HttpBindings> | undefined)?.incoming?.socket;
}

/** Names are put together from the issuer's own name, so two issuers never meet in one principal. */
export function toIdentity(caller: VerifiedCaller): CallerIdentity {
  const { issuer, kind, id, groups, actor, authTime } = caller;
  return {
    tenant: caller.tenant,
    user: formatPrincipal({ kind, issuer, id }),
    tokenGroups:
      groups === 'unknown'
        ? 'unknown'
        : groups.map((group) => formatPrincipal({ kind: 'group', issuer, id: group })),
    actor: actor && formatPrincipal({ kind: 'service', issuer: actor.issuer, id: actor.id }),
    acr: caller.acr,
    authTime: authTime === undefined ? undefined : instant(authTime),
    revocable: caller.revocable,
    rights: caller.rights,
  };
}
