/** Keys of services (`bhk_…`): from the presented text to the caller it stands for. */
import { createHash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { BulkheadError } from '../errors.ts';
import { instant } from '../policy/ids.ts';
import { parsePrincipal } from '../policy/principal.ts';
import { type FoundApiKey, findApiKey, KEY_ISSUER, touchApiKey } from '../store/api-keys.ts';
import type { Revocable } from '../store/authority.ts';
import type { Database } from '../store/database.ts';
import type { ProcessRole } from '../store/process-role.ts';
import { readApiKey } from './api-key-form.ts';
import type { ApiKeyVerifier } from './credentials.ts';
import { Gate } from './gate.ts';
import type { VerifiedCaller } from './token-claims.ts';
import { refuse } from './token-refusal.ts';

/** A revoked key ends at once all the same: every request asks for revocations. */
const CACHED_MS = 30_000;
/** What is no key stays none, unless its digits are drawn anew. */
const REFUSED_MS = 10_000;
const CACHED_KEYS = 10_000;
/** Invented keys with a right checksum each cost a look-up: so many at a time, so that they leave others their connections. */
const LOOKUPS_AT_ONCE = 4;
const LOOKUPS_WAITING = 200;

interface ApiKeyOptions {
  readonly database: Database;
  /** Whose unit of work looks keys up. */
  readonly role: Exclude<ProcessRole, 'indexer'>;
  /** Told of what was not noted: when a key was last used. */
  readonly onFailure: (error: unknown) => void;
}

interface Known {
  /** Absent: refused. */
  readonly caller: VerifiedCaller | undefined;
  readonly until: number;
}

/** Verifies keys against the database, and remembers what it found for half a minute. */
export function createApiKeys({ database, role, onFailure }: ApiKeyOptions): ApiKeyVerifier {
  const cache = new LRUCache<string, Known>({ max: CACHED_KEYS });
  const pending = new Map<string, Promise<Known>>();
  const gate = new Gate(LOOKUPS_AT_ONCE, LOOKUPS_WAITING);

  async function lookUp(text: string, digest: string, now: number): Promise<Known> {
    const key = readApiKey(text);
    if (key === undefined) return { caller: undefined, until: now };
    const found = await gate.pass(() => findApiKey(database, role, key.id, key.secretHash));
    if (found === undefined) return { caller: undefined, until: now + REFUSED_MS };
    if (!found.isUseKnown) void touchApiKey(database, role, key.id).catch(onFailure);
    const until = now + Math.min(CACHED_MS, found.remaining);
    return { caller: callerOf(key.id, found, digest), until };
  }

  /** All who present a key while it is looked up wait for the same answer. */
  async function learn(text: string, digest: string, now: number): Promise<Known> {
    const asked = pending.get(digest) ?? lookUp(text, digest, now);
    pending.set(digest, asked);
    try {
      const known = await asked;
      if (known.until > now) cache.set(digest, known);
      return known;
    } finally {
      pending.delete(digest);
    }
  }

  return {
    verify: async (text, now) => {
      const digest = createHash('sha256').update(text).digest('base64url');
      const known = cache.get(digest);
      const { caller } = known !== undefined && now < known.until ? known : await learn(text, digest, now);
      if (caller === undefined) throw refuse('The API key is not valid.');
      return caller;
    },
  };
}

function callerOf(id: string, found: FoundApiKey, tokenId: string): VerifiedCaller {
  const service = parsePrincipal(found.service);
  const actor = found.actor === null ? undefined : parsePrincipal(found.actor);
  if (service?.kind !== 'service' || (found.actor !== null && actor?.kind !== 'service'))
    throw new BulkheadError('internal', 'An API key stands for something that is no service.');
  const issuedAt = instant(found.createdAt);
  const revocable: Revocable[] = [
    { kind: 'key', id: `${KEY_ISSUER}|${id}`, issuedAt },
    { kind: 'client', id: `${service.issuer}|${service.id}`, issuedAt },
    ...(actor?.kind === 'service'
      ? [{ kind: 'client', id: `${actor.issuer}|${actor.id}`, issuedAt } as const]
      : []),
  ];
  return {
    issuer: service.issuer,
    tenant: found.tenant,
    kind: 'service',
    id: service.id,
    // a key carries none: its service's groups are the directory's
    groups: [],
    actor: actor?.kind === 'service' ? { issuer: actor.issuer, id: actor.id } : undefined,
    acr: undefined,
    authTime: undefined,
    expiresAt: found.expiresAt,
    tokenId,
    revocable,
    rights: new Set(found.rights),
  };
}
