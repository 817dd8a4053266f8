/**
 * Text, headings and terms brought to the form that their level asks for: after a relabelling into or out of a level
 * that encrypts, after a change of the configuration, and after data keys were retired. Readers go on meanwhile: a
 * passage is in one of both forms at any time, and both can be read.
 */
import { NO_SEALER, type Sealer, type TermsKey, type TextKey } from '../crypto/sealer.ts';
import { isBulkheadError } from '../errors.ts';
import { redact } from '../guard/output-redactor.ts';
import type { RedactionPolicy } from '../guard/redaction-policy.ts';
import { documentTerms } from '../index/terms.ts';
import type { ChunkId, DocumentId, TenantId } from '../policy/ids.ts';
import type { LabelScheme } from '../policy/label.ts';
import { DataKeys } from '../store/data-keys.ts';
import type { Database } from '../store/database.ts';
import { requireScheme } from '../store/level-scheme.ts';
import {
  type DocumentToSeal,
  type PassageToSeal,
  type ResealedPassage,
  SealingWork,
} from '../store/sealing-work.ts';
import { embeddingText } from './3-inspect.ts';
import type { Indexer } from './indexer.ts';

export interface ResealerOptions {
  readonly database: Database;
  /** Of this process: no passage is sealed or opened for good while the installation's is another. */
  readonly scheme: Pick<LabelScheme, 'digest'>;
  /** Of the role `indexer`; absent = no level asks for encryption. */
  readonly sealer?: Sealer | undefined;
  readonly redaction: Pick<RedactionPolicy, 'indexedWithout'>;
  readonly indexer: Pick<Indexer, 'drain'>;
  /** Told once of each passage that stays as it is because it does not open. */
  readonly onUnopened: (passage: {
    readonly tenant: TenantId;
    readonly document: DocumentId;
    readonly version: number;
    readonly ordinal: number;
  }) => void;
  /** Longer than any writer takes from asking for a key to its commit. */
  readonly removeKeysAfterSeconds?: number;
}

const DOCUMENTS_PER_STEP = 32;
/** One transaction's worth. */
const PASSAGES_PER_STEP = 16;
const REMOVE_KEYS_AFTER_SECONDS = 600;

export class Resealer {
  readonly #options: ResealerOptions;
  readonly #sealer: Sealer;
  readonly #work: SealingWork;
  readonly #unopened = new Set<ChunkId>();
  #running: Promise<void> = Promise.resolve();
  #next: Promise<void> | undefined;
  #isStopped = false;

  constructor(options: ResealerOptions) {
    this.#options = options;
    this.#sealer = options.sealer ?? NO_SEALER;
    this.#work = new SealingWork(options.database);
  }

  /**
   * Resolves when all that was due at the call is done. May be broken off anywhere and begun again.
   * @throws BulkheadError `keys_unavailable`, `redaction_failed`, `database_unavailable`; `policy_unavailable` while the
   *   installation has other levels than this process; the rest stays due
   */
  drain(): Promise<void> {
    this.#next ??= this.#running.then(() => {
      this.#next = undefined;
      const run = this.#run();
      this.#running = run.catch(() => {});
      return run;
    });
    return this.#next;
  }

  /**
   * Looks for work again and again.
   * @param onError told when something keeps it from working; it tries again
   * @returns ends it after the step that is under way
   */
  keepUp(everyMs: number, onError: (error: unknown) => void): () => Promise<void> {
    const timer = setInterval(() => this.drain().catch(onError), everyMs);
    timer.unref();
    return async () => {
      clearInterval(timer);
      this.#isStopped = true;
      await this.#running;
    };
  }

  async #run(): Promise<void> {
    let changed = 0;
    await this.#agree();
    for (;;) {
      const queued = this.#isStopped ? undefined : await this.#work.next(DOCUMENTS_PER_STEP);
      if (queued === undefined) break;
      changed += await this.#resealAll(queued.documents);
      await this.#work.settle(queued);
    }
    for (let after: DocumentId | undefined; !this.#isStopped; ) {
      const documents = await this.#work.underOldKeys(after, DOCUMENTS_PER_STEP);
      after = documents.at(-1);
      if (after === undefined) break;
      changed += await this.#resealAll(documents);
    }
    if (changed > 0) await this.#options.indexer.drain();
    const { database, removeKeysAfterSeconds = REMOVE_KEYS_AFTER_SECONDS } = this.#options;
    await DataKeys.as(database, 'indexer').removeUnused(removeKeysAfterSeconds);
  }

  #agree(): Promise<void> {
    return requireScheme(this.#options.database, 'indexer', this.#options.scheme);
  }

  /** @returns how many passages were changed */
  async #resealAll(documents: readonly DocumentId[]): Promise<number> {
    let changed = 0;
    for (const document of await this.#work.ranks(documents)) changed += await this.#resealDocument(document);
    return changed;
  }

  async #resealDocument({ document, tenant, rank }: DocumentToSeal): Promise<number> {
    // without a label nobody reads it, and no level says what it is to be
    if (rank === undefined) return 0;
    let changed = 0;
    for (let after = 0; !this.#isStopped; ) {
      // after the rank was read: it is a rank of this process's levels
      await this.#agree();
      const [textKey, termsKey] = await Promise.all([
        this.#sealer.textKey(tenant, rank, 0),
        this.#sealer.termsKey(tenant, rank),
      ]);
      const wanted = { textKey: textKey?.id, termsKey: termsKey?.id };
      const passages = await this.#work.wrong(document, wanted, after, PASSAGES_PER_STEP);
      const last = passages.at(-1);
      if (last === undefined) break;
      const sealing = await this.#sealer.textKey(tenant, rank, passages.length);
      const resealed = await Promise.all(
        passages.map((passage) => this.#resealed(tenant, rank, passage, sealing, termsKey)),
      );
      const some = resealed.filter((passage) => passage !== undefined);
      if (some.length > 0) await this.#work.reseal(tenant, some);
      changed += some.length;
      after = last.chunk;
    }
    return changed;
  }

  /** @returns `undefined` for one that does not open: it stays as it is, and so does its key */
  async #resealed(
    tenant: TenantId,
    rank: number,
    passage: PassageToSeal,
    textKey: TextKey | undefined,
    termsKey: TermsKey | undefined,
  ): Promise<ResealedPassage | undefined> {
    const { document, version, ordinal, title } = passage;
    const row = { tenant, document, version, ordinal };
    const clear = await this.#opened(row, passage);
    if (clear === undefined) return undefined;
    const masked = redact(embeddingText(title, clear), this.#options.redaction.indexedWithout(rank)).text;
    return {
      ...passage,
      becomes: textKey?.seal(row, clear) ?? clear,
      terms: documentTerms(masked, '', termsKey?.termId),
      termsKey: termsKey?.id,
    };
  }

  async #opened(row: Parameters<Sealer['open']>[0], passage: PassageToSeal) {
    const { text, headingPath, sealed, chunk } = passage;
    if (sealed === undefined) return { text, headingPath };
    try {
      return await this.#sealer.open(row, sealed);
    } catch (error) {
      if (!isBulkheadError(error) || error.code !== 'decryption_failed') throw error;
      if (!this.#unopened.has(chunk)) this.#options.onUnopened(row);
      this.#unopened.add(chunk);
      return undefined;
    }
  }
}
