import { Hono } from 'hono';
import { BulkheadError, toBulkheadError } from '../../errors.ts';
import { checkCsrf } from '../../identity/sessions.ts';
import type { SignedIn, SignIn, SignInState } from '../../identity/sign-in.ts';
import { type SignInChoice, signedOutPage, signInPage } from '../../ui/sign-in-page.tsx';
import { toIdentity } from '../authenticate.ts';
import type { Env } from '../env.ts';
import type { Services } from '../services.ts';
import { readForm } from './form.ts';
import type { Visitors } from './visitors.ts';

interface SignInOptions {
  readonly publicUrl: URL;
  readonly choices: readonly SignInChoice[];
  /** Absent: nobody can sign in to the pages. */
  readonly signIn: SignIn | undefined;
}

/** Signing in and out: the browser goes to the issuer and comes back with a code, and nothing else is believed. */
export function signInRoutes(services: Services, visitors: Visitors, options: SignInOptions) {
  const { publicUrl, choices, signIn } = options;
  const routes = new Hono<Env>();

  routes.get('/signin', (c) => {
    const keptQuestion = visitors.pending(c)?.question !== undefined;
    return c.html(signInPage({ choices, keptQuestion }));
  });

  routes.get('/signin/:issuer', async (c) => {
    if (signIn === undefined) throw new BulkheadError('not_found', 'There is no such way to sign in.');
    const { url, state } = await signIn.start(c.req.param('issuer'));
    visitors.begin(c, { question: visitors.pending(c)?.question, signIn: state });
    return c.redirect(url.href, 302);
  });

  routes.get('/callback', async (c) => {
    const pending = visitors.takePending(c);
    if (signIn === undefined || pending?.signIn === undefined)
      throw new BulkheadError('sign_in_failed', 'This sign-in was not begun in this browser, or long ago.');
    const requestId = c.get('requestId');
    // behind a proxy the request's own host may be another
    const currentUrl = new URL(new URL(c.req.url).search, new URL('/callback', publicUrl));
    const signedIn = await finish(services, signIn, currentUrl, pending.signIn, requestId);
    visitors.signIn(c, {
      accessToken: signedIn.accessToken,
      issuer: pending.signIn.issuer,
      name: nameOf(signedIn),
      draft: pending.question,
    });
    return c.redirect('/', 303);
  });

  routes.post('/signout', async (c) => {
    const form = await readForm(c);
    const session = visitors.session(c);
    if (session === undefined) return c.redirect('/', 303);
    checkCsrf(session, form.get('csrf'));
    visitors.signOut(c, session);
    const { accessToken, issuer } = session.data;
    await recordEnd(services, accessToken, issuer, c.get('requestId'));
    const provider = await signIn?.logoutUrl(issuer).catch(() => undefined);
    return c.html(signedOutPage(provider?.href));
  });

  routes.get('/signed-out', (c) => c.html(signedOutPage(undefined)));
  return routes;
}

/** The token is checked like any caller's before there is a session. */
async function finish(
  services: Services,
  signIn: SignIn,
  currentUrl: URL,
  state: SignInState,
  requestId: string,
): Promise<SignedIn> {
  const { issuer } = state;
  try {
    const signedIn = await signIn.finish(currentUrl, state);
    const verified = await services.verifyToken(signedIn.accessToken);
    const caller = { identity: toIdentity(verified), requestId };
    await services.audit.signIn({ kind: 'succeeded', caller, issuer, acr: verified.acr ?? null });
    return signedIn;
  } catch (thrown) {
    const error = toBulkheadError(thrown);
    await services.audit.signIn({ kind: 'failed', issuer, code: error.code, requestId });
    throw thrown;
  }
}

/** A token that has expired can no longer say whose session it was. */
async function recordEnd(
  services: Services,
  token: string,
  issuer: string,
  requestId: string,
): Promise<void> {
  const verified = await services.verifyToken(token).catch(() => undefined);
  if (verified !== undefined)
    await services.audit.signIn({
      kind: 'ended',
      caller: { identity: toIdentity(verified), requestId },
      issuer,
    });
}

const LONGEST_NAME = 80;

function nameOf({ idTokenClaims }: SignedIn): string {
  const { name, preferred_username: username, sub } = idTokenClaims;
  const named = [name, username].find((claim) => typeof claim === 'string' && claim.trim() !== '');
  return String(named ?? sub).slice(0, LONGEST_NAME);
}
