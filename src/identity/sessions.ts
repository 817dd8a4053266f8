import { createHash, createSecretKey, hkdfSync } from 'node:crypto';
import { openBytes, sealBytes } from '../crypto/aes-gcm.ts';
import { BulkheadError, isBulkheadError } from '../errors.ts';
import type { SessionKind, SessionOwner, SessionStore } from '../store/session-store.ts';
import { same } from './constant-time.ts';

const ID_BYTES = 32;
const ID_FORM = /^[\w-]{43}$/;
/** Attempts to change a session that others keep changing. */
const ATTEMPTS = 5;

export interface Session<T> {
  /** 256 random bits, base64url; known to the browser only as an http-only cookie, and to nobody else. */
  readonly id: string;
  /** To be repeated by every form of this session. */
  readonly csrfToken: string;
  readonly data: T;
  /** Milliseconds since 1970. */
  readonly createdAt: number;
  readonly version: number;
}

interface SessionsOptions {
  readonly store: SessionStore;
  readonly kind: SessionKind;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  readonly randomBytes: (size: number) => Uint8Array;
  readonly idleMs: number;
  /** However busy it is. */
  readonly absoluteMs: number;
  /** Beyond it, those used longest ago give way; absent = as many as the store has room for. */
  readonly most?: number | undefined;
}

/** Sessions of one kind with their content, which is plain JSON. */
export interface Sessions<T> {
  /** @param owner of a `session`; absent while nobody is known */
  create(data: T, owner?: SessionOwner): Promise<Session<T>>;
  /** The live session; `undefined` when there is none, it has ended, or what is stored is not what was stored. */
  find(id: string): Promise<Session<T> | undefined>;
  /**
   * Ends one session and starts another under a new id and form token: at every sign-in, so that an id planted
   * before it is worth nothing after it (session fixation).
   */
  rotate(id: string | undefined, data: T, owner?: SessionOwner): Promise<Session<T>>;
  /** Ends the session and hands it to one caller only, on whatever replica the others are. */
  take(id: string): Promise<Session<T> | undefined>;
  /** Changes what is stored now, which another request may have changed since. @returns `undefined` when it ended */
  update(id: string, change: (data: T) => T): Promise<Session<T> | undefined>;
  /** @returns whether nobody else may renew this version's tokens for so long */
  lease(session: Session<T>, ms: number): Promise<boolean>;
  release(session: Session<T>): Promise<void>;
  end(id: string): Promise<void>;
}

/**
 * The store gets a hash of the id, and the content sealed with AES-256-GCM under a key derived from the id (HKDF, RFC
 * 5869): who reads the store can open no session and take none over.
 */
export function createSessions<T>(options: SessionsOptions): Sessions<T> {
  const { store, kind, now, idleMs } = options;

  async function create(data: T, owner?: SessionOwner): Promise<Session<T>> {
    const id = Buffer.from(options.randomBytes(ID_BYTES)).toString('base64url');
    const createdAt = now();
    await store.add({
      kind,
      id: hashOf(id),
      sealed: seal(id, data, options.randomBytes),
      owner,
      createdAt,
      endsAt: createdAt + options.absoluteMs,
      most: options.most,
    });
    return { id, csrfToken: formToken(id), data, createdAt, version: 1 };
  }

  async function find(id: string): Promise<Session<T> | undefined> {
    if (!ID_FORM.test(id)) return undefined;
    const stored = await store.find(kind, hashOf(id), now(), idleMs);
    if (stored === undefined) return undefined;
    const content = open<T>(id, stored.sealed);
    if (content === undefined) return undefined;
    const { createdAt, version } = stored;
    return { id, csrfToken: formToken(id), data: content.data, createdAt, version };
  }

  return {
    create,
    find,
    async rotate(id, data, owner) {
      if (id !== undefined && ID_FORM.test(id)) await store.remove(hashOf(id));
      return create(data, owner);
    },
    async take(id) {
      const session = await find(id);
      return session !== undefined && (await store.remove(hashOf(id))) ? session : undefined;
    },
    async update(id, change) {
      for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
        const session = await find(id);
        if (session === undefined) return undefined;
        const data = change(session.data);
        const sealed = seal(id, data, options.randomBytes);
        if (await store.replace(hashOf(id), session.version, sealed))
          return { ...session, data, version: session.version + 1 };
      }
      throw new BulkheadError('conflict', 'Too many requests of this session at once; please try again.');
    },
    lease: (session, ms) => store.lease(hashOf(session.id), session.version, now(), now() + ms),
    release: (session) => store.release(hashOf(session.id)),
    async end(id) {
      if (ID_FORM.test(id)) await store.remove(hashOf(id));
    },
  };
}

/** @throws BulkheadError `csrf` when a form does not carry the token of the session it was sent with */
export function checkCsrf(session: Session<unknown>, presented: string | undefined): void {
  if (!same(session.csrfToken, presented ?? ''))
    throw new BulkheadError('csrf', 'Please reload the page and send the form again.');
}

function hashOf(id: string): Uint8Array {
  return createHash('sha256').update(id).digest();
}

function derive(id: string, purpose: string): Buffer {
  return Buffer.from(hkdfSync('sha256', id, '', `bulkhead browser session: ${purpose}`, 32));
}

function formToken(id: string): string {
  return derive(id, 'form token').toString('base64url');
}

/** Bound to the row it is stored in, so that no row opens in another's place. */
function seal(id: string, data: unknown, randomBytes: SessionsOptions['randomBytes']): Uint8Array {
  const key = createSecretKey(derive(id, 'content'));
  return sealBytes(key, Buffer.from(JSON.stringify({ data })), hashOf(id), randomBytes);
}

function open<T>(id: string, sealed: Uint8Array): { readonly data: T } | undefined {
  const key = createSecretKey(derive(id, 'content'));
  try {
    return JSON.parse(Buffer.from(openBytes(key, sealed, hashOf(id))).toString('utf8')) as { data: T };
  } catch (error) {
    if (isBulkheadError(error) && error.code === 'decryption_failed') return undefined;
    throw error;
  }
}
