/** Who is at a browser: their session, and the sign-in they are in the middle of. */
import type { Context } from 'hono';
import { deleteCookie, getCookie, setCookie } from 'hono/cookie';
import { createSessionStore, type Session, type SessionStore } from '../../identity/sessions.ts';
import type { SignInState } from '../../identity/sign-in.ts';
import type { SignedInAs } from '../../ui/layout.tsx';
import type { Env } from '../env.ts';

/** A signed-in person. The access token never leaves the server. */
export interface Visit {
  readonly accessToken: string;
  readonly issuer: string;
  readonly name: string;
  /** Questions by the id that stands for them in URLs; the last ones only. */
  readonly asked: Map<string, string>;
  /** A question kept over a sign-in, to be shown once and not asked by itself. */
  draft: string | undefined;
}

/** A sign-in under way, bound to its browser by a cookie of its own. */
interface PendingSignIn {
  readonly question: string | undefined;
  readonly signIn: SignInState | undefined;
}

interface VisitorOptions {
  readonly publicUrl: URL;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  readonly randomBytes: (size: number) => Uint8Array;
}

const SESSION = 'bulkhead-session';
const SIGN_IN = 'bulkhead-signin';
const SIGN_IN_MS = 10 * 60_000;
const MAX_SIGN_INS = 2_000;
const MAX_ASKED = 20;

export class Visitors {
  readonly #sessions: SessionStore<Visit>;
  /** Apart from the sessions: strangers can begin sign-ins without end and must not push people out. */
  readonly #signIns: SessionStore<PendingSignIn>;
  readonly #randomBytes: (size: number) => Uint8Array;
  readonly #https: boolean;

  constructor({ publicUrl, now, randomBytes }: VisitorOptions) {
    this.#sessions = createSessionStore({ now, randomBytes });
    this.#signIns = createSessionStore({
      now,
      randomBytes,
      idleMs: SIGN_IN_MS,
      absoluteMs: SIGN_IN_MS,
      maxSessions: MAX_SIGN_INS,
    });
    this.#randomBytes = randomBytes;
    this.#https = publicUrl.protocol === 'https:';
  }

  session(c: Context<Env>): Session<Visit> | undefined {
    const id = this.#read(c, SESSION);
    return id === undefined ? undefined : this.#sessions.find(id);
  }

  /** Remembers the question. @returns the id that stands for it in URLs of this session */
  remember(session: Session<Visit>, question: string): string {
    const { asked } = session.data;
    const id = Buffer.from(this.#randomBytes(9)).toString('base64url');
    asked.set(id, question);
    for (const oldest of asked.keys()) {
      if (asked.size <= MAX_ASKED) break;
      asked.delete(oldest);
    }
    return id;
  }

  /** The sign-in this browser began. */
  pending(c: Context<Env>): PendingSignIn | undefined {
    const id = this.#read(c, SIGN_IN);
    return id === undefined ? undefined : this.#signIns.find(id)?.data;
  }

  begin(c: Context<Env>, pending: PendingSignIn): void {
    const { id } = this.#signIns.rotate(this.#read(c, SIGN_IN), pending);
    this.#write(c, SIGN_IN, id);
  }

  /** Ends the sign-in, so that its return can be used once. */
  takePending(c: Context<Env>): PendingSignIn | undefined {
    const pending = this.pending(c);
    const id = this.#read(c, SIGN_IN);
    if (id !== undefined) this.#signIns.end(id);
    this.#clear(c, SIGN_IN);
    return pending;
  }

  /** A new session under a new id; the one before, whoever planted it, is worth nothing. */
  signIn(c: Context<Env>, visit: Omit<Visit, 'asked'>): void {
    const { id } = this.#sessions.rotate(this.#read(c, SESSION), { ...visit, asked: new Map() });
    this.#write(c, SESSION, id);
  }

  signOut(c: Context<Env>, session: Session<Visit>): void {
    this.#sessions.end(session.id);
    this.#clear(c, SESSION);
  }

  #read(c: Context<Env>, name: string): string | undefined {
    return this.#https ? getCookie(c, name, 'host') : getCookie(c, name);
  }

  #write(c: Context<Env>, name: string, value: string): void {
    setCookie(c, name, value, { ...this.#attributes(), httpOnly: true, sameSite: 'Lax' });
  }

  #clear(c: Context<Env>, name: string): void {
    deleteCookie(c, name, this.#attributes());
  }

  /** The prefix makes browsers refuse such a cookie from another host or path (RFC 6265bis §4.1.3). */
  #attributes() {
    return this.#https
      ? { path: '/', secure: true as const, prefix: 'host' as const }
      : { path: '/', secure: false };
  }
}

export function signedInAs({ data: { name, issuer }, csrfToken }: Session<Visit>): SignedInAs {
  return { name, issuer, csrfToken };
}
