/**
 * What the other end of the connection proved about itself in the TLS handshake. Headers that a proxy may set, such as
 * `X-Forwarded-Client-Cert`, are never looked at: whoever reaches the listener can write them.
 */
import { type DetailedPeerCertificate, TLSSocket } from 'node:tls';
import type { HttpBindings } from '@hono/node-server';
import type { Context } from 'hono';
import type { ClientCertificate } from '../identity/credentials.ts';
import type { Env } from './env.ts';

/** More than any chain that is meant to be followed. */
const LONGEST_CHAIN = 8;

/** Reading them costs more than a request's share, and they stay the same for a connection's life. */
const read = new WeakMap<TLSSocket, ClientCertificate>();

/**
 * The client certificate of the request's connection, verified by the listener against the configured authorities when
 * the connection began; `undefined` when there is none, or it did not verify. Whether it still holds is asked anew for
 * each request, see identity/client-certificates.ts.
 */
export function peerCertificate(c: Pick<Context<Env>, 'env'>): ClientCertificate | undefined {
  const socket = (c.env as Partial<HttpBindings> | undefined)?.incoming?.socket;
  if (!(socket instanceof TLSSocket) || !socket.authorized) return undefined;
  const known = read.get(socket);
  if (known !== undefined) return known;
  const [raw, ...issuers] = chainOf(socket.getPeerCertificate(true));
  if (raw === undefined) return undefined;
  const certificate = { raw, issuers };
  read.set(socket, certificate);
  return certificate;
}

/** Node links each certificate to its issuer, and a root to itself. */
function chainOf(first: Partial<DetailedPeerCertificate>): readonly Uint8Array[] {
  const chain: Uint8Array[] = [];
  let at: Partial<DetailedPeerCertificate> | undefined = first;
  while (at?.raw !== undefined && chain.length < LONGEST_CHAIN) {
    chain.push(at.raw);
    at = at.issuerCertificate === at ? undefined : at.issuerCertificate;
  }
  return chain;
}
