/** How long requests take, for whoever runs the service: counts by kind of route and outcome, and nothing else. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

type RouteKind = 'retrieve' | 'documents' | 'administration' | 'audit' | 'operation' | 'page';
/** By status: below 400, below 500, the rest. */
type Outcome = 'answered' | 'refused' | 'failed';

export interface ObservedRequest {
  /** The pattern, as in the access log. */
  readonly route: string;
  readonly status: number;
  readonly ms: number;
  /** The limit that it met. */
  readonly limit?: string | undefined;
}

/** Upper bounds in seconds; the targets of the bench lie between 0.05 and 0.5. */
const BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10];

const NAME = 'bulkhead_request_duration_seconds';
const LIMITED = 'bulkhead_rate_limited_total';

interface Series {
  /** One for each bound and one for what is above them; not yet added up. */
  readonly counts: number[];
  sum: number;
}

/**
 * A histogram of request durations in Prometheus' text format (version 0.0.4). Its labels are two closed lists: no
 * caller, tenant, document, container or query can be told from it, only how busy and how slow the process is.
 */
export class RequestMetrics {
  readonly #series = new Map<string, Series>();
  /** By limit, of which there are few. */
  readonly #limited = new Map<string, number>();

  observe({ route, status, ms, limit }: ObservedRequest): void {
    if (limit !== undefined) this.#limited.set(limit, (this.#limited.get(limit) ?? 0) + 1);
    const labels = `route="${kindOf(route)}",outcome="${outcomeOf(status)}"`;
    const series = this.#series.get(labels) ?? {
      counts: Array.from({ length: BUCKETS.length + 1 }, () => 0),
      sum: 0,
    };
    this.#series.set(labels, series);
    const seconds = ms / 1000;
    const place = BUCKETS.findIndex((bound) => seconds <= bound);
    const bucket = place === -1 ? BUCKETS.length : place;
    series.counts[bucket] = (series.counts[bucket] ?? 0) + 1;
    series.sum += seconds;
  }

  text(): string {
    const lines = [`# HELP ${NAME} Time from a request to its answer.`, `# TYPE ${NAME} histogram`];
    for (const [labels, { counts, sum }] of [...this.#series].sort(([a], [b]) => (a < b ? -1 : 1))) {
      let total = 0;
      for (const [i, count] of counts.entries()) {
        total += count;
        lines.push(`${NAME}_bucket{${labels},le="${BUCKETS[i] ?? '+Inf'}"} ${total}`);
      }
      lines.push(`${NAME}_sum{${labels}} ${Number(sum.toFixed(6))}`, `${NAME}_count{${labels}} ${total}`);
    }
    if (this.#limited.size > 0)
      lines.push(`# HELP ${LIMITED} Requests refused by a limit.`, `# TYPE ${LIMITED} counter`);
    for (const [limit, count] of [...this.#limited].sort(([a], [b]) => (a < b ? -1 : 1)))
      lines.push(`${LIMITED}{limit="${limit}"} ${count}`);
    return `${lines.join('\n')}\n`;
  }
}

function outcomeOf(status: number): Outcome {
  if (status < 400) return 'answered';
  return status < 500 ? 'refused' : 'failed';
}

const KINDS: readonly (readonly [RouteKind, RegExp])[] = [
  ['retrieve', /^\/v1\/(retrieve|explain)$/],
  ['documents', /^\/v1\/documents/],
  ['audit', /^\/v1\/audit/],
  ['administration', /^\/v1\//],
  ['operation', /^\/(healthz|readyz|openapi\.json)$/],
];

function kindOf(route: string): RouteKind {
  return KINDS.find(([, pattern]) => pattern.test(route))?.[0] ?? 'page';
}

export interface MetricsListener {
  readonly port: number;
  close(): Promise<void>;
}

/**
 * Serves `/metrics` on a port of its own, so that what may scrape needs no way to the API.
 * @throws Error of the system, `EADDRINUSE` among them
 */
export async function listenForMetrics(
  metrics: RequestMetrics,
  { host, port }: { readonly host: string; readonly port: number },
): Promise<MetricsListener> {
  const server = createServer((request, response) => {
    if (request.method === 'GET' && request.url === '/metrics')
      response.setHeader('content-type', 'text/plain; version=0.0.4').end(metrics.text());
    else response.writeHead(404).end();
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
