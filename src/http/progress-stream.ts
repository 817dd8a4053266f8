/** A long piece of work as an answer: lines of progress, and at the end what came of it. */
import { z } from '@hono/zod-openapi';
import { toBulkheadError } from '../errors.ts';
import { type Log, summarizeError } from '../telemetry/log.ts';

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

/** It is not broken off with the connection: it ends as if somebody listened. */
export function progressStream<T>(
  work: ProgressWork<T>,
  request: string,
  log: Log,
): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  let isRead = true;
  return new ReadableStream({
    start: (controller) => {
      const emit = (line: object) => {
        if (isRead) controller.enqueue(encoder.encode(`${JSON.stringify(line)}\n`));
      };
      work((done, total) => emit({ done, total }))
        .then((result) => emit({ result }))
        .catch((error: unknown) => {
          log.error({ request_id: request, error: summarizeError(error) }, 'work on the index broke off');
          const { code, detail } = toBulkheadError(error);
          emit({ error: { code, detail } });
        })
        .finally(() => {
          if (isRead) controller.close();
        });
    },
    cancel: () => {
      isRead = false;
    },
  });
}
