import { BulkheadError } from '../errors.ts';

/** The first try and two more. */
const ATTEMPTS = 3;

/**
 * Tries again when permissions moved between a decision and what was to follow from it.
 * @param attempt resolves to `undefined` when they moved
 * @throws BulkheadError `authority_moved` when they keep moving
 */
export async function untilSettled<T>(attempt: () => Promise<T | undefined>): Promise<T> {
  for (let i = 0; i < ATTEMPTS; i += 1) {
    const settled = await attempt();
    if (settled !== undefined) return settled;
  }
  throw new BulkheadError(
    'authority_moved',
    'Permissions are changing too fast to answer. Try again shortly.',
    {
      retryAfterSeconds: 1,
    },
  );
}
