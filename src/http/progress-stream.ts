/** A long piece of work as an answer: lines of progress, and at the end what came of it. */
import { z } from '@hono/zod-openapi';
import { toBulkheadError } from '../errors.ts';
import { type Log, summarizeError } from '../telemetry/log.ts';
import { type StreamWatch, whileHolding } from './stream-watch.ts';

const count = z.int().nonnegative();

/** The lines of such an answer; the last one has the result, or says why there is none. */
export function progressLine<T extends z.ZodType>(result: T) {
  return z.union([
    z.strictObject({ done: count, total: count }),
    z.strictObject({ result }),
    z.strictObject({ error: z.strictObject({ code: z.string(), detail: z.string() }) }),
  ]);
}

export type ProgressWork<T> = (onProgress: (done: number, total: number) => void) => Promise<T>;

export interface ProgressOptions<T> {
  readonly request: string;
  readonly log: Log;
  /** Whether the caller may still be told. */
  readonly watch: StreamWatch;
  /** The last line of all that went well. */
  readonly toLine?: (result: T) => object;
}

/** It is not broken off with the connection, or with its caller's credentials: it ends as if somebody listened. */
export function progressStream<T>(
  work: ProgressWork<T>,
  { request, log, watch, toLine = (result) => ({ result }) }: ProgressOptions<T>,
): ReadableStream<Uint8Array> {
  const lines = new Lines();
  const done = work((done, total) => lines.add({ done, total })).then(toLine);
  done.then(
    (line) => lines.end(line),
    (error: unknown) => {
      log.error({ request_id: request, error: summarizeError(error) }, 'work broke off');
      lines.end(errorLine(error));
    },
  );
  return new ReadableStream({
    start: (controller) => void relay(lines, watch, controller),
    cancel: () => lines.close(),
  });
}

/** Never throws: the status has been sent, so what goes wrong now is the last line. */
async function relay(
  lines: Lines,
  watch: StreamWatch,
  controller: ReadableStreamDefaultController<Uint8Array>,
): Promise<void> {
  const encoder = new TextEncoder();
  const emit = (line: object) => {
    if (!lines.isClosed) controller.enqueue(encoder.encode(`${JSON.stringify(line)}\n`));
  };
  try {
    for await (const line of whileHolding(lines.all(), watch)) emit(line);
  } catch (error) {
    emit(errorLine(error));
  }
  if (!lines.isClosed) controller.close();
  lines.close();
}

function errorLine(error: unknown) {
  const { code, detail } = toBulkheadError(error);
  return { error: { code, detail } };
}

/** What was said and not yet read; of progress the last counts. */
class Lines {
  #progress: object | undefined;
  #last: object | undefined;
  #isClosed = false;
  #wake: () => void = () => {};

  add(progress: object): void {
    this.#progress = progress;
    this.#wake();
  }

  end(line: object): void {
    this.#last = line;
    this.#wake();
  }

  /** Nobody reads any more. */
  close(): void {
    this.#isClosed = true;
    this.#wake();
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  async *all(): AsyncGenerator<object> {
    while (!this.#isClosed) {
      const progress = this.#progress;
      this.#progress = undefined;
      if (progress !== undefined) yield progress;
      else if (this.#last !== undefined) {
        yield this.#last;
        return;
      } else
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
    }
  }
}
