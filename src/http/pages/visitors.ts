/** Who is at a browser: their session, and the sign-in they are in the middle of. */
import { createHash } from 'node:crypto';
import type { Context } from 'hono';
import { deleteCookie, getCookie, setCookie } from 'hono/cookie';
import { BulkheadError } from '../../errors.ts';
import { MemorySessionStore } from '../../identity/memory-session-store.ts';
import { createSessions, type Session, type Sessions } from '../../identity/sessions.ts';
import type { SignInState } from '../../identity/sign-in.ts';
import type { StepUpNeed } from '../../policy/decide.ts';
import { instant } from '../../policy/ids.ts';
import type { Revocable } from '../../store/authority.ts';
import type { SessionOwner, SessionStore } from '../../store/session-store.ts';
import type { SignedInAs } from '../../ui/layout.tsx';
import type { Env } from '../env.ts';

/** A signed-in person. The tokens never leave the server. */
export interface Visit {
  readonly accessToken: string;
  /** Milliseconds since 1970. */
  readonly expiresAt: number;
  /** Absent: the sign-in lasts as long as the access token. */
  readonly refreshToken?: string | undefined;
  /** For signing out at the provider. */
  readonly idToken: string;
  readonly issuer: string;
  /** The id token's `sub`. */
  readonly subject: string;
  /** The provider's name of its session. */
  readonly providerSession?: string | undefined;
  readonly tenant: string;
  /** Text form. */
  readonly principal: string;
  readonly name: string;
  /** Questions by the id that stands for them in URLs; the last ones only. */
  readonly asked: readonly { readonly id: string; readonly question: string }[];
  /** A question kept over a sign-in, to be shown once and not asked by itself. */
  readonly draft?: string | undefined;
  /** What would show more of what this person may read. */
  readonly stepUp?: StepUpNeed | undefined;
  /** A stronger sign-in was asked for and this one is not; to be said once. */
  readonly stayedWeak?: boolean | undefined;
}

/** A sign-in under way, bound to its browser by a cookie of its own. */
export interface PendingSignIn {
  readonly question?: string | undefined;
  /** Whose question it is, as `<issuer>|<sub>`: nobody else gets to see it. */
  readonly asker?: string | undefined;
  readonly signIn?: SignInState | undefined;
  readonly needs?: StepUpNeed | undefined;
  /** The page to go on with. */
  readonly returnTo?: string | undefined;
  /** Why a sign-in is asked for again. */
  readonly because?: 'ended' | undefined;
}

export interface VisitorOptions {
  readonly publicUrl: URL;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  readonly randomBytes: (size: number) => Uint8Array;
  /** Shared by all replicas; absent = in this process, gone with it. */
  readonly sessionStore?: SessionStore | undefined;
  /** Default: 30 minutes. */
  readonly idleMinutes?: number | undefined;
  /** However busy; default: 8 hours. */
  readonly absoluteHours?: number | undefined;
}

const SESSION = 'bulkhead-session';
const SIGN_IN = 'bulkhead-signin';
const MINUTE_MS = 60_000;
const SIGN_IN_MS = 10 * MINUTE_MS;
const MAX_SIGN_INS = 5_000;
/**
 * Strangers begin sign-ins without end: this many a minute and process, so that they do not push people's out. What is
 * only kept for a sign-in that has not begun is counted apart: it takes no more than a request for any page.
 */
const MOST_PER_MINUTE = { begun: 400, kept: 90 } as const;
const MAX_ASKED = 10;

export class Visitors {
  readonly store: SessionStore;
  readonly #sessions: Sessions<Visit>;
  readonly #signIns: Sessions<PendingSignIn>;
  readonly #options: VisitorOptions;
  readonly #https: boolean;
  /** Looked up once a request, whichever part of it asks. */
  readonly #seen = new WeakMap<Context, Promise<Session<Visit> | undefined>>();
  #minute = { startedAt: 0, begun: 0, kept: 0 };

  constructor(options: VisitorOptions) {
    const { now, randomBytes, sessionStore: store = new MemorySessionStore() } = options;
    const idleMs = (options.idleMinutes ?? 30) * MINUTE_MS;
    const absoluteMs = (options.absoluteHours ?? 8) * 60 * MINUTE_MS;
    const given = { store, now, randomBytes };
    this.store = store;
    this.#sessions = createSessions({ ...given, kind: 'session', idleMs, absoluteMs });
    const limits = { idleMs: SIGN_IN_MS, absoluteMs: SIGN_IN_MS, most: MAX_SIGN_INS };
    this.#signIns = createSessions({ ...given, kind: 'sign-in', ...limits });
    this.#options = options;
    this.#https = options.publicUrl.protocol === 'https:';
  }

  session(c: Context<Env>): Promise<Session<Visit> | undefined> {
    const seen = this.#seen.get(c) ?? this.find(this.#read(c, SESSION));
    this.#seen.set(c, seen);
    return seen;
  }

  async find(id: string | undefined): Promise<Session<Visit> | undefined> {
    return id === undefined ? undefined : this.#sessions.find(id);
  }

  /** @throws BulkheadError `sign_in_failed` when the session ended meanwhile */
  async change(session: Session<Visit>, change: (visit: Visit) => Visit): Promise<Session<Visit>> {
    const changed = await this.#sessions.update(session.id, change);
    if (changed === undefined) throw new BulkheadError('sign_in_failed', 'Your session has ended.');
    return changed;
  }

  lease(session: Session<Visit>, ms: number): Promise<boolean> {
    return this.#sessions.lease(session, ms);
  }

  release(session: Session<Visit>): Promise<void> {
    return this.#sessions.release(session);
  }

  /** Remembers the question. @returns the id that stands for it in URLs of this session */
  async remember(session: Session<Visit>, question: string): Promise<string> {
    const id = Buffer.from(this.#options.randomBytes(9)).toString('base64url');
    await this.change(session, (visit) => ({
      ...visit,
      asked: [...visit.asked, { id, question }].slice(-MAX_ASKED),
    }));
    return id;
  }

  /** The sign-in this browser began. */
  async pending(c: Context<Env>): Promise<PendingSignIn | undefined> {
    const id = this.#read(c, SIGN_IN);
    return id === undefined ? undefined : (await this.#signIns.find(id))?.data;
  }

  /**
   * Without a sign-in it is what is kept until there is one; of too much of that nothing is kept, and nobody refused.
   * @throws BulkheadError `rate_limited`
   */
  async begin(c: Context<Env>, pending: PendingSignIn): Promise<void> {
    const isBegun = pending.signIn !== undefined;
    if (!this.#hasRoom(isBegun ? 'begun' : 'kept')) {
      if (isBegun) throw this.#tooMany();
      return;
    }
    const { id } = await this.#signIns.rotate(this.#read(c, SIGN_IN), pending);
    this.#write(c, SIGN_IN, id);
  }

  /** Ends the sign-in, so that its return can be used once. */
  async takePending(c: Context<Env>): Promise<PendingSignIn | undefined> {
    const id = this.#read(c, SIGN_IN);
    const taken = id === undefined ? undefined : await this.#signIns.take(id);
    this.#clear(c, SIGN_IN);
    return taken?.data;
  }

  /** A new session under a new id; the one before, whoever planted it, is worth nothing. */
  async signIn(c: Context<Env>, visit: Visit, owner: SessionOwner): Promise<void> {
    const { id } = await this.#sessions.rotate(this.#read(c, SESSION), visit, owner);
    this.#seen.delete(c);
    this.#write(c, SESSION, id);
  }

  /** Ends it without the browser, which learns of it when it comes back. */
  async endUnseen(session: Session<Visit>): Promise<void> {
    await this.#sessions.end(session.id);
  }

  async signOut(c: Context<Env>, session: Session<Visit>): Promise<void> {
    await this.#sessions.end(session.id);
    this.#seen.set(c, Promise.resolve(undefined));
    this.#clear(c, SESSION);
  }

  #hasRoom(of: keyof typeof MOST_PER_MINUTE): boolean {
    const now = this.#options.now();
    if (now - this.#minute.startedAt >= MINUTE_MS) this.#minute = { startedAt: now, begun: 0, kept: 0 };
    this.#minute[of] += 1;
    return this.#minute[of] <= MOST_PER_MINUTE[of];
  }

  #tooMany(): BulkheadError {
    const detail = 'Too many sign-ins were begun just now; please wait a minute.';
    const retryAfterSeconds = Math.ceil((this.#minute.startedAt + MINUTE_MS - this.#options.now()) / 1000);
    return new BulkheadError('rate_limited', detail, { retryAfterSeconds });
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

/**
 * What the session is revoked by: itself, the provider's, and whatever its token is. A renewed token is no new sign-in:
 * what was issued to a person until an instant is the session that began before it, whoever renewed its tokens since.
 * No issuer's name begins with a dot.
 */
export function revocableOf(
  { id, data, createdAt }: Session<Visit>,
  ofToken: readonly Revocable[] = [],
): readonly Revocable[] {
  const issuedAt = instant(createdAt);
  const since = ofToken.map((one) => ({ ...one, issuedAt: instant(Math.min(one.issuedAt, issuedAt)) }));
  const own = [...since, { kind: 'session' as const, id: browserSession(id), issuedAt }];
  if (data.providerSession === undefined) return own;
  return [...own, { kind: 'session', id: `${data.issuer}|${data.providerSession}`, issuedAt }];
}

export function browserSession(id: string): string {
  return `.browser|${createHash('sha256').update(id).digest('base64url')}`;
}

export function signedInAs({ data: { name, issuer }, csrfToken }: Session<Visit>): SignedInAs {
  return { name, issuer, csrfToken };
}
