/** Stands before Qdrant, lets everything through, and keeps what was asked: to make it again, and to count writes. */
import { Agent, createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** One call as it was made. */
export interface Recorded {
  readonly method: string;
  readonly path: string;
  readonly body: string;
  readonly headers: Readonly<Record<string, string>>;
}

export interface QdrantProxy {
  readonly url: string;
  /** What was asked since the last call of this, in order. */
  take(): readonly Recorded[];
  close(): Promise<void>;
}

export async function startProxy(qdrantUrl: string): Promise<QdrantProxy> {
  const agent = new Agent({ keepAlive: true, maxSockets: 64 });
  let seen: Recorded[] = [];
  const server = createServer((incoming, outgoing) => {
    void readAll(incoming).then((body) => {
      const { method = 'GET', url: path = '/' } = incoming;
      seen.push({ method, path, body: body.toString('utf8'), headers: keyOf(incoming) });
      forward(agent, new URL(path, qdrantUrl), incoming, body, outgoing);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    take: () => {
      const taken = seen;
      seen = [];
      return taken;
    },
    close: async () => {
      agent.destroy();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Whether the call searches. Everything else that a search needs is not the search. */
export function isSearch({ method, path }: Recorded): boolean {
  return method === 'POST' && /\/points\/(query|search)(\/batch)?(\?|$)/.test(path);
}

/** Whether the call may change a point. */
export function isWrite({ method, path }: Recorded): boolean {
  if (method === 'GET' || isSearch({ method, path, body: '', headers: {} })) return false;
  return /\/points(\/(delete|payload|vectors|batch)[^?]*)?(\?|$)/.test(path);
}

function keyOf({ headers }: IncomingMessage): Record<string, string> {
  const key = headers['api-key'];
  return typeof key === 'string' ? { 'api-key': key } : {};
}

async function readAll(incoming: IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of incoming) parts.push(part as Buffer);
  return Buffer.concat(parts);
}

function forward(
  agent: Agent,
  url: URL,
  incoming: IncomingMessage,
  body: Buffer,
  outgoing: ServerResponse,
): void {
  const headers = { ...incoming.headers, host: url.host, 'content-length': String(body.length) };
  delete (headers as Record<string, unknown>)['transfer-encoding'];
  const sent = request(url, { agent, method: incoming.method, headers }, (response) => {
    outgoing.writeHead(response.statusCode ?? 502, response.headers);
    response.pipe(outgoing);
  });
  sent.on('error', () => outgoing.destroy());
  sent.end(body);
}
