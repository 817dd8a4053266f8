import { randomBytes, timingSafeEqual } from 'node:crypto';
import { BulkheadError } from '../errors.ts';

const ID_BYTES = 32;
const IDLE_MS = 30 * 60_000;
const ABSOLUTE_MS = 8 * 60 * 60_000;
const MAX_SESSIONS = 10_000;

export interface Session<T> {
  /** 256 random bits, base64url; known to the browser only as an http-only cookie. */
  readonly id: string;
  /** To be repeated by every form of this session. */
  readonly csrfToken: string;
  readonly data: T;
  /** Milliseconds since 1970; the session ends eight hours later, however busy. */
  readonly createdAt: number;
}

interface SessionStoreOptions {
  /** Milliseconds since 1970. */
  readonly now: () => number;
  readonly randomBytes?: (size: number) => Uint8Array;
  /** Defaults: 30 minutes idle, 8 hours in all, 10,000 sessions. */
  readonly idleMs?: number;
  readonly absoluteMs?: number;
  readonly maxSessions?: number;
}

export interface SessionStore<T> {
  create(data: T): Session<T>;
  /** The live session, its idle time reset; `undefined` when there is none or it has ended. */
  find(id: string): Session<T> | undefined;
  /**
   * Ends one session and starts another under a new id and form token: at every sign-in, so that an id planted
   * before it is worth nothing after it (session fixation).
   */
  rotate(id: string | undefined, data: T): Session<T>;
  end(id: string): void;
  /** Ends every session that matches, as on the revocation of a user; returns how many. */
  endWhere(matches: (data: T) => boolean): number;
}

/**
 * Sessions of the web pages, in memory. When it is full the session that was idle longest gives way, so keep
 * sign-ins that are still under way in a store of their own: strangers can start those without limit.
 */
export function createSessionStore<T>(options: SessionStoreOptions): SessionStore<T> {
  const { idleMs = IDLE_MS, absoluteMs = ABSOLUTE_MS, maxSessions = MAX_SESSIONS } = options;
  const random = options.randomBytes ?? randomBytes;
  // A Map keeps insertion order; a session is put in again on each use, so the first is the one idle longest.
  const sessions = new Map<string, { session: Session<T>; usedAt: number }>();
  const token = () => Buffer.from(random(ID_BYTES)).toString('base64url');

  function create(data: T): Session<T> {
    const session = { id: token(), csrfToken: token(), data, createdAt: options.now() };
    sessions.set(session.id, { session, usedAt: session.createdAt });
    for (const id of sessions.keys()) {
      if (sessions.size <= maxSessions) break;
      sessions.delete(id);
    }
    return session;
  }

  function find(id: string): Session<T> | undefined {
    const held = sessions.get(id);
    if (held === undefined) return undefined;
    sessions.delete(id);
    const now = options.now();
    if (now - held.usedAt >= idleMs || now - held.session.createdAt >= absoluteMs) return undefined;
    sessions.set(id, { session: held.session, usedAt: now });
    return held.session;
  }

  return {
    create,
    find,
    rotate(id, data) {
      if (id !== undefined) sessions.delete(id);
      return create(data);
    },
    end: (id) => void sessions.delete(id),
    endWhere(matches) {
      const ending = [...sessions.values()].filter(({ session }) => matches(session.data));
      for (const { session } of ending) sessions.delete(session.id);
      return ending.length;
    },
  };
}

/** @throws BulkheadError `csrf` when a form does not carry the token of the session it was sent with */
export function checkCsrf(session: Session<unknown>, presented: string | undefined): void {
  const expected = Buffer.from(session.csrfToken);
  const given = Buffer.from(presented ?? '');
  if (expected.length !== given.length || !timingSafeEqual(expected, given))
    throw new BulkheadError('csrf', 'Please reload the page and send the form again.');
}
