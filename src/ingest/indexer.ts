import { setTimeout as sleep } from 'node:timers/promises';
import { BulkheadError, type ErrorCode, toBulkheadError } from '../errors.ts';
import type { VectorIndex } from '../index/vector-index.ts';
import type { DocumentId, TenantId } from '../policy/ids.ts';
import type { LabelScheme } from '../policy/label.ts';
import type { Database } from '../store/database.ts';
import { pointsOf, publishVersions, type VersionToIndex, versionsToIndex } from '../store/index-content.ts';
import { requireScheme } from '../store/level-scheme.ts';
import { type Backlog, LeaseLost, Outbox, type OutboxClaim } from '../store/outbox.ts';

export interface IndexerOptions {
  readonly database: Database;
  /** Of this process: no round begins while the installation's is another. Absent = only what is there is mended. */
  readonly scheme?: Pick<LabelScheme, 'digest'> | undefined;
  /** The collection of the model with this fingerprint. */
  readonly index: Pick<VectorIndex, 'upsert' | 'moveDocument' | 'removeDocument'>;
  readonly fingerprint: string;
  /** Told of each document that could not be brought into the index; it is tried again, later and later. */
  readonly onFailure: (document: DocumentId, error: BulkheadError) => void;
  /** How long this worker may be silent before others take over what it holds; default half a minute. */
  readonly leaseSeconds?: number;
}

const DOCUMENTS_PER_ROUND = 32;
const POINTS_PER_STEP = 64;
/** Documents that fail one after the other because a store is away, until the rest of the round is put off. */
const OUTAGE_AFTER = 2;
const OUTAGES: ReadonlySet<string> = new Set<ErrorCode | 'database_unavailable'>([
  'index_unavailable',
  'database_unavailable',
]);

/**
 * Brings the index into line with Postgres, document by document, as the outbox asks. Each document is taken as it
 * is now, not as it was when the row was written, and every step may be repeated: a process that was killed
 * anywhere leaves nothing that the next drain does not finish.
 *
 * Any number of processes may do this at once. One that was paused for longer than its lease may still send a write
 * that it had begun: it undoes no newer version, since it adds only chunks of its own version and removes only
 * older ones. When it then finds its lease gone, it asks for the document to be mended. It may also be killed before
 * it can: whoever took the document over looks at it again when no such write can be under way any more.
 */
export class Indexer {
  readonly #options: IndexerOptions;
  readonly #outbox: Outbox;
  #running: Promise<void> = Promise.resolve();
  #next: Promise<void> | undefined;

  constructor(options: IndexerOptions) {
    this.#options = options;
    this.#outbox = new Outbox(options.database, options.leaseSeconds);
  }

  /**
   * Resolves when all that was due at the call has been tried. What fails waits with growing delays, and is reported
   * to `onFailure`. A document that fails by itself is tried ten times, one for which a store is away for ever.
   * @throws BulkheadError `policy_unavailable` while the installation has other levels than this process
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

  /**
   * Drains now and then until stopped: what others have written, and what waits for another attempt.
   * @param onFailure told when not even the outbox could be read
   * @returns stops, when the round that is under way has ended
   */
  keepUp(everyMs: number, onFailure: (error: unknown) => void): () => Promise<void> {
    const stopping = new AbortController();
    const keepingUp = (async () => {
      while (!stopping.signal.aborted) {
        await this.drain().catch(onFailure);
        await sleep(everyMs, undefined, { signal: stopping.signal }).catch(() => {});
      }
    })();
    return () => {
      stopping.abort();
      return keepingUp;
    };
  }

  /** What a process that was killed left behind; where others may be at work, without what they hold. */
  async takeOver(): Promise<void> {
    await this.#running;
    await this.#run(this.#options.database.kind === 'pglite');
  }

  /** Those among these versions that the index has not taken yet: somebody is at it, or it failed and waits. */
  pending(
    versions: readonly { readonly document: DocumentId; readonly version: number }[],
  ): Promise<ReadonlyMap<DocumentId, 'under-way' | 'failed'>> {
    return this.#outbox.unpublished(versions);
  }

  backlog(): Promise<Backlog> {
    return this.#outbox.backlog();
  }

  /**
   * Writes the live versions of these documents again. A document for which the outbox has something to do is left
   * to that.
   * @throws whatever the index throws; nothing is left in the outbox then
   */
  async mend(tenant: TenantId, documents: readonly DocumentId[]): Promise<void> {
    for (let start = 0; start < documents.length; start += DOCUMENTS_PER_ROUND) {
      const claims = await this.#outbox.claimToMend(
        tenant,
        documents.slice(start, start + DOCUMENTS_PER_ROUND),
      );
      if (claims.length === 0) continue;
      try {
        await this.#bringInto(claims);
      } catch (error) {
        if (!(error instanceof LeaseLost)) throw error;
      } finally {
        await this.#settle(claims);
      }
    }
  }

  async #run(takeOver: boolean): Promise<void> {
    let claims = await this.#claim(takeOver);
    while (claims.length > 0) {
      await this.#bringIn(claims);
      claims = await this.#claim(false);
    }
  }

  async #claim(takeOver: boolean): Promise<readonly OutboxClaim[]> {
    const { database, scheme } = this.#options;
    if (scheme !== undefined) await requireScheme(database, 'indexer', scheme);
    return this.#outbox.claim(DOCUMENTS_PER_ROUND, takeOver);
  }

  /** Together when all goes well, else one by one, so that one document stops no other. */
  async #bringIn(claims: readonly OutboxClaim[]): Promise<void> {
    const problem = await this.#attempt(claims);
    if (problem === undefined) return;
    if (claims.length === 1) return this.#failed(claims, problem);
    let outages = 0;
    for (const [i, claim] of claims.entries()) {
      if (outages === OUTAGE_AFTER) return this.#failed(claims.slice(i), problem);
      const own = await this.#attempt([claim]);
      if (own !== undefined) await this.#failed([claim], own);
      outages = own !== undefined && OUTAGES.has(own.code) ? outages + 1 : 0;
    }
  }

  /** @returns why it did not succeed; nothing where it did, or where the documents are in other hands by now */
  async #attempt(claims: readonly OutboxClaim[]): Promise<BulkheadError | undefined> {
    if (claims.length === 0) return undefined;
    try {
      await this.#bringInto(claims);
      await this.#settle(claims);
      return undefined;
    } catch (error) {
      if (!(error instanceof LeaseLost)) return toBulkheadError(error);
      await this.#askToMend(error.claims);
      return this.#attempt(claims.filter((claim) => !error.claims.includes(claim)));
    }
  }

  async #bringInto(claims: readonly OutboxClaim[]): Promise<void> {
    const { index } = this.#options;
    const found = await this.#outbox.holding(claims, (trx) =>
      versionsToIndex(
        trx,
        claims.map(({ document }) => document),
      ),
    );
    const versions = new Map(found.map((version) => [version.document, version]));
    for (const { tenant, document, isMove } of claims) {
      const version = versions.get(document);
      if (version === undefined) await index.removeDocument(tenant, document);
      else if (isMove) await index.moveDocument(tenant, document, version.class);
    }
    const versionsOf = (some: readonly OutboxClaim[]) =>
      some.flatMap(({ document }) => versions.get(document) ?? []);
    const toPublish = claims.filter(({ isPublish }) => isPublish);
    await this.#publish(toPublish, versionsOf(toPublish));
    const toMend = claims.filter(({ isPublish, isMend }) => isMend && !isPublish);
    await this.#mendLive(toMend, versionsOf(toMend));
  }

  /** New points first, then the switch that readers see, then the old points go. */
  async #publish(claims: readonly OutboxClaim[], versions: readonly VersionToIndex[]): Promise<void> {
    if (versions.length === 0) return;
    const written = await this.#upsertPoints(claims, versions);
    if (written < versions.reduce((sum, { chunkCount }) => sum + chunkCount, 0)) throw modelChanged();
    await this.#outbox.holding(claims, (trx) => publishVersions(trx, versions));
    for (const { tenant, document, version } of versions)
      if (version > 1) await this.#options.index.removeDocument(tenant, document, version);
  }

  async #mendLive(claims: readonly OutboxClaim[], versions: readonly VersionToIndex[]): Promise<void> {
    if (versions.length === 0) return;
    const live = versions.map(({ document, liveVersion }) => ({ document, version: liveVersion }));
    await this.#upsertPoints(claims, live);
    for (const { tenant, document, liveVersion } of versions)
      if (liveVersion > 1) await this.#options.index.removeDocument(tenant, document, liveVersion);
  }

  /** @returns how many */
  async #upsertPoints(
    claims: readonly OutboxClaim[],
    versions: readonly Pick<VersionToIndex, 'document' | 'version'>[],
  ): Promise<number> {
    const { index, fingerprint } = this.#options;
    let written = 0;
    for (let after = 0; ; ) {
      const points = await this.#outbox.holding(claims, (trx) =>
        pointsOf(trx, versions, fingerprint, after, POINTS_PER_STEP),
      );
      const last = points.at(-1);
      if (last === undefined) return written;
      await index.upsert(points);
      written += points.length;
      after = last.chunkId;
    }
  }

  async #settle(claims: readonly OutboxClaim[]): Promise<void> {
    try {
      await this.#outbox.settle(claims);
    } catch (error) {
      if (!(error instanceof LeaseLost)) throw error;
      await this.#askToMend(error.claims);
    }
  }

  /** What was written last may have come after what somebody else wrote. */
  async #askToMend(claims: readonly OutboxClaim[]): Promise<void> {
    for (const { tenant, document } of claims) await this.#outbox.add(tenant, [document], 'mend');
  }

  async #failed(claims: readonly OutboxClaim[], problem: BulkheadError): Promise<void> {
    for (const { document } of claims) this.#options.onFailure(document, problem);
    await this.#outbox.fail(claims, problem.code, !OUTAGES.has(problem.code));
  }
}

function modelChanged(): BulkheadError {
  return new BulkheadError(
    'model_changed',
    'Chunks were embedded by another model than that of the index. Run the re-embed job.',
  );
}
