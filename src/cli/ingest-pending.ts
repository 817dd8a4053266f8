/** Where another process keeps the index, a document that was taken in can be found a little later. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { PendingBody } from './api-types.ts';
import type { ApiClient } from './client.ts';
import type { Outcome } from './ingest-report.ts';
import type { Interrupt } from './ingest-upload.ts';

/** What the API takes at once. */
const ASKED_AT_ONCE = 1_000;
const FIRST_WAIT_MS = 100;
const LONGEST_WAIT_MS = 2_000;
/** An index that takes nothing for so long is not waited for. */
const PATIENCE_MS = 60_000;

export class PendingDocuments {
  /** The newest version of each, by id. */
  readonly #versions = new Map<string, number>();

  take(outcome: Outcome): void {
    if ('error' in outcome || outcome.document_id === undefined || outcome.pending === undefined) return;
    this.#versions.set(outcome.document_id, outcome.pending);
  }

  get size(): number {
    return this.#versions.size;
  }

  /** Waits until the index has them all, or stands still. What it has not taken by then is left in `size`. */
  async wait(client: ApiClient, interrupt: Interrupt): Promise<void> {
    let stoodStillMs = 0;
    for (let waitMs = FIRST_WAIT_MS; this.size > 0 && !interrupt.isRaised(); ) {
      await sleep(waitMs);
      const before = this.size;
      const isUnderWay = await this.#ask(client);
      stoodStillMs = this.size < before ? 0 : stoodStillMs + waitMs;
      if (!isUnderWay || stoodStillMs >= PATIENCE_MS) return;
      waitMs = Math.min(LONGEST_WAIT_MS, waitMs * 2);
    }
  }

  /** @returns whether any is under way; the others failed, and are tried again later and later */
  async #ask(client: ApiClient): Promise<boolean> {
    const asked = [...this.#versions].map(([document_id, version]) => ({ document_id, version }));
    let isUnderWay = false;
    for (let start = 0; start < asked.length; start += ASKED_AT_ONCE) {
      const some = asked.slice(start, start + ASKED_AT_ONCE);
      const body = { documents: some };
      const { documents } = await client.call<PendingBody>('POST', '/v1/documents:pending', { body });
      const left = new Map(documents.map(({ document_id, state }) => [document_id, state]));
      for (const { document_id } of some) if (!left.has(document_id)) this.#versions.delete(document_id);
      if ([...left.values()].includes('under-way')) isUnderWay = true;
    }
    return isUnderWay;
  }
}
