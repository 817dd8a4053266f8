/**
 * Callers as the database knew them a moment ago, for as long as nothing has moved that this rests on. Whether anything
 * has is asked of the database for every request, in one short statement: what is kept is the reading, not the decision.
 */
import { sql } from 'kysely';
import { LRUCache } from 'lru-cache';
import type { LabelScheme } from '../policy/label.ts';
import {
  type Authority,
  authorityOf,
  type CallerIdentity,
  type KnownCaller,
  orUnavailable,
  readCaller,
} from './authority.ts';
import type { Database } from './database.ts';

const MOST_CALLERS = 1_000;

/**
 * Everything that `authorize` reads moves one of these, or is an instant that `boundary` knows of. The watermark counts as
 * much as the counter: the entries of a class that is interned raise no epoch, and may begin or end before the boundary
 * that was read.
 */
interface TenantState {
  /** Milliseconds since 1970. */
  readonly now: number;
  readonly incarnation: string;
  /** Of the policy: principals, memberships, clearances, entries, accounts, ceilings, levels. */
  readonly counter: number;
  readonly watermark: number;
  readonly revocationEpoch: number;
  /** How current each source of the directory is: it moves without the policy. */
  readonly sources: string;
}

interface Known {
  readonly caller: KnownCaller;
  readonly sources: string;
}

interface Asked {
  readonly database: Database;
  readonly scheme: LabelScheme;
}

export class KnownCallers {
  readonly #known = new LRUCache<string, Known>({ max: MOST_CALLERS });

  /** As `authorize` for the role `retrieve`, with the same answer and the same errors. */
  async authorize({ database, scheme }: Asked, identity: CallerIdentity): Promise<Authority> {
    const state = await stateOf(database, identity.tenant);
    const key = keyOf(identity);
    const known = this.#known.get(key);
    if (state !== undefined && known !== undefined && holds(known, state)) {
      return authorityOf({ ...known.caller, now: state.now }, scheme, identity);
    }
    const caller = await readCaller(database, 'retrieve', identity);
    const authority = authorityOf(caller, scheme, identity);
    // of whoever is let in alone; what the sources were before is what the reading is compared with
    if (state !== undefined) this.#known.set(key, { caller, sources: state.sources });
    return authority;
  }
}

async function stateOf(database: Database, tenant: string): Promise<TenantState | undefined> {
  const [row] = await orUnavailable(
    database.statement(
      'retrieve',
      undefined,
      sql<{ state: TenantState | null }>`select bulkhead.tenant_state(${tenant}) as state`,
    ),
  );
  return row?.state ?? undefined;
}

/** A clock that went backwards proves nothing. */
function holds({ caller, sources }: Known, state: TenantState): boolean {
  return (
    caller.incarnation === state.incarnation &&
    caller.counter === state.counter &&
    caller.watermark === state.watermark &&
    caller.revocationEpoch === state.revocationEpoch &&
    sources === state.sources &&
    caller.now <= state.now &&
    (caller.boundary === null || state.now < caller.boundary)
  );
}

/** Everything of a caller that the database is asked about. */
function keyOf({ tenant, user, tokenGroups, actor, revocable = [] }: CallerIdentity): string {
  return JSON.stringify([tenant, user, tokenGroups, actor ?? null, revocable]);
}
