import type { BatchResultBody } from './api-types.ts';
import type { Progress, Terminal } from './terminal.ts';

/** What did not get in: its name, and one line that says why. */
export interface Failure {
  readonly name: string;
  readonly error: string;
}

export type Outcome =
  | Failure
  | {
      readonly name: string;
      readonly status: BatchResultBody['status'];
      readonly document_id: string | undefined;
      /** The version that is stored and not in the index yet. */
      readonly pending?: number | undefined;
    };

/** Counts what became of each document, and tells of failures as they happen. */
export class IngestReport {
  readonly #terminal: Terminal;
  readonly #json: boolean;
  readonly #progress: Progress;
  readonly #counts = { created: 0, replaced: 0, relabelled: 0, unchanged: 0, failed: 0 };
  #total: number | undefined;
  #done = 0;

  constructor(terminal: Terminal, json: boolean) {
    this.#terminal = terminal;
    this.#json = json;
    this.#progress = terminal.progress('Ingesting');
  }

  get hasFailures(): boolean {
    return this.#counts.failed > 0;
  }

  /** @param total of documents and failures that will be taken from now on */
  expect(total: number): void {
    this.#total = this.#done + total;
  }

  take(outcome: Outcome): void {
    this.#done += 1;
    this.#counts['error' in outcome ? 'failed' : outcome.status] += 1;
    if (this.#json) this.#terminal.json('error' in outcome ? { ...outcome, status: 'failed' } : outcome);
    else if ('error' in outcome) this.#terminal.say(`failed  ${outcome.name}: ${outcome.error}`);
    this.#progress.update(this.#done, this.#total);
  }

  /** One line; on standard output unless that holds JSON. */
  end(isInterrupted: boolean): void {
    this.#progress.end();
    const { created, replaced, relabelled, unchanged, failed } = this.#counts;
    const counts = [
      `created ${created}`,
      `replaced ${replaced}`,
      ...(relabelled === 0 ? [] : [`relabelled ${relabelled}`]),
      `unchanged ${unchanged}`,
      `failed ${failed}`,
    ].join(', ');
    const line = isInterrupted ? `${counts}; interrupted, the rest was not sent` : counts;
    if (this.#json) this.#terminal.say(line);
    else this.#terminal.result(line);
  }
}
