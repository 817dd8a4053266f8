import { createServer as createSecureServer, Server as SecureServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { createSecureContext, type TlsOptions } from 'node:tls';
import { createAdaptorServer } from '@hono/node-server';
import { BulkheadError } from '../errors.ts';
import type { BulkheadApp } from './app.ts';
import { lingerOnClose } from './linger.ts';
import { answerUnread, MAX_HEADER_BYTES } from './unread-requests.ts';

/** PEM: the certificate with what links it to an authority, and its private key. */
export interface Certificate {
  readonly cert: string;
  readonly key: string;
}

export interface ListenOptions {
  readonly host: string;
  readonly port: number;
  /** Absent = plain HTTP. */
  readonly certificate?: Certificate | undefined;
  /** PEM: clients are asked for a certificate of one of these, and answered without one too. None = not asked. */
  readonly clientAuthorities?: readonly string[] | undefined;
}

export interface RunningServer {
  readonly port: number;
  readonly scheme: 'http' | 'https';
  /**
   * Shows this certificate to whoever connects from now on, and verifies theirs against these authorities, of which
   * there are some or none as there were at the start; connections that are open keep theirs.
   * @throws BulkheadError `config_invalid` when they cannot be used, and the present ones stay
   */
  renewCertificate(certificate: Certificate, clientAuthorities?: readonly string[]): void;
  /** Takes no new connection, lets running requests end, then cuts what is left. */
  close(): Promise<void>;
}

/** A batch may take a while to be sent; headers may not. */
const REQUEST_MS = 60 * 60_000;
const HEADERS_MS = 20_000;
const GRACE_MS = 10_000;

/**
 * @throws Error of the system, `EADDRINUSE` among them; BulkheadError `config_invalid` for a certificate that cannot be
 *   used
 */
export async function listen(
  app: Pick<BulkheadApp, 'fetch'> & Partial<Pick<BulkheadApp, 'headersTooLarge'>>,
  { host, port, certificate, clientAuthorities = [] }: ListenOptions,
): Promise<RunningServer> {
  const timeouts = {
    requestTimeout: REQUEST_MS,
    headersTimeout: HEADERS_MS,
    maxHeaderSize: MAX_HEADER_BYTES,
  };
  const server = createAdaptorServer({
    fetch: app.fetch,
    hostname: host,
    ...(certificate === undefined
      ? { serverOptions: timeouts }
      : {
          createServer: createSecureServer,
          serverOptions: { ...timeouts, ...tlsOptions(certificate, clientAuthorities) },
        }),
  });
  answerUnread(server, () => app.headersTooLarge?.());
  lingerOnClose(server);
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    scheme: certificate === undefined ? 'http' : 'https',
    renewCertificate: (renewed, authorities = clientAuthorities) => {
      if (server instanceof SecureServer) server.setSecureContext(tlsOptions(renewed, authorities));
    },
    close: () =>
      new Promise((resolve) => {
        const cut = setTimeout(
          () => 'closeAllConnections' in server && server.closeAllConnections(),
          GRACE_MS,
        );
        server.close(() => {
          clearTimeout(cut);
          resolve();
        });
      }),
  };
}

/** TLS 1.2 and 1.3 only (RFC 8996 retires what came before). */
function tlsOptions({ cert, key }: Certificate, clientAuthorities: readonly string[]): TlsOptions {
  const options = { cert, key, minVersion: 'TLSv1.2' } as const;
  try {
    createSecureContext(options);
  } catch (error) {
    throw new BulkheadError(
      'config_invalid',
      `The certificate in BULKHEAD_TLS_CERT and the key in BULKHEAD_TLS_KEY cannot be used: ${reasonOf(error)}.`,
      { cause: error },
    );
  }
  if (clientAuthorities.length === 0) return options;
  // who shows none may have a token: whether one was verified is asked where it is used
  return { ...options, ca: [...clientAuthorities], requestCert: true, rejectUnauthorized: false };
}

/** OpenSSL's own words: `key values mismatch`, `no start line`, `ee key too small`. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return 'reason' in error && typeof error.reason === 'string' ? error.reason : error.message;
}
