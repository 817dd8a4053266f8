import { BulkheadError, toBulkheadError } from '../errors.ts';
import type { VectorIndex } from '../index/vector-index.ts';
import type { DocumentId } from '../policy/ids.ts';
import type { Database } from '../store/database.ts';
import { Outbox, type OutboxClaim, type VersionToIndex } from '../store/outbox.ts';

export interface IndexerOptions {
  readonly database: Database;
  /** The collection of the model with this fingerprint. */
  readonly index: Pick<VectorIndex, 'upsert' | 'moveDocument' | 'removeDocument'>;
  readonly fingerprint: string;
  /** Told of each document that could not be brought into the index; it is tried again, later and later. */
  readonly onFailure: (document: DocumentId, error: BulkheadError) => void;
}

const DOCUMENTS_PER_ROUND = 32;
const POINTS_PER_STEP = 32;

/**
 * Brings the index into line with Postgres, document by document, as the outbox asks. Each document is taken as it
 * is now, not as it was when the row was written, and every step may be repeated: a process that was killed
 * anywhere leaves nothing that the next drain does not finish.
 */
export class Indexer {
  readonly #options: IndexerOptions;
  readonly #outbox: Outbox;
  #running: Promise<void> = Promise.resolve();
  #next: Promise<void> | undefined;

  constructor(options: IndexerOptions) {
    this.#options = options;
    this.#outbox = new Outbox(options.database);
  }

  /**
   * Resolves when all that was due at the call has been tried. What fails waits with growing delays, ten times at
   * most, and is reported to `onFailure`.
   */
  drain(): Promise<void> {
    // a run that has not begun sees all that is committed by now
    this.#next ??= this.#running.then(() => {
      this.#next = undefined;
      const run = this.#run(false);
      this.#running = run.catch(() => {});
      return run;
    });
    return this.#next;
  }

  /** What a process that was killed left behind. Only where no other process drains, since it waits for no lease. */
  async takeOver(): Promise<void> {
    await this.#running;
    await this.#run(true);
  }

  /** Those among these versions that the index has not taken yet: somebody is at it, or it failed and waits. */
  pending(
    versions: readonly { readonly document: DocumentId; readonly version: number }[],
  ): Promise<ReadonlyMap<DocumentId, 'under-way' | 'failed'>> {
    return this.#outbox.unpublished(versions);
  }

  async #run(takeOver: boolean): Promise<void> {
    let claims = await this.#outbox.claim(DOCUMENTS_PER_ROUND, takeOver);
    while (claims.length > 0) {
      await this.#bringIn(claims);
      claims = await this.#outbox.claim(DOCUMENTS_PER_ROUND, false);
    }
  }

  /** Together when all goes well, else one by one, so that one document stops no other. */
  async #bringIn(claims: readonly OutboxClaim[]): Promise<void> {
    try {
      await this.#settle(claims);
    } catch (error) {
      if (claims.length > 1) for (const claim of claims) await this.#bringIn([claim]);
      else if (claims[0] !== undefined) await this.#failed(claims[0], error);
    }
  }

  async #settle(claims: readonly OutboxClaim[]): Promise<void> {
    const { index } = this.#options;
    const found = await this.#outbox.versionsToIndex(claims.map(({ document }) => document));
    const versions = new Map(found.map((version) => [version.document, version]));
    for (const { tenant, document, isMove } of claims) {
      const version = versions.get(document);
      if (version === undefined) await index.removeDocument(tenant, document);
      else if (isMove) await index.moveDocument(tenant, document, version.class);
    }
    const toPublish = claims.flatMap(({ document, isPublish }) =>
      isPublish ? (versions.get(document) ?? []) : [],
    );
    if (toPublish.length > 0) await this.#publish(toPublish);
    await this.#outbox.settle(claims);
  }

  /** New points first, then the switch that readers see, then the old points go. */
  async #publish(versions: readonly VersionToIndex[]): Promise<void> {
    await this.#upsertPoints(versions);
    await this.#outbox.publish(versions);
    for (const { tenant, document, version } of versions)
      if (version > 1) await this.#options.index.removeDocument(tenant, document, version);
  }

  async #upsertPoints(versions: readonly VersionToIndex[]): Promise<void> {
    const { index, fingerprint } = this.#options;
    let missing = versions.reduce((sum, { chunkCount }) => sum + chunkCount, 0);
    for (let after = 0; ; ) {
      const points = await this.#outbox.points(versions, fingerprint, after, POINTS_PER_STEP);
      const last = points.at(-1);
      if (last === undefined) break;
      await index.upsert(points);
      missing -= points.length;
      after = last.chunkId;
    }
    if (missing > 0) throw modelChanged();
  }

  async #failed(claim: OutboxClaim, error: unknown): Promise<void> {
    const problem = toBulkheadError(error);
    this.#options.onFailure(claim.document, problem);
    await this.#outbox.fail(claim, problem.code);
  }
}

function modelChanged(): BulkheadError {
  return new BulkheadError(
    'model_changed',
    'Chunks were embedded by another model than that of the index. Run the re-embed job.',
  );
}
