/** The HTTP API as commands use it. */
import type { Config } from '../config/config.ts';
import { BulkheadError } from '../errors.ts';
import type { Problem } from '../http/problem.ts';
import { type Connection, connect, reasonOf } from './connection.ts';
import { bearerOf } from './credentials.ts';
import { RefusedError } from './problem.ts';
import type { Terminal } from './terminal.ts';

export interface ClientOptions {
  readonly as?: string | undefined;
  readonly server?: string | undefined;
  readonly verbose?: boolean | undefined;
}

type Query = Readonly<Record<string, string | number | undefined>>;

export interface ApiClient {
  /**
   * @returns the body as the API describes it; `undefined` where there is none
   * @throws RefusedError for a problem of the API; BulkheadError `server_unreachable`
   */
  call<T>(
    method: string,
    path: string,
    options?: { readonly query?: Query; readonly body?: object },
  ): Promise<T>;
  /** Sends lines while the lines of the answer come in. */
  exchange<T>(path: string, lines: AsyncIterable<string>): Promise<AsyncIterable<T>>;
  close(): Promise<void>;
}

/** @throws BulkheadError as `connect` does, and what `bearerOf` throws */
export async function openClient(
  config: Config,
  options: ClientOptions,
  terminal: Terminal,
): Promise<ApiClient> {
  return clientOver(await connect(config, options.server, terminal), config, options, terminal);
}

/** Takes the connection over: it is closed when there is nobody to act as. */
export async function clientOver(
  connection: Connection,
  config: Config,
  options: ClientOptions,
  terminal: Terminal,
): Promise<ApiClient> {
  if (options.verbose === true) terminal.say(connection.where);
  try {
    if (connection.isOperators === true) return new FetchClient(connection, {});
    const authorization = `Bearer ${await bearerOf(config, options.as, () => baseUrlOf(connection))}`;
    return new FetchClient(connection, { authorization });
  } catch (error) {
    await connection.close();
    throw error;
  }
}

/** The server's own word for its address, which need not be the one it is reached by. */
export async function baseUrlOf(connection: Connection): Promise<string> {
  const description = await readBody<{ servers?: { url: string }[] }>(
    await connection.fetch('/openapi.json'),
  );
  const url = description.servers?.[0]?.url;
  if (url === undefined) throw notBulkhead();
  return url;
}

class FetchClient implements ApiClient {
  readonly #connection: Connection;
  readonly #credentials: Readonly<Record<string, string>>;

  /** @param credentials headers that say who asks */
  constructor(connection: Connection, credentials: Readonly<Record<string, string>>) {
    this.#connection = connection;
    this.#credentials = credentials;
  }

  async call<T>(
    method: string,
    path: string,
    { query = {}, body }: { query?: Query; body?: object } = {},
  ): Promise<T> {
    const search = searchOf(query);
    const response = await this.#connection.fetch(`${path}${search}`, {
      method,
      headers: {
        ...this.#credentials,
        ...(body !== undefined && { 'content-type': 'application/json' }),
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    return readBody<T>(response);
  }

  async exchange<T>(path: string, lines: AsyncIterable<string>): Promise<AsyncIterable<T>> {
    const response = await this.#connection.fetch(path, {
      method: 'POST',
      headers: { ...this.#credentials, 'content-type': 'application/x-ndjson' },
      body: ReadableStream.from(encoded(lines)) as ReadableStream<Uint8Array>,
      duplex: 'half',
    });
    if (!response.ok || response.body === null) throw await refusalOf(response);
    return parsedLines<T>(response.body);
  }

  close(): Promise<void> {
    return this.#connection.close();
  }
}

function searchOf(query: Query): string {
  const given = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value !== undefined) given.set(name, String(value));
  return given.size === 0 ? '' : `?${given}`;
}

async function* encoded(lines: AsyncIterable<string>): AsyncGenerator<Uint8Array> {
  const encoder = new TextEncoder();
  for await (const line of lines) yield encoder.encode(`${line}\n`);
}

/** @throws BulkheadError `server_unreachable` when the stream breaks off */
async function* parsedLines<T>(body: ReadableStream<Uint8Array>): AsyncGenerator<T> {
  const decoder = new TextDecoder();
  let rest = '';
  try {
    for await (const chunk of body) {
      const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) yield JSON.parse(line) as T;
    }
  } catch (cause) {
    throw new BulkheadError('server_unreachable', `The server broke off its answer: ${reasonOf(cause)}.`, {
      cause,
    });
  }
}

async function readBody<T>(response: Response): Promise<T> {
  if (!response.ok) throw await refusalOf(response);
  if (response.status === 204) return undefined as T;
  return response.json().catch(() => Promise.reject(notBulkhead())) as Promise<T>;
}

async function refusalOf(response: Response): Promise<Error> {
  const problem = (await response.json().catch(() => undefined)) as Partial<Problem> | undefined;
  if (problem?.code === undefined || problem.detail === undefined) return notBulkhead();
  return new RefusedError(problem.code, problem.detail, problem.errors);
}

function notBulkhead(): BulkheadError {
  return new BulkheadError('server_unreachable', 'What answered there does not speak the API of Bulkhead.');
}
