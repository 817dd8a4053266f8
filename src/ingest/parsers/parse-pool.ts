/**
 * Parsing in a thread of its own, with limits. The formats' libraries take quadratic time, or worse, on what was
 * made for it: a document may cost its own result, never the other work of the process.
 */
import { Worker } from 'node:worker_threads';
import { BulkheadError } from '../../errors.ts';
import type { ParsedDocument } from './document.ts';
import { type ParseReply, type ParseRequest, unpack } from './parse-protocol.ts';

export interface DocumentParser {
  /**
   * Decodes and parses one document.
   * @throws BulkheadError of the decoder or the parser; `unparsable` when it takes too long or too much memory;
   *   `shutting_down` when the parser is closed first
   */
  parse(bytes: Uint8Array, mediaType: string): Promise<ParsedDocument>;
  /**
   * The raw front matter of a Markdown document, whose body is not parsed; `undefined` without one.
   * @throws BulkheadError as `parse`
   */
  readFrontMatter(bytes: Uint8Array): Promise<unknown>;
}

export interface ParsePoolOptions {
  /** Milliseconds for one document, from when the worker starts on it; 5000 by default. */
  readonly deadlineMs?: number;
  /** The worker's heap in megabytes; 256 by default. */
  readonly maxHeapMb?: number;
}

type Answer = Exclude<ParseReply, { readonly kind: 'ready' | 'refused' }>;

interface Job {
  readonly request: ParseRequest;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: BulkheadError) => void;
}

/** One worker, started with the first document; it parses one after another, in the order they came. */
export class ParsePool implements DocumentParser {
  readonly #deadlineMs: number;
  readonly #maxHeapMb: number;
  #queue: Job[] = [];
  /** What the worker is at. */
  #job: Job | undefined;
  #deadline: NodeJS.Timeout | undefined;
  #worker: Worker | undefined;
  #isReady = false;
  #isClosed = false;
  /** Resolves when the workers that were ended are gone. */
  #ended: Promise<unknown> = Promise.resolve();

  constructor({ deadlineMs = 5_000, maxHeapMb = 256 }: ParsePoolOptions = {}) {
    this.#deadlineMs = deadlineMs;
    this.#maxHeapMb = maxHeapMb;
  }

  async parse(bytes: Uint8Array, mediaType: string): Promise<ParsedDocument> {
    const answer = await this.#run({ kind: 'document', bytes, mediaType });
    if (answer.kind === 'document') return unpack(answer.document);
    throw new BulkheadError('internal', 'The parser answered another question.');
  }

  async readFrontMatter(bytes: Uint8Array): Promise<unknown> {
    const answer = await this.#run({ kind: 'front matter', bytes, mediaType: 'text/markdown' });
    if (answer.kind === 'front matter') return answer.data;
    throw new BulkheadError('internal', 'The parser answered another question.');
  }

  /** Ends the worker; what is under way or waits is rejected with `shutting_down`. */
  async close(): Promise<void> {
    this.#isClosed = true;
    const waiting = this.#queue;
    this.#queue = [];
    this.#end(closed());
    for (const job of waiting) job.reject(closed());
    await this.#ended;
  }

  #run(request: ParseRequest): Promise<Answer> {
    return new Promise((resolve, reject) => {
      if (this.#isClosed) return reject(closed());
      this.#queue.push({ request, resolve, reject });
      this.#next();
    });
  }

  #next(): void {
    if (this.#job !== undefined || this.#queue.length === 0) return;
    this.#worker ??= this.#start();
    if (!this.#isReady) return;
    const job = this.#queue.shift();
    if (job === undefined) return;
    this.#job = job;
    this.#deadline = setTimeout(() => this.#late(job), this.#deadlineMs);
    // a view may be a small part of a large buffer, all of which would be sent
    const bytes = new Uint8Array(job.request.bytes);
    this.#worker.postMessage({ ...job.request, bytes } satisfies ParseRequest, [bytes.buffer]);
  }

  /** The environment stays behind: a parser needs none of it, and it holds secrets. */
  #start(): Worker {
    const worker = new Worker(new URL('./parse-entry.mjs', import.meta.url), {
      env: {},
      execArgv: [],
      resourceLimits: { maxOldGenerationSizeMb: this.#maxHeapMb },
    });
    const died = (cause: unknown) => {
      if (this.#worker === worker) this.#lost(cause);
    };
    worker.on('message', (reply: ParseReply) => {
      if (this.#worker === worker) this.#take(reply);
    });
    worker.on('messageerror', died);
    worker.on('error', died);
    worker.on('exit', (code) => died(new Error(`exit code ${code}`)));
    return worker;
  }

  #take(reply: ParseReply): void {
    if (reply.kind === 'ready') {
      this.#isReady = true;
    } else {
      const job = this.#release();
      if (reply.kind === 'refused')
        job?.reject(new BulkheadError(reply.code, reply.detail, { issues: reply.issues }));
      else job?.resolve(reply);
    }
    this.#next();
  }

  /** When this thread was busy, the answer may be here already, unread: it is read before an immediate runs. */
  #late(job: Job): void {
    setImmediate(() => {
      if (this.#job !== job) return;
      const limit = `${this.#deadlineMs / 1000} seconds`;
      this.#end(new BulkheadError('unparsable', `The document took longer than ${limit} to read.`));
      this.#next();
    });
  }

  /** The worker died; whatever it was at is not tried again, or it would take the next one with it. */
  #lost(cause: unknown): void {
    const isTooLarge = (cause as { code?: unknown } | null)?.code === 'ERR_WORKER_OUT_OF_MEMORY';
    const detail = isTooLarge
      ? `The document took more than ${this.#maxHeapMb} MB of memory to read.`
      : 'The document could not be read.';
    const error = this.#isReady
      ? new BulkheadError('unparsable', detail, { cause })
      : new BulkheadError('internal', 'The parser could not be started.', { cause });
    // one that does not start is not started without end: each try is answered for by a document
    const waiting = this.#isReady ? undefined : this.#queue.shift();
    this.#end(error);
    waiting?.reject(error);
    this.#next();
  }

  #end(error: BulkheadError): void {
    const worker = this.#worker;
    this.#worker = undefined;
    this.#isReady = false;
    this.#ended = Promise.all([this.#ended, worker?.terminate()]);
    this.#release()?.reject(error);
  }

  #release(): Job | undefined {
    const job = this.#job;
    this.#job = undefined;
    clearTimeout(this.#deadline);
    return job;
  }
}

function closed(): BulkheadError {
  return new BulkheadError('shutting_down', 'The parser was closed.');
}
