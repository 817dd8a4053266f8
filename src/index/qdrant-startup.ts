/** What is wrong with a server or a key is said once, at start, in one line. */
import { connect as connectSecurely } from 'node:tls';
import { BulkheadError, type ErrorCode } from '../errors.ts';
import { type Method, type QdrantAddress, QdrantFailure, QdrantHttp } from './qdrant-http.ts';
import type { QdrantNames } from './qdrant-names.ts';

/** The first that has ACORN and metadata of collections. */
const OLDEST = [1, 16] as const;

export interface ServerCheck extends QdrantAddress {
  readonly timeoutMs: number;
  readonly canWrite: boolean;
}

/**
 * @throws BulkheadError `index_unavailable` if the server does not answer, `config_invalid` if it is the wrong one
 *   or takes another key, `store_unsafe` if this process could do more there than it should
 */
export async function checkServer(options: ServerCheck, names: QdrantNames): Promise<void> {
  const { url, ca, canWrite } = options;
  const own = new Visit(options, options.timeoutMs);
  const stranger = new Visit({ url, ca }, options.timeoutMs);
  try {
    requireVersion(await own.ask('GET', '/'), own);
    const collections = namesIn(await own.ask('GET', '/collections'));
    if (await stranger.mayCall('GET', '/collections')) return requireLoopback(own);
    if (await mayManage(own)) {
      if (!canWrite) throw tooPowerful(own);
      return;
    }
    if (canWrite)
      throw own.problem('config_invalid', 'takes the key for reading only, and this process has to write');
    for (const name of [names.live, ...names.generations(collections)])
      if (await mayWriteTo(own, name)) throw tooPowerful(own);
  } finally {
    own.close();
    stranger.close();
  }
}

/** Requests of the start-up check: what fails is named for the operator. */
class Visit {
  readonly #http: QdrantHttp;
  readonly #url: URL;
  readonly #hasKey: boolean;
  readonly #timeoutMs: number;

  constructor(address: QdrantAddress, timeoutMs: number) {
    this.#http = new QdrantHttp(address);
    this.#url = new URL(address.url);
    this.#hasKey = address.key !== undefined;
    this.#timeoutMs = timeoutMs;
  }

  get isLoopback(): boolean {
    return /^(localhost|127(\.\d+){3}|\[::1\])$/.test(this.#url.hostname);
  }

  problem(code: ErrorCode, what: string, cause?: unknown): BulkheadError {
    return new BulkheadError(code, `Qdrant at ${this.#url.origin} ${what}.`, { cause });
  }

  async ask(method: Method, path: string, body?: unknown): Promise<unknown> {
    try {
      return await this.#http.call(method, path, body, this.#timeoutMs);
    } catch (error) {
      throw error instanceof QdrantFailure ? await this.#named(error) : error;
    }
  }

  /** Whether the server does it; a collection that is missing shows no power. */
  async mayCall(method: Method, path: string, body?: unknown): Promise<boolean> {
    try {
      await this.#http.call(method, path, body, this.#timeoutMs);
      return true;
    } catch (error) {
      if (!(error instanceof QdrantFailure)) throw error;
      if (error.reason === 'unauthorized' || error.reason === 'no-collection') return false;
      throw await this.#named(error);
    }
  }

  close(): void {
    this.#http.close();
  }

  async #named(failure: QdrantFailure): Promise<BulkheadError> {
    const { reason, code } = failure;
    if (reason === 'unauthorized')
      return this.problem(
        'config_invalid',
        this.#hasKey ? 'does not accept the key' : 'asks for a key',
        failure,
      );
    if (reason === 'timeout')
      return this.problem('index_unavailable', `did not answer within ${this.#timeoutMs} ms`, failure);
    if (reason === 'connection') return this.#namedConnection(String(code), failure);
    return this.problem('config_invalid', `does not answer as Qdrant does (${code})`, failure);
  }

  async #namedConnection(code: string, failure: QdrantFailure): Promise<BulkheadError> {
    const isSecure = this.#url.protocol === 'https:';
    if (isSecure && SPEAKS_PLAINLY.test(code))
      return this.problem('config_invalid', 'does not speak TLS, and the address says https', failure);
    if (isSecure && CERTIFICATE.test(code))
      return this.problem('config_invalid', `shows a certificate that is not trusted (${code})`, failure);
    if (!isSecure && BROKEN_OFF.test(code) && (await speaksTls(this.#url, this.#timeoutMs)))
      return this.problem('config_invalid', 'speaks TLS, and the address says http', failure);
    return this.problem('index_unavailable', `cannot be reached (${code})`, failure);
  }
}

const SPEAKS_PLAINLY = /^(EPROTO|ERR_SSL_)/;
const CERTIFICATE = /CERT|SIGNATURE|ERR_TLS|ISSUER/;
const BROKEN_OFF = /^(ECONNRESET|EPIPE|HPE_|unknown)/;

function speaksTls({ hostname, port }: URL, timeoutMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const host = hostname.replace(/^\[|\]$/g, '');
    // whose certificate it is does not matter: nothing is sent
    const socket = connectSecurely({ host, port: Number(port || 80), rejectUnauthorized: false });
    const end = (speaks: boolean) => {
      socket.destroy();
      resolve(speaks);
    };
    socket.setTimeout(timeoutMs, () => end(false));
    socket.once('secureConnect', () => end(true));
    socket.once('error', () => end(false));
  });
}

function requireVersion(answer: unknown, visit: Visit): void {
  const { title, version } = (answer ?? {}) as { readonly title?: unknown; readonly version?: unknown };
  const numbers = /^(\d+)\.(\d+)\./.exec(String(version));
  if (!String(title).startsWith('qdrant') || numbers === null)
    throw visit.problem('config_invalid', 'does not answer as Qdrant does');
  const [major, minor] = [Number(numbers[1]), Number(numbers[2])];
  if (major < OLDEST[0] || (major === OLDEST[0] && minor < OLDEST[1]))
    throw visit.problem('config_invalid', `is version ${version}; ${OLDEST.join('.')} or newer is needed`);
}

function namesIn(answer: unknown): readonly string[] {
  const collections = (answer as { readonly collections?: unknown } | null)?.collections;
  return Array.isArray(collections)
    ? collections.map((entry: { name?: unknown }) => String(entry?.name))
    : [];
}

/** A server without keys serves whoever reaches it; that is for one machine's own use. */
function requireLoopback(visit: Visit): void {
  if (!visit.isLoopback)
    throw visit.problem('store_unsafe', 'serves anybody without a key: set its API keys');
}

/** Changes nothing. */
function mayManage(visit: Visit): Promise<boolean> {
  return visit.mayCall('POST', '/collections/aliases', { actions: [] });
}

/** Removes nothing: chunk ids start at 1. */
function mayWriteTo(visit: Visit, collection: string): Promise<boolean> {
  return visit.mayCall('POST', `/collections/${collection}/points/delete?wait=true`, { points: [0] });
}

function tooPowerful(visit: Visit): BulkheadError {
  return visit.problem(
    'store_unsafe',
    'lets the key of this process write, which only searches: use the read-only key',
  );
}
