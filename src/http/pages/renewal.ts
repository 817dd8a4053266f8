/** Access tokens are short; the session goes on with a new one, which is verified like any other. */
import { BulkheadError, isBulkheadError, toBulkheadError } from '../../errors.ts';
import type { Session } from '../../identity/sessions.ts';
import type { SignIn } from '../../identity/sign-in.ts';
import { toIdentity } from '../authenticate.ts';
import type { Services } from '../services.ts';
import type { Visit, Visitors } from './visitors.ts';

/** Renewed so long before the token ends. */
const AHEAD_MS = 60_000;
/** Longer than a provider is waited for. Whoever renews has so long before another request may try. */
const LEASE_MS = 15_000;
const LOOK_AGAIN_MS = 100;
/** After a provider failed, it is left alone for so long. */
const PAUSE_MS = 5_000;

interface RenewalOptions {
  readonly visitors: Visitors;
  readonly services: Pick<Services, 'verifyToken'>;
  readonly signIn: SignIn | undefined;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

/**
 * A refresh token may be good for one use, and two uses may look like a theft (RFC 9700 §4.14.2): requests of one
 * session in this process wait for one renewal, and a lease in the store keeps other replicas from it.
 */
export class Renewal {
  readonly #options: RenewalOptions;
  /** By issuer; those that failed just now. */
  readonly #pausedUntil = new Map<string, number>();
  readonly #underWay = new Map<string, Promise<Session<Visit> | undefined>>();

  constructor(options: RenewalOptions) {
    this.#options = options;
  }

  /**
   * The session with a token that still lasts; `undefined` when the provider renews it no more, and it has ended.
   * @throws BulkheadError `identity_unavailable` when the provider does not answer and the token has expired
   */
  async fresh(session: Session<Visit>): Promise<Session<Visit> | undefined> {
    const { refreshToken, expiresAt } = session.data;
    const { signIn, now } = this.#options;
    if (refreshToken === undefined || signIn === undefined || now() < expiresAt - AHEAD_MS) return session;
    const underWay = this.#underWay.get(session.id);
    if (underWay !== undefined) return underWay;
    const renewed = this.#renew(signIn, session, refreshToken).finally(() =>
      this.#underWay.delete(session.id),
    );
    this.#underWay.set(session.id, renewed);
    return renewed;
  }

  async #renew(signIn: SignIn, session: Session<Visit>, refreshToken: string) {
    const { visitors, services } = this.#options;
    const { issuer, subject, principal, tenant } = session.data;
    if (this.#options.now() < (this.#pausedUntil.get(issuer) ?? 0))
      return this.#asLongAsItLasts(session, unavailable());
    if (!(await visitors.lease(session, LEASE_MS))) return this.#renewedByAnother(session);
    try {
      const tokens = await signIn.refresh(issuer, refreshToken, subject);
      const identity = toIdentity(await services.verifyToken(tokens.accessToken));
      if (identity.user !== principal || identity.tenant !== tenant)
        throw new BulkheadError('sign_in_failed', 'The sign-in of somebody else was renewed.');
      return await visitors.change(session, (visit) => ({ ...visit, ...tokens }));
    } catch (thrown) {
      if (toBulkheadError(thrown).status >= 500) {
        this.#pausedUntil.set(issuer, this.#options.now() + PAUSE_MS);
        return this.#asLongAsItLasts(session, thrown);
      }
      await visitors.endUnseen(session);
      return undefined;
    } finally {
      await visitors.release(session);
    }
  }

  /** The provider, or a part of this service, is not well: nothing was refused. */
  #asLongAsItLasts(session: Session<Visit>, thrown: unknown): Session<Visit> {
    if (this.#options.now() < session.data.expiresAt) return session;
    throw isBulkheadError(thrown) ? thrown : toBulkheadError(thrown);
  }

  async #renewedByAnother(session: Session<Visit>): Promise<Session<Visit> | undefined> {
    const { visitors, now } = this.#options;
    const givenUpAt = now() + LEASE_MS;
    for (;;) {
      const current = await visitors.find(session.id);
      if (current === undefined || now() < current.data.expiresAt) return current;
      if (now() >= givenUpAt) throw unavailable();
      await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
    }
  }
}

function unavailable(): BulkheadError {
  return new BulkheadError('identity_unavailable', 'The sign-in could not be renewed; please try again.', {
    retryAfterSeconds: PAUSE_MS / 1000,
  });
}
