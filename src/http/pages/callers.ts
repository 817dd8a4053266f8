/** The person at a browser as a caller: verified anew for each page, with a token that still lasts. */
import type { Context } from 'hono';
import { isBulkheadError } from '../../errors.ts';
import type { Session } from '../../identity/sessions.ts';
import { toIdentity } from '../authenticate.ts';
import type { Env } from '../env.ts';
import { MAX_QUESTION } from '../routes/retrieve.ts';
import type { Caller, Services } from '../services.ts';
import type { Renewal } from './renewal.ts';
import { returnTo } from './return-to.ts';
import { revocableOf, type Visit, type Visitors } from './visitors.ts';

export interface PageCaller {
  readonly caller: Caller;
  readonly session: Session<Visit>;
}

interface CallersOptions {
  readonly services: Services;
  readonly visitors: Visitors;
  readonly renewal: Renewal;
}

export class Callers {
  readonly #options: CallersOptions;

  constructor(options: CallersOptions) {
    this.#options = options;
  }

  /**
   * Does the work as whoever is signed in, and lets anybody else sign in.
   * @param question to keep over the sign-in
   */
  async serve(
    c: Context<Env>,
    question: (session: Session<Visit>) => string | undefined,
    work: (caller: PageCaller) => Promise<Response>,
  ): Promise<Response> {
    const { visitors } = this.#options;
    const session = await visitors.session(c);
    if (session === undefined) return this.signInAgain(c, undefined);
    try {
      const caller = await this.#callerOf(c, session);
      if (caller !== undefined) return await work(caller);
    } catch (error) {
      if (!isBulkheadError(error) || error.code !== 'credential_revoked') throw error;
    }
    return this.signInAgain(c, question(session), session);
  }

  /** `undefined` when the token no longer holds and is not renewed. */
  async #callerOf(c: Context<Env>, before: Session<Visit>): Promise<PageCaller | undefined> {
    const { services, renewal } = this.#options;
    const session = await renewal.fresh(before);
    if (session === undefined) return undefined;
    try {
      const verified = await services.verifyToken(session.data.accessToken);
      const identity = { ...toIdentity(verified), revocable: revocableOf(session, verified.revocable) };
      const caller = { identity, requestId: c.get('requestId') };
      c.set('caller', caller);
      return { caller, session };
    } catch (error) {
      if (isBulkheadError(error) && error.code === 'invalid_token') return undefined;
      throw error;
    }
  }

  /** The question waits on the server, and is shown again but not asked until its person asks it. */
  async signInAgain(
    c: Context<Env>,
    question: string | undefined,
    ended?: Session<Visit>,
  ): Promise<Response> {
    const { visitors } = this.#options;
    if (ended !== undefined) await visitors.signOut(c, ended);
    const kept = question?.slice(0, MAX_QUESTION);
    await visitors.begin(c, {
      question: kept === '' ? undefined : kept,
      asker: ended && `${ended.data.issuer}|${ended.data.subject}`,
      returnTo: c.req.method === 'GET' ? returnTo(c.req.path) : undefined,
      because: ended && 'ended',
    });
    return c.redirect('/signin', 303);
  }
}
