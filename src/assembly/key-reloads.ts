/** Forced reloads of issuers' keys, in every process: one is asked, the others follow. */
import { isBulkheadError } from '../errors.ts';
import type { TokenVerifier } from '../identity/verify-token.ts';
import { type Log, summarizeError } from '../telemetry/log.ts';

/** Milliseconds; with the fetch itself, others follow well within five seconds. */
const LOOK_MS = 2_000;

type Requests = ReadonlyMap<string, number>;

/** The reloads that this process has made, by how often one was asked for anywhere. */
export class KeyReloads {
  readonly #verifier: Pick<TokenVerifier, 'reloadKeys'>;
  readonly #done = new Map<string, number>();
  /** Here, by issuer. */
  readonly #asked = new Map<string, number>();

  constructor(verifier: Pick<TokenVerifier, 'reloadKeys'>) {
    this.#verifier = verifier;
  }

  /** What was asked for before this process had any keys is done. */
  async begin(read: () => Promise<Requests>): Promise<void> {
    for (const [issuer, count] of await read()) this.#done.set(issuer, count);
  }

  /**
   * Here, because this process was asked.
   * @param count how often it was asked for anywhere, this time included
   * @throws BulkheadError as `reloadKeys` does
   */
  reload(issuer: string, count: number): Promise<void> {
    this.#asked.set(issuer, (this.#asked.get(issuer) ?? 0) + 1);
    this.#done.set(issuer, count);
    return this.#verifier.reloadKeys(issuer);
  }

  /**
   * Begins what others were asked for. Each request counts as done from then on, whether or not the issuer answers:
   * its keys are forgotten, and whoever needs them next asks for them.
   * @param onFailure told of an issuer that did not answer
   */
  async follow(read: () => Promise<Requests>, onFailure: (error: unknown) => void): Promise<void> {
    const asked = new Map(this.#asked);
    const requests = await read();
    // what was read of an issuer may be from before a request that came here meanwhile
    const isStale = (issuer: string) => asked.get(issuer) !== this.#asked.get(issuer);
    // another number, not a higher one: a restored database counts from where it was, or from nothing
    for (const issuer of this.#done.keys())
      if (!requests.has(issuer) && !isStale(issuer)) this.#done.delete(issuer);
    for (const [issuer, count] of requests) {
      if (this.#done.get(issuer) === count || isStale(issuer)) continue;
      this.#done.set(issuer, count);
      this.#verifier.reloadKeys(issuer).catch((error: unknown) => {
        // an issuer that this process is not configured for
        if (!isBulkheadError(error) || error.code !== 'not_found') onFailure(error);
      });
    }
  }
}

/**
 * Follows from now on. Comes before anything is verified.
 * @returns stops, after what is under way
 * @throws BulkheadError `database_unavailable`
 */
export async function keepReloading(
  reloads: KeyReloads,
  read: () => Promise<Requests>,
  log: Log,
): Promise<() => Promise<void>> {
  await reloads.begin(read);
  let timer: NodeJS.Timeout | undefined;
  let running: Promise<void> = Promise.resolve();
  let isStopped = false;
  const failed = (error: unknown) => log.error({ error: summarizeError(error) }, 'keys not reloaded');
  const again = () => {
    if (isStopped) return;
    timer = setTimeout(() => {
      running = reloads.follow(read, failed).catch(failed).then(again);
    }, LOOK_MS);
    timer.unref();
  };
  again();
  return async () => {
    isStopped = true;
    clearTimeout(timer);
    await running;
  };
}
