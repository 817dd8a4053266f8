/** Where a command's requests go: to the server that runs, or to the whole program opened in this process. */
import type { BulkheadOptions } from '../assembly/server.ts';
import type { Config } from '../config/config.ts';
import { BulkheadError } from '../errors.ts';
import { dataFolderHolder } from '../store/data-folder-lock.ts';
import { pinnedFetch } from './pinned-fetch.ts';
import type { Terminal } from './terminal.ts';

export interface Connection {
  /** In words, for a person. */
  readonly where: string;
  /** It knows who asks: whoever runs the command. */
  readonly isOperators?: boolean;
  fetch(path: string, init?: RequestInit): Promise<Response>;
  close(): Promise<void>;
}

/**
 * The server named, or else the one that has the data folder, or else none: then its app answers here, the same
 * way. There is no other way to the data.
 * @throws BulkheadError `data_folder_locked` when whoever has the folder does not answer requests, and whatever
 *   keeps the program from opening
 */
export async function connect(
  config: Config,
  server: string | undefined,
  terminal: Terminal,
): Promise<Connection> {
  const named = server ?? config.serverUrl;
  if (named !== undefined) return overHttp(parseServer(named));
  // the indexer that may be running answers nobody
  if (config.role === 'indexer') return inProcess(config, terminal);
  const holder = dataFolderHolder(config.dataFolder);
  if (holder === undefined) return inProcess(config, terminal);
  if (holder.url !== undefined) return overHttp(new URL(holder.url), fetchFrom(holder.url, config));
  throw new BulkheadError(
    'data_folder_locked',
    `Process ${holder.pid} has the data folder ${config.dataFolder} and does not answer requests: a server that is starting, or another command. Try again when it is ready.`,
  );
}

/** Opens the program for this command alone. Its log holds only what went wrong, apart from the results. */
export async function inProcess(
  config: Config,
  terminal: Terminal,
  options: BulkheadOptions = {},
): Promise<Connection> {
  const { openBulkhead } = await import('../assembly/server.ts');
  const progress = terminal.progress('Loading the demo company');
  const isOperator = config.role === 'indexer';
  const logLevel = ['silent', 'fatal'].includes(config.logLevel) ? config.logLevel : 'error';
  const bulkhead = await openBulkhead(
    { ...config, logLevel },
    {
      logTo: { write: (line) => terminal.say(line.trimEnd()) },
      onDemoProgress: (done, total) => progress.update(done, total),
      isOperator,
      ...options,
    },
  ).finally(() => progress.end());
  return {
    where: isOperator
      ? 'Working on the index in this process, as its operator.'
      : `No server has the data folder ${config.dataFolder}; working on it in this process.`,
    isOperators: isOperator,
    fetch: async (path, init) => bulkhead.app.fetch(new Request(new URL(path, 'http://localhost'), init)),
    close: () => bulkhead.close(),
  };
}

/** The server that has this data folder shows the certificate that this configuration names. */
function fetchFrom(url: string, { certificate }: Config): typeof fetch {
  return url.startsWith('https:') && certificate !== undefined ? pinnedFetch(certificate.cert) : fetch;
}

function overHttp(server: URL, fetchThere: typeof fetch = fetch): Connection {
  const unreachable = (cause: unknown) =>
    new BulkheadError(
      'server_unreachable',
      `The server at ${server.origin} did not answer: ${reasonOf(cause)}.`,
      {
        cause,
      },
    );
  return {
    where: `Using the server at ${server.origin}.`,
    fetch: (path, init) =>
      fetchThere(new URL(path, server), init).catch((error: unknown) => Promise.reject(unreachable(error))),
    close: async () => {},
  };
}

function parseServer(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol === 'http:' || url?.protocol === 'https:') return url;
  throw new BulkheadError('config_invalid', `"${text}" is not the http or https address of a server.`);
}

/** `fetch` says only "fetch failed"; the reason is below. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.cause instanceof Error) return reasonOf(error.cause);
  return 'code' in error && typeof error.code === 'string' ? error.code : error.message;
}
