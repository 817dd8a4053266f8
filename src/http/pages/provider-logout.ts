/** Where identity providers say that somebody has signed out (OpenID Connect Back-Channel Logout 1.0 §2.5, §2.8). */
import { type Context, Hono } from 'hono';
import { type BulkheadError, toBulkheadError } from '../../errors.ts';
import type { LogoutNotice, LogoutTokens } from '../../identity/logout-token.ts';
import type { EndedSession, SessionStore } from '../../store/session-store.ts';
import type { Env } from '../env.ts';
import type { Services } from '../services.ts';
import { readForm } from './form.ts';

/** What must hear of the end of a session beside the store that it was in: whatever still runs on its tokens. */
export interface SessionEnding {
  /** @param session `<issuer>|<id>`; revoked for good when this resolves */
  endSession(tenant: string, session: string): Promise<void>;
  /**
   * Revokes what the provider ended, the tokens that programs hold included, and records it.
   * @param ended of this service's own sessions
   */
  endAtProvider(notice: LogoutNotice, ended: readonly EndedSession[], requestId: string): Promise<void>;
}

interface ProviderLogoutOptions {
  readonly services: Pick<Services, 'audit'>;
  readonly store: SessionStore;
  readonly tokens: LogoutTokens;
  readonly ending: SessionEnding;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

export function providerLogoutRoutes(options: ProviderLogoutOptions) {
  const routes = new Hono<Env>();
  routes.post('/backchannel-logout/:issuer', async (c) => {
    const issuer = c.req.param('issuer');
    try {
      const token = (await readForm(c)).get('logout_token') ?? '';
      const notice = await options.tokens.verify(issuer, token);
      if (!(await options.store.useOnce(notice.useId, options.now(), notice.usableUntil)))
        return await refuse(c, options, issuer, 'The logout token was used before.');
      await end(c, options, notice);
      return c.body(null, 200, { 'cache-control': 'no-store' });
    } catch (thrown) {
      const error = toBulkheadError(thrown);
      if (error.code === 'invalid_token') return refuse(c, options, issuer, error.detail);
      return answer(error.status, error);
    }
  });
  return routes;
}

/** A provider may send again what could not be done; then it is not the second use. */
async function end(c: Context<Env>, { store, ending }: ProviderLogoutOptions, notice: LogoutNotice) {
  try {
    await ending.endAtProvider(notice, await store.endAtProvider(notice), c.get('requestId'));
  } catch (error) {
    await store.remove(notice.useId);
    throw error;
  }
}

async function refuse(
  c: Context<Env>,
  { services }: ProviderLogoutOptions,
  issuer: string,
  detail: string,
): Promise<Response> {
  const requestId = c.get('requestId');
  await services.audit.signIn({ kind: 'failed', issuer, code: 'invalid_token', requestId });
  return answer(400, { code: 'invalid_request', detail });
}

function answer(status: number, { code, detail }: Pick<BulkheadError, 'code' | 'detail'>): Response {
  return new Response(JSON.stringify({ error: code, error_description: detail }), {
    status,
    headers: { 'content-type': 'application/json', 'cache-control': 'no-store' },
  });
}
