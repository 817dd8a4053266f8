import type { Config } from '../config/config.ts';
import { blockListOf } from '../config/limits.ts';
import type { RequestLimits } from '../http/rate-limit-requests.ts';
import { RateLimits } from '../http/rate-limits.ts';
import type { Database } from '../store/database.ts';
import { addRateCounts } from '../store/rate-counts.ts';
import { type Log, summarizeError } from '../telemetry/log.ts';

/**
 * How often processes tell each other what they counted. In between, each lets through what its own counts allow: of
 * n processes that are asked at once, at most n times a limit in its first interval.
 */
const EXCHANGE_MS = 1_000;

/** The limits of this process: shared through PostgreSQL where there is one, in memory where there is one process. */
export function openRateLimits(
  { limits: rules, http, database: connection, role }: Config,
  database: Database,
  now: () => number,
): RequestLimits {
  const as = role === 'all' || role === 'indexer' ? 'retrieve' : role;
  const limits = new RateLimits({
    rules,
    now,
    ...(connection !== undefined && { exchange: (changes) => addRateCounts(database, as, changes) }),
  });
  return { limits, trustedProxies: blockListOf(http.trustedProxies) };
}

/** @returns stops, after what is under way */
export function keepCounting({ limits }: RequestLimits, log: Log): () => Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  let running: Promise<void> = Promise.resolve();
  let isStopped = false;
  const again = () => {
    if (isStopped) return;
    timer = setTimeout(() => {
      running = limits
        .exchange()
        .catch((error: unknown) =>
          log.error({ error: summarizeError(error) }, 'what others counted could not be read'),
        )
        .then(again);
    }, EXCHANGE_MS);
    timer.unref();
  };
  again();
  return async () => {
    isStopped = true;
    clearTimeout(timer);
    await running;
  };
}
