import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A key set endpoint of its own. */
export async function serveKeys(status: number, body: object): Promise<{ url: string; close: () => void }> {
  const server = createServer((_, response) => response.writeHead(status).end(JSON.stringify(body)));
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}/`, close: () => void server.close() };
}
