/** Sends documents and hears of each. */
import { BulkheadError, isBulkheadError } from '../errors.ts';
import type { BatchResultBody } from './api-types.ts';
import type { ApiClient } from './client.ts';
import type { Failure, Outcome } from './ingest-report.ts';
import { lineOf, RefusedError } from './problem.ts';
import type { Upload } from './upload.ts';

/** What the API takes in one batch, and in one line of it; longer documents go by themselves. */
const BATCH_LINES = 10_000;
const LINE_BYTES = 2_000_000;

export interface Interrupt {
  isRaised(): boolean;
}

type Report = (outcome: Outcome) => void;

/**
 * Sends everything, in as many batches as it needs, and reports each document as its result comes. An interrupt
 * ends the reading; what was sent by then is still reported.
 * @throws RefusedError, BulkheadError `server_unreachable`: what was not reported by then may or may not be there
 */
export async function upload(
  client: ApiClient,
  documents: AsyncIterable<Upload | Failure>,
  report: Report,
  interrupt: Interrupt,
): Promise<void> {
  const rest = documents[Symbol.asyncIterator]();
  for (let isMore = true; isMore && !interrupt.isRaised(); ) {
    const batch = new Batch(client, rest, report, interrupt);
    for await (const result of await client.exchange<BatchResultBody>('/v1/documents:batch', batch.lines()))
      batch.settle(result);
    isMore = batch.isFull;
    batch.refuseMissing();
  }
}

class Batch {
  readonly #client: ApiClient;
  readonly #documents: AsyncIterator<Upload | Failure>;
  readonly #report: Report;
  readonly #interrupt: Interrupt;
  /** Names of what was sent, by line from 1; taken out when reported. */
  readonly #sent = new Map<number, string>();
  #lines = 0;

  constructor(
    client: ApiClient,
    documents: AsyncIterator<Upload | Failure>,
    report: Report,
    interrupt: Interrupt,
  ) {
    this.#client = client;
    this.#documents = documents;
    this.#report = report;
    this.#interrupt = interrupt;
  }

  get isFull(): boolean {
    return this.#lines === BATCH_LINES;
  }

  async *lines(): AsyncGenerator<string> {
    while (!this.isFull && !this.#interrupt.isRaised()) {
      const next = await this.#documents.next();
      if (next.done === true) return;
      if ('error' in next.value) {
        this.#report(next.value);
        continue;
      }
      const { name, body } = next.value;
      const line = JSON.stringify(body);
      if (Buffer.byteLength(line) > LINE_BYTES) this.#report(await sendAlone(this.#client, next.value));
      else {
        this.#lines += 1;
        this.#sent.set(this.#lines, name);
        yield line;
      }
    }
  }

  settle(result: BatchResultBody): void {
    const { line, external_id, status, document_id, error } = result;
    // of no line: the batch itself broke off
    if (line === 0 && error !== undefined) throw new RefusedError(error.code, error.detail, error.errors);
    const name = this.#sent.get(line) ?? external_id ?? `line ${line}`;
    this.#sent.delete(line);
    if (status === 'failed')
      this.#report({ name, error: lineOf({ ...UNSAID, ...error, issues: error?.errors }) });
    else this.#report({ name, status, document_id, ...pendingOf(result) });
  }

  /** An answer that ends early is not one that says that all went well. */
  refuseMissing(): void {
    const { size } = this.#sent;
    if (size > 0)
      throw new BulkheadError(
        'server_unreachable',
        `The server ended its answer with ${size} documents unanswered.`,
      );
  }
}

function pendingOf({ pending, version }: Pick<BatchResultBody, 'pending' | 'version'>) {
  return pending === true && version !== undefined ? { pending: version } : {};
}

const UNSAID = { code: 'internal', detail: 'The server did not say why.' };

async function sendAlone(client: ApiClient, { name, body }: Upload): Promise<Outcome> {
  try {
    const result = await client.call<Pick<BatchResultBody, 'status' | 'document_id' | 'version' | 'pending'>>(
      'POST',
      '/v1/documents',
      { body },
    );
    return { name, status: result.status, document_id: result.document_id, ...pendingOf(result) };
  } catch (error) {
    if (error instanceof RefusedError) return { name, error: lineOf(error) };
    if (isBulkheadError(error)) return { name, error: lineOf(error) };
    throw error;
  }
}
