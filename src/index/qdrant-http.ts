/**
 * Requests to a Qdrant server. The types of its API come from `@qdrant/js-client-rest`; the requests do not: that
 * client goes through `fetch`, which costs a search about half a millisecond more than `node:http`, takes no
 * certificate authority, and puts the bodies of answers into its errors.
 */
import { Agent, type ClientRequest, type IncomingMessage, request as plainRequest } from 'node:http';
import { Agent as SecureAgent, request as secureRequest } from 'node:https';

/** Why a call failed, in words that name no point, filter or text. */
export class QdrantFailure extends Error {
  override readonly name = 'QdrantFailure';

  constructor(
    readonly reason: FailureReason,
    /** The HTTP status, or the system's code for a connection that failed. */
    readonly code: number | string,
    options: { readonly cause?: unknown } = {},
  ) {
    super(`Qdrant: ${reason} (${code})`, options);
  }
}

export type FailureReason =
  /** No connection, or one that broke. */
  | 'connection'
  | 'timeout'
  /** An answer that is not what Qdrant says. */
  | 'garbled'
  /** 5xx, 408 and 429: the server could not, for now. */
  | 'overloaded'
  | 'unauthorized'
  | 'no-collection'
  | 'exists'
  /** The collection holds vectors of another model. */
  | 'other-vectors'
  | 'refused';

export interface QdrantAddress {
  /** http or https, with an optional path prefix. */
  readonly url: string;
  readonly key?: string | undefined;
  /** PEM; absent = the authorities of the system. */
  readonly ca?: string | undefined;
}

export type Method = 'GET' | 'POST' | 'PUT' | 'DELETE';

const MOST_CONNECTIONS = 64;
const LONGEST_ANSWER_BYTES = 256 * 2 ** 20;
/** Enough of an error to tell which it is. */
const ERROR_PREFIX = 1_000;

export class QdrantHttp {
  readonly #base: URL;
  readonly #prefix: string;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #agent: Agent;
  readonly #request: typeof plainRequest;

  constructor({ url, key, ca }: QdrantAddress) {
    this.#base = new URL(url);
    this.#prefix = this.#base.pathname.replace(/\/$/, '');
    this.#headers = key === undefined ? {} : { 'api-key': key };
    const secure = this.#base.protocol === 'https:';
    const options = { keepAlive: true, maxSockets: MOST_CONNECTIONS };
    this.#agent = secure
      ? new SecureAgent({
          ...options,
          minVersion: 'TLSv1.2',
          // said, since node's own default is the environment's to change
          rejectUnauthorized: true,
          ...(ca === undefined ? {} : { ca }),
        })
      : new Agent(options);
    this.#request = secure ? secureRequest : plainRequest;
  }

  /**
   * What the API calls `result`, or the whole answer where it has none.
   * @param body a text is JSON already
   * @param timeoutMs from the request's first byte to the answer's last
   * @throws QdrantFailure
   */
  async call(method: Method, path: string, body: unknown, timeoutMs: number): Promise<unknown> {
    const { status, text } = await this.#exchange(method, path, body, timeoutMs);
    if (status < 200 || status > 299) throw failureOf(status, text);
    const answer = parse(text);
    return 'result' in answer ? answer.result : answer;
  }

  close(): void {
    this.#agent.destroy();
  }

  #exchange(method: Method, path: string, body: unknown, timeoutMs: number): Promise<Answer> {
    const sent =
      body === undefined ? undefined : Buffer.from(typeof body === 'string' ? body : JSON.stringify(body));
    return new Promise((resolve, reject) => {
      const request: ClientRequest = this.#request(
        {
          host: this.#base.hostname.replace(/^\[|\]$/g, ''),
          port: this.#base.port,
          path: this.#prefix + path,
          method,
          agent: this.#agent,
          headers:
            sent === undefined
              ? this.#headers
              : { ...this.#headers, 'content-type': 'application/json', 'content-length': sent.byteLength },
        },
        (response) => readAnswer(response).then(resolve, fail),
      );
      const timer = setTimeout(() => fail(new QdrantFailure('timeout', 'timeout')), timeoutMs);
      const fail = (error: Error) => {
        request.destroy();
        reject(error instanceof QdrantFailure ? error : connectionFailure(error));
      };
      request.on('error', fail);
      request.on('close', () => clearTimeout(timer));
      request.end(sent);
    });
  }
}

interface Answer {
  readonly status: number;
  readonly text: string;
}

async function readAnswer(response: IncomingMessage): Promise<Answer> {
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of response as AsyncIterable<Buffer>) {
    length += part.byteLength;
    if (length > LONGEST_ANSWER_BYTES) throw new QdrantFailure('garbled', 'too long');
    parts.push(part);
  }
  return { status: response.statusCode ?? 0, text: Buffer.concat(parts).toString('utf8') };
}

function connectionFailure(error: Error): QdrantFailure {
  const code = 'code' in error && typeof error.code === 'string' ? error.code : 'unknown';
  return new QdrantFailure('connection', code, { cause: error });
}

function parse(text: string): object {
  try {
    const answer: unknown = JSON.parse(text);
    if (typeof answer === 'object' && answer !== null) return answer;
  } catch {
    // said below: a parser's message quotes the text
  }
  throw new QdrantFailure('garbled', 'not JSON');
}

/** Qdrant has no error codes but the status; its words tell some of them apart. */
function failureOf(status: number, text: string): QdrantFailure {
  return new QdrantFailure(reasonOf(status, text.slice(0, ERROR_PREFIX)), status);
}

function reasonOf(status: number, text: string): FailureReason {
  if (status === 401 || status === 403) return 'unauthorized';
  if (status === 404) return 'no-collection';
  if (status === 409) return 'exists';
  if (status >= 500 || status === 408 || status === 429) return 'overloaded';
  if (/Not existing vector name|Vector dimension error/.test(text)) return 'other-vectors';
  return 'refused';
}
