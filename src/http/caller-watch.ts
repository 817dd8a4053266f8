/** Whether the caller of an answer that stays open may still have it. */
import { BulkheadError, isBulkheadError } from '../errors.ts';
import type { RefusalLog } from './refusals.ts';
import type { Caller, Services } from './services.ts';
import type { StreamWatch } from './stream-watch.ts';

/**
 * Asks for the caller of one request, and records it when that turns them away: the status has been sent by then.
 * @param route a pattern, without ids
 * @param expiresInMs absent where an answer may outlive the credentials that it was asked for with
 */
export type WatchCaller = (caller: Caller, route: string, expiresInMs?: () => number) => StreamWatch;

/** @param refusals of the whole application: they are bounded together */
export function callerWatch(
  { stillHolds }: Pick<Services, 'stillHolds'>,
  refusals: Pick<RefusalLog, 'note'>,
  everyMs: number | undefined,
): WatchCaller {
  return ({ identity, requestId }, route, expiresInMs) => ({
    everyMs,
    expiresInMs,
    stillHolds: async () => {
      try {
        if (expiresInMs !== undefined && expiresInMs() <= 0) throw expired();
        await stillHolds(identity);
      } catch (error) {
        if (isBulkheadError(error) && (error.status === 401 || error.status === 403))
          await refusals.note({
            tenant: identity.tenant,
            subject: identity.user,
            actor: identity.actor ?? null,
            request: requestId,
            code: error.code,
            status: error.status,
            route,
          });
        throw error;
      }
    },
  });
}

function expired(): BulkheadError {
  return new BulkheadError(
    'invalid_token',
    'What this was opened with has expired; send the rest with a new token or key.',
  );
}
