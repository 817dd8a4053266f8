/** The collections of one installation in a Qdrant server: made, switched, rebuilt and removed. */
import { BulkheadError } from '../errors.ts';
import type { PlanConstants } from './planner.ts';
import { QdrantCalls, unlessRemoved } from './qdrant-calls.ts';
import { QdrantHttp } from './qdrant-http.ts';
import { QdrantIndex, type QdrantSetting } from './qdrant-index.ts';
import { ensureCollection, type Quantization, readCollection, requireSpace } from './qdrant-layout.ts';
import { numberOf, QdrantNames } from './qdrant-names.ts';
import { checkServer } from './qdrant-startup.ts';
import { aliases, collectionNames, liveGeneration, pointAliases } from './qdrant-state.ts';
import { TermWeights } from './qdrant-term-weights.ts';
import type { EmbeddingSpace, Rebuild, VectorCollections } from './vector-index.ts';

export interface QdrantOptions {
  readonly url: string;
  /** What this process may do: one that does not write must be given a key that cannot. */
  readonly key: string | undefined;
  /** PEM; `undefined` = the authorities of the system. */
  readonly ca: string | undefined;
  /** Of one search. */
  readonly timeoutMs: number;
  readonly quantization: Quantization;
  readonly canWrite: boolean;
  /** What was measured of this index, as last stored. */
  readonly calibration: () => PlanConstants | undefined;
  /** Of all names in Qdrant, default `bulkhead`; lower-case letters, digits and dashes. */
  readonly prefix?: string;
}

/**
 * Checks the server and the key before the first call.
 * @throws BulkheadError naming in one line what is wrong: `index_unavailable`, `config_invalid` or `store_unsafe`
 */
export async function openQdrant(options: QdrantOptions): Promise<QdrantCollections> {
  const names = new QdrantNames(options.prefix);
  await checkServer(options, names);
  const http = new QdrantHttp(options);
  const calls = new QdrantCalls(http, options.timeoutMs);
  const { calibration, quantization, canWrite } = options;
  const weights = new TermWeights(calls, names.live);
  return new QdrantCollections({ calls, names, weights, calibration, quantization }, canWrite, () =>
    http.close(),
  );
}

export class QdrantCollections implements VectorCollections {
  readonly #setting: QdrantSetting;
  readonly #canWrite: boolean;
  readonly #close: () => void;

  constructor(setting: QdrantSetting, canWrite: boolean, close: () => void) {
    this.#setting = setting;
    this.#canWrite = canWrite;
    this.#close = close;
  }

  /** @throws BulkheadError `index_unavailable`, from a process that may not write, if it is missing */
  async open(space: EmbeddingSpace): Promise<QdrantIndex> {
    const { names } = this.#setting;
    if (this.#canWrite) await this.#ensure(space);
    else if (!(await unlessRemoved(this.#requireCurrent(space))))
      throw new BulkheadError(
        'index_unavailable',
        `Qdrant has no collection ${names.current(space.fingerprint)} yet: a process with the role indexer makes it.`,
        { retryAfterSeconds: 5 },
      );
    return new QdrantIndex(this.#setting, space);
  }

  async live(): Promise<string | undefined> {
    const { calls, names } = this.#setting;
    let found: string | undefined;
    await unlessRemoved(
      readCollection(calls, names.live).then(({ fingerprint }) => {
        found = fingerprint;
      }),
    );
    return found;
  }

  async switchTo(fingerprint: string): Promise<void> {
    const { calls, names, weights } = this.#setting;
    const current = (await aliases(calls)).get(names.current(fingerprint));
    if (current === undefined)
      throw new BulkheadError('model_changed', `There is no index of ${fingerprint} to switch to.`);
    await pointAliases(calls, [[names.live, current]]);
    weights.noteWrite();
  }

  async drop(fingerprint: string): Promise<void> {
    const { calls, names } = this.#setting;
    const generations = names.generations(await collectionNames(calls), fingerprint);
    const live = await liveGeneration(calls, names);
    if (live !== undefined && generations.includes(live))
      throw new BulkheadError('conflict', `The index of ${fingerprint} is in use.`);
    // the model's own alias goes with it
    await this.#remove(generations, [names.current(fingerprint)]);
  }

  async rebuild(space: EmbeddingSpace): Promise<Rebuild> {
    const { calls, names, quantization } = this.#setting;
    const { fingerprint } = space;
    const current = (await aliases(calls)).get(names.current(fingerprint));
    if (current === undefined)
      throw new BulkheadError('model_changed', `There is no index of ${fingerprint} to rebuild.`);
    const generations = names.generations(await collectionNames(calls), fingerprint);
    await this.#remove(generations.filter((name) => name !== current));
    const next = names.generation(fingerprint, numberOf(generations.at(-1) ?? current) + 1);
    await ensureCollection(calls, next, space, quantization);
    return {
      index: new QdrantIndex(this.#setting, space, next),
      swap: () => this.#swapIn(space, next),
      abandon: () => this.#remove([next]),
    };
  }

  close(): void {
    this.#close();
  }

  /** Finishes what another process began and did not end, and takes over what it finished meanwhile. */
  async #ensure(space: EmbeddingSpace): Promise<void> {
    const { calls, names, quantization } = this.#setting;
    const alias = names.current(space.fingerprint);
    const known = await aliases(calls);
    const [oldest] = names.generations(await collectionNames(calls), space.fingerprint);
    const current = known.get(alias) ?? oldest ?? names.generation(space.fingerprint, 1);
    await ensureCollection(calls, current, space, quantization);
    const missing = [alias, names.live].filter((name) => !known.has(name));
    if (missing.length > 0)
      await pointAliases(
        calls,
        missing.map((name) => [name, current]),
      );
  }

  async #requireCurrent(space: EmbeddingSpace): Promise<void> {
    const { calls, names } = this.#setting;
    requireSpace(await readCollection(calls, names.current(space.fingerprint)), space);
  }

  async #swapIn({ fingerprint }: EmbeddingSpace, next: string): Promise<void> {
    const { calls, names, weights } = this.#setting;
    const generations = names.generations(await collectionNames(calls), fingerprint);
    const live = await liveGeneration(calls, names);
    const alias = names.current(fingerprint);
    const isLive = live !== undefined && generations.includes(live);
    await pointAliases(
      calls,
      (isLive ? [alias, names.live] : [alias]).map((name) => [name, next]),
    );
    weights.noteWrite();
    await this.#remove(generations.filter((name) => name !== next));
  }

  /**
   * Each only while no alias names it, which would go with it: another process may have put it in place since it was
   * listed.
   * @param given aliases that may go
   */
  async #remove(generations: readonly string[], given: readonly string[] = []): Promise<void> {
    const { calls, weights } = this.#setting;
    for (const name of generations) {
      const inUse = [...(await aliases(calls))].some(
        ([alias, target]) => target === name && !given.includes(alias),
      );
      if (!inUse) await calls.write('DELETE', `/collections/${name}`);
    }
    weights.noteWrite();
  }
}
