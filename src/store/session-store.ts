import { type RawBuilder, sql } from 'kysely';
import type { Database } from './database.ts';

/** `sign-in`: one under way, of a browser that nobody knows yet. */
export type SessionKind = 'session' | 'sign-in';

/** Whose a session is, and by what the identity provider's logout finds it. */
export interface SessionOwner {
  readonly tenant: string;
  /** Name of the issuer profile. */
  readonly issuer: string;
  /** The id token's `sub`. */
  readonly subject: string;
  /** The id token's `sid`, where the provider sends one. */
  readonly session: string | undefined;
  /** Text form. */
  readonly principal: string;
}

export interface NewSession {
  readonly kind: SessionKind;
  /** SHA-256 of the cookie's value. */
  readonly id: Uint8Array;
  readonly sealed: Uint8Array;
  /** Of a `session`. */
  readonly owner: SessionOwner | undefined;
  /** Milliseconds since 1970, like every instant here. */
  readonly createdAt: number;
  /** However busy it is. */
  readonly endsAt: number;
  /** Of this kind; those that were used longest ago give way. Absent: as many as there is room for. */
  readonly most: number | undefined;
}

interface StoredSession {
  readonly sealed: Uint8Array;
  /** Raised by each `replace`. */
  readonly version: number;
  readonly createdAt: number;
}

/** What a provider has ended: one session, or every one of a subject. At least one of the two is given. */
export interface ProviderLogout {
  readonly issuer: string;
  readonly subject: string | undefined;
  readonly session: string | undefined;
}

export type EndedSession = Pick<SessionOwner, 'tenant' | 'principal' | 'session'>;

/**
 * Sessions by the hash of their cookie, with a content that is sealed before it gets here. Two replicas may use one
 * session at once: a change is made only to the version it was made from.
 */
export interface SessionStore {
  add(session: NewSession): Promise<void>;
  /** The live session. The time of its use is kept to the minute. */
  find(kind: SessionKind, id: Uint8Array, now: number, idleMs: number): Promise<StoredSession | undefined>;
  /** @returns whether it still was that version */
  replace(id: Uint8Array, version: number, sealed: Uint8Array): Promise<boolean>;
  /** @returns whether the caller alone may renew the tokens of that version until then */
  lease(id: Uint8Array, version: number, now: number, until: number): Promise<boolean>;
  /** The renewal is over; nobody waits for it any more. */
  release(id: Uint8Array): Promise<void>;
  /** @returns whether it was there: of two who take it, one is told so */
  remove(id: Uint8Array): Promise<boolean>;
  /** @returns whether `id` was never used before; remembered until then */
  useOnce(id: Uint8Array, now: number, until: number): Promise<boolean>;
  endAtProvider(logout: ProviderLogout): Promise<readonly EndedSession[]>;
}

/** In PostgreSQL, for any replica: each call is one function of migration 0036 and one round trip. */
export class PostgresSessionStore implements SessionStore {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  async add({ kind, id, sealed, owner, createdAt, endsAt, most }: NewSession): Promise<void> {
    const named = owner === undefined ? null : JSON.stringify(owner);
    await this.#call(sql`select bulkhead.add_session(${kind}, ${bytes(id)}, ${bytes(sealed)}, ${named}::text::jsonb,
      ${at(createdAt)}, ${at(endsAt)}, ${most ?? null}::int)`);
    await this.#database.flush();
  }

  async find(kind: SessionKind, id: Uint8Array, now: number, idleMs: number) {
    const [row] = await this.#call(sql<{ sealed: Uint8Array; version: number; created_at: number }>`
      select sealed, version, created_at from bulkhead.find_session(${kind}, ${bytes(id)}, ${at(now)},
        make_interval(secs => ${idleMs / 1000}::float8))`);
    return row && { sealed: row.sealed, version: row.version, createdAt: row.created_at };
  }

  replace(id: Uint8Array, version: number, sealed: Uint8Array): Promise<boolean> {
    return this.#holds(sql`bulkhead.replace_session(${bytes(id)}, ${version}::int, ${bytes(sealed)})`);
  }

  lease(id: Uint8Array, version: number, now: number, until: number): Promise<boolean> {
    return this.#holds(sql`bulkhead.lease_session(${bytes(id)}, ${version}::int, ${at(now)}, ${at(until)})`);
  }

  async release(id: Uint8Array): Promise<void> {
    await this.#call(sql`select bulkhead.release_session(${bytes(id)})`);
  }

  remove(id: Uint8Array): Promise<boolean> {
    return this.#holds(sql`bulkhead.remove_session(${bytes(id)})`);
  }

  useOnce(id: Uint8Array, now: number, until: number): Promise<boolean> {
    return this.#holds(sql`bulkhead.use_once(${bytes(id)}, ${at(now)}, ${at(until)})`);
  }

  async endAtProvider({ issuer, subject, session }: ProviderLogout): Promise<readonly EndedSession[]> {
    const rows = await this.#call(sql<{ tenant: string; principal: string; session: string | null }>`
      select tenant, principal, session
      from bulkhead.end_provider_sessions(${issuer}, ${subject ?? null}::text, ${session ?? null}::text)`);
    await this.#database.flush();
    return rows.map((row) => ({ ...row, session: row.session ?? undefined }));
  }

  async #holds(call: RawBuilder<unknown>): Promise<boolean> {
    const [row] = await this.#call(sql<{ held: boolean }>`select ${call} as held`);
    await this.#database.flush();
    return row?.held === true;
  }

  #call<T>(statement: RawBuilder<T>): Promise<readonly T[]> {
    return this.#database.statement('retrieve', undefined, statement);
  }
}

function at(instant: number): RawBuilder<unknown> {
  return sql`${new Date(instant).toISOString()}::timestamptz`;
}

function bytes(value: Uint8Array): RawBuilder<unknown> {
  return sql`${Buffer.from(value)}::bytea`;
}
