import { createServer as createSecureServer, Server as SecureServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { createSecureContext, type SecureContextOptions } from 'node:tls';
import { createAdaptorServer } from '@hono/node-server';
import { BulkheadError } from '../errors.ts';
import type { BulkheadApp } from './app.ts';

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
}

export interface RunningServer {
  readonly port: number;
  readonly scheme: 'http' | 'https';
  /**
   * Shows this certificate to whoever connects from now on; connections that are open keep theirs.
   * @throws BulkheadError `config_invalid` when it cannot be used, and the present one stays
   */
  renewCertificate(certificate: Certificate): void;
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
  app: Pick<BulkheadApp, 'fetch'>,
  { host, port, certificate }: ListenOptions,
): Promise<RunningServer> {
  const timeouts = { requestTimeout: REQUEST_MS, headersTimeout: HEADERS_MS };
  const server = createAdaptorServer({
    fetch: app.fetch,
    hostname: host,
    ...(certificate === undefined
      ? { serverOptions: timeouts }
      : { createServer: createSecureServer, serverOptions: { ...timeouts, ...tlsOptions(certificate) } }),
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    scheme: certificate === undefined ? 'http' : 'https',
    renewCertificate: (renewed) => {
      if (server instanceof SecureServer) server.setSecureContext(tlsOptions(renewed));
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
function tlsOptions({ cert, key }: Certificate): SecureContextOptions {
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
  return options;
}

/** OpenSSL's own words: `key values mismatch`, `no start line`, `ee key too small`. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return 'reason' in error && typeof error.reason === 'string' ? error.reason : error.message;
}
