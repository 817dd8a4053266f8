import type { Config } from '../config/config.ts';
import { createApiKeys } from '../identity/api-keys.ts';
import { createAuthenticator } from '../identity/authenticate-credentials.ts';
import type { ApiKeyVerifier, Authenticator } from '../identity/credentials.ts';
import { PROOF_LIFETIME_MS } from '../identity/dpop.ts';
import { MemoryReplayStore, type ReplayStore } from '../identity/replay-store.ts';
import type { Database } from '../store/database.ts';
import { UsedProofs } from '../store/used-proofs.ts';
import { summarizeError } from '../telemetry/log.ts';
import type { Parts } from './core.ts';
import { need } from './need.ts';
import type { Identity } from './open-identity.ts';

/** Who may call, by whatever they present. A process without callers has none, and says so when it is asked. */
export function openAuthenticator(
  parts: Parts,
  identity: Identity | undefined,
  now: () => number,
): Authenticator {
  const { config, database } = parts;
  const authenticator =
    identity &&
    createAuthenticator({
      tokens: identity.verifier,
      replays: replayStore(config, database, now()),
      apiKeys: apiKeysOf(parts),
      certificates: identity.certificates,
      now,
    });
  return { authenticate: async (presented) => need(authenticator, 'callers').authenticate(presented) };
}

function apiKeysOf({ config, database, log }: Parts): ApiKeyVerifier | undefined {
  const { role } = config;
  if (role === 'indexer') return undefined;
  return createApiKeys({
    database,
    role: role === 'all' ? 'retrieve' : role,
    onFailure: (error) => log.warn({ error: summarizeError(error) }, 'the use of an API key was not noted'),
  });
}

/** One memory is enough where there is one process: the embedded store is locked to it. */
function replayStore({ role, database: server }: Config, database: Database, startedAt: number): ReplayStore {
  if (server === undefined || role === 'indexer')
    return MemoryReplayStore.since(startedAt, PROOF_LIFETIME_MS);
  return new UsedProofs(database, role === 'all' ? 'retrieve' : role);
}
