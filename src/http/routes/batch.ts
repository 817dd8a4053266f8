import { BulkheadError, type ErrorCode, toBulkheadError } from '../../errors.ts';
import type { IngestResult, Submission } from '../../ingest/submission.ts';
import { type Log, summarizeError } from '../../telemetry/log.ts';
import { mediaTypeOf } from '../body.ts';
import type { WatchCaller } from '../caller-watch.ts';
import { newRoutes } from '../env.ts';
import { type Line, type LineBounds, readLines } from '../ndjson.ts';
import { batchResultView } from '../schemas.ts';
import type { Caller, Services } from '../services.ts';
import { type StreamWatch, whileHolding } from '../stream-watch.ts';
import { parseSubmission, uploadBody, uploadView } from '../uploads.ts';
import { present } from '../validation.ts';

const MEDIA_TYPES = ['application/x-ndjson', 'application/jsonl'];
const BOUNDS: LineBounds = { maxLines: 10_000, maxLineBytes: 2_000_000 };

const description = {
  method: 'post',
  path: '/v1/documents:batch',
  summary: 'Add up to 10,000 documents, one JSON object of at most 2 MB a line',
  request: { body: { required: true, content: { 'application/x-ndjson': { schema: uploadBody } } } },
  responses: {
    200: {
      description: 'One line for each document, as it completes; a failed one stops no other.',
      content: { 'application/x-ndjson': { schema: batchResultView } },
    },
  },
} as const;

/** Writes one line; nothing once the reader has gone. */
type Emit = (line: object) => void;

interface BatchOptions {
  readonly log: Log;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

export function batchRoutes(
  services: Services,
  { log, now }: BatchOptions,
  watchCaller: WatchCaller,
  bounds = BOUNDS,
) {
  const routes = newRoutes();
  // registered by hand: the body is a stream, which nothing may read before the handler does
  routes.openAPIRegistry.registerPath(description);
  routes.post(description.path, async (c) => {
    if (!MEDIA_TYPES.includes(mediaTypeOf(c.req.header('content-type'))))
      throw new BulkheadError('unsupported_media_type', 'A batch is sent as application/x-ndjson.');
    const output = openOutput();
    const lines = readLines(c.req.raw.body ?? new ReadableStream(closeAtOnce), bounds);
    const caller = c.get('caller');
    // rejects here, with a status of its own, when the caller may not send anything
    const results = await services.ingest.many(caller, parseLines(lines, output.emit));
    const expiresInMs = () => (caller.expiresAt ?? Number.POSITIVE_INFINITY) - now();
    const watch = watchCaller(caller, description.path, expiresInMs);
    void relay(whileHolding(endingWith(results, watch), watch), output, caller, log);
    return c.body(output.stream, 200, { 'content-type': 'application/x-ndjson' });
  });
  return routes;
}

const closeAtOnce = { start: (controller: ReadableStreamDefaultController) => controller.close() };

/**
 * The answer as a stream. It is not held back by a slow reader: lines are short and their number is bounded, and
 * a sender that reads nothing until all is sent must not wait for itself.
 */
function openOutput() {
  const encoder = new TextEncoder();
  let controller: ReadableStreamDefaultController<Uint8Array> | undefined;
  const state = { abandoned: false };
  const stream = new ReadableStream<Uint8Array>({
    start: (opened) => {
      controller = opened;
    },
    cancel: () => {
      state.abandoned = true;
    },
  });
  const emit: Emit = (line) => {
    if (!state.abandoned) controller?.enqueue(encoder.encode(`${JSON.stringify(line)}\n`));
  };
  const close = () => {
    if (!state.abandoned) controller?.close();
  };
  return { stream, emit, close, state };
}

/** The uploads among the lines; each bad line becomes a result of its own on the spot. */
async function* parseLines(lines: AsyncIterable<Line>, emit: Emit): AsyncGenerator<Submission> {
  for await (const line of lines) {
    try {
      yield readLine(line);
    } catch (error) {
      emit(failureView(line.number, null, toBulkheadError(error)));
    }
  }
}

function readLine(line: Line): Submission {
  if (line.kind === 'line') return parseSubmission(line.bytes, line.number);
  const detail =
    line.kind === 'too-long'
      ? 'The line is longer than 2 MB.'
      : 'A batch may have 10,000 lines; this line and those after it were not read.';
  throw new BulkheadError('payload_too_large', detail);
}

const CALLER_GONE: ReadonlySet<ErrorCode> = new Set([
  'credential_revoked',
  'subject_disabled',
  'subject_unknown',
]);

/** A document that failed because of who sends it is looked into at once: nothing comes after it. */
async function* endingWith(
  results: AsyncIterable<IngestResult>,
  { stillHolds }: StreamWatch,
): AsyncGenerator<IngestResult> {
  for await (const result of results) {
    if (result.error !== undefined && CALLER_GONE.has(result.error.code)) await stillHolds();
    yield result;
  }
}

/** Never throws: the status has been sent, so what goes wrong now is the last line. */
async function relay(
  results: AsyncIterable<IngestResult>,
  output: ReturnType<typeof openOutput>,
  caller: Caller,
  log: Log,
): Promise<void> {
  try {
    for await (const result of results) {
      if (output.state.abandoned) break;
      output.emit(resultView(result));
    }
  } catch (error) {
    log.error({ request_id: caller.requestId, error: summarizeError(error) }, 'batch broke off');
    output.emit(failureView(0, null, toBulkheadError(error)));
  } finally {
    output.close();
  }
}

function resultView(result: IngestResult) {
  const { error, line = 0 } = result;
  const view = { line, ...uploadView(result) };
  return error === undefined
    ? view
    : {
        ...view,
        error: { code: error.code, detail: error.detail, ...present({ errors: error.issues }) },
      };
}

function failureView(line: number, externalId: string | null, { code, detail, issues }: BulkheadError) {
  const errors = issues.length === 0 ? undefined : issues;
  const error = { code, detail, ...present({ errors }) };
  return { line, external_id: externalId, status: 'failed', error };
}
