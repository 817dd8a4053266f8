import type { AddressInfo } from 'node:net';
import { createAdaptorServer } from '@hono/node-server';
import type { BulkheadApp } from './app.ts';

export interface RunningServer {
  readonly port: number;
  /** Takes no new connection, lets running requests end, then cuts what is left. */
  close(): Promise<void>;
}

/** A batch may take a while to be sent; headers may not. */
const REQUEST_MS = 60 * 60_000;
const HEADERS_MS = 20_000;
const GRACE_MS = 10_000;

/** @throws Error of the system, `EADDRINUSE` among them */
export async function listen(
  app: Pick<BulkheadApp, 'fetch'>,
  { host, port }: { readonly host: string; readonly port: number },
): Promise<RunningServer> {
  const server = createAdaptorServer({
    fetch: app.fetch,
    hostname: host,
    serverOptions: { requestTimeout: REQUEST_MS, headersTimeout: HEADERS_MS },
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
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
