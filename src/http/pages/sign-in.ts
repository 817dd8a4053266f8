import { type Context, Hono } from 'hono';
import { BulkheadError, isBulkheadError, toBulkheadError } from '../../errors.ts';
import { checkCsrf } from '../../identity/sessions.ts';
import type { SignedIn, SignIn, SignInState } from '../../identity/sign-in.ts';
import type { VerifiedCaller } from '../../identity/verify-token.ts';
import type { StepUpNeed } from '../../policy/decide.ts';
import { providerTroublePage } from '../../ui/provider-trouble-page.tsx';
import { type SignInChoice, signedOutPage, signInPage } from '../../ui/sign-in-page.tsx';
import { toIdentity } from '../authenticate.ts';
import type { Env } from '../env.ts';
import { problemHeaders } from '../problem.ts';
import type { Services } from '../services.ts';
import { readForm } from './form.ts';
import type { SessionEnding } from './provider-logout.ts';
import { returnTo } from './return-to.ts';
import { browserSession, type PendingSignIn, type Visit, type Visitors } from './visitors.ts';

interface SignInOptions {
  readonly publicUrl: URL;
  readonly choices: readonly SignInChoice[];
  /** Absent: nobody can sign in to the pages. */
  readonly signIn: SignIn | undefined;
  readonly ending: SessionEnding | undefined;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

type Needed = SignInOptions & { readonly services: Services; readonly visitors: Visitors };

/** Signing in and out: the browser goes to the issuer and comes back with a code, and nothing else is believed. */
export function signInRoutes(services: Services, visitors: Visitors, options: SignInOptions) {
  const { choices, signIn } = options;
  const needed = { ...options, services, visitors };
  const routes = new Hono<Env>();

  routes.get('/signin', async (c) => {
    const pending = await visitors.pending(c);
    const keptQuestion = pending?.question !== undefined;
    return c.html(signInPage({ choices, keptQuestion, hasEnded: pending?.because === 'ended' }));
  });

  routes.get('/signin/:issuer', async (c) => {
    const { question, asker, returnTo: page, because } = (await visitors.pending(c)) ?? {};
    return begin(c, needed, c.req.param('issuer'), { question, asker, returnTo: page, because });
  });

  routes.get('/step-up', async (c) => {
    const session = await visitors.session(c);
    if (session?.data.stepUp === undefined) return c.redirect('/', 303);
    const { issuer, subject, stepUp: needs, asked } = session.data;
    const question = asked.find(({ id }) => id === c.req.query('id'))?.question;
    return begin(c, needed, issuer, { question, asker: `${issuer}|${subject}`, needs });
  });

  for (const path of ['/callback', '/callback/:issuer']) routes.get(path, (c) => comeBack(c, needed));

  routes.post('/signout', async (c) => {
    const form = await readForm(c);
    const session = await visitors.session(c);
    if (session === undefined) return c.redirect('/', 303);
    checkCsrf(session, form.get('csrf'));
    await visitors.signOut(c, session);
    const { accessToken, idToken, issuer, tenant } = session.data;
    await options.ending?.endSession(tenant, browserSession(session.id));
    await recordEnd(services, accessToken, issuer, c.get('requestId'));
    const provider = await signIn?.logoutUrl(issuer, idToken).catch(() => undefined);
    return c.html(signedOutPage(provider?.href));
  });

  routes.get('/signed-out', (c) => c.html(signedOutPage(undefined)));
  return routes;
}

/** Sends the browser to the issuer, and says so when that one is not well. */
async function begin(
  c: Context<Env>,
  needed: Needed,
  issuer: string,
  pending: Omit<PendingSignIn, 'signIn'>,
): Promise<Response> {
  const { signIn, visitors } = needed;
  if (signIn === undefined) throw new BulkheadError('not_found', 'There is no such way to sign in.');
  const { needs } = pending;
  try {
    const wanted = needs && { acrValues: needs.acr, maxAgeSeconds: needs.maxAuthAgeSeconds };
    const { url, state } = await signIn.start(issuer, wanted);
    await visitors.begin(c, { ...pending, signIn: state });
    return c.redirect(url.href, 302);
  } catch (error) {
    return troubleOr(error, c, needed, issuer);
  }
}

async function comeBack(c: Context<Env>, needed: Needed): Promise<Response> {
  const { services, visitors, signIn, publicUrl } = needed;
  const pending = await visitors.takePending(c);
  if (signIn === undefined || pending?.signIn === undefined)
    throw new BulkheadError('sign_in_failed', 'This sign-in was not begun in this browser, or long ago.');
  const { issuer } = pending.signIn;
  // behind a proxy the request's own host may be another
  const currentUrl = new URL(c.req.path, publicUrl);
  currentUrl.search = new URL(c.req.url).search;
  try {
    const signedIn = await finish(services, signIn, currentUrl, pending.signIn, c.get('requestId'));
    await enter(c, needed, pending, issuer, signedIn);
    return c.redirect(returnTo(pending.returnTo), 303);
  } catch (error) {
    const { question, asker, needs, returnTo: page } = pending;
    if (isTrouble(error)) await visitors.begin(c, { question, asker, needs, returnTo: page });
    return troubleOr(error, c, needed, issuer);
  }
}

type Finished = SignedIn & { readonly verified: VerifiedCaller };

/** The token is checked like any caller's before there is a session. */
async function finish(
  services: Services,
  signIn: SignIn,
  currentUrl: URL,
  state: SignInState,
  requestId: string,
): Promise<Finished> {
  const { issuer } = state;
  try {
    const signedIn = await signIn.finish(currentUrl, state);
    const verified = await services.verifyToken(signedIn.accessToken);
    if (verified.issuer !== issuer)
      throw new BulkheadError('sign_in_failed', 'The token is of another issuer than was asked.');
    const caller = { identity: toIdentity(verified), requestId };
    await services.audit.signIn({ kind: 'succeeded', caller, issuer, acr: verified.acr ?? null });
    return { ...signedIn, verified };
  } catch (thrown) {
    const error = toBulkheadError(thrown);
    await services.audit.signIn({ kind: 'failed', issuer, code: error.code, requestId });
    throw thrown;
  }
}

async function enter(
  c: Context<Env>,
  { visitors, now }: Needed,
  pending: PendingSignIn,
  issuer: string,
  { verified, idTokenClaims, ...tokens }: Finished,
): Promise<void> {
  const { sub: subject, sid } = idTokenClaims;
  const { tenant, user: principal } = toIdentity(verified);
  const session = typeof sid === 'string' && sid !== '' ? sid.slice(0, 512) : undefined;
  // a question is shown to whoever asked it, and not to the next person at the same browser
  const isAskers = pending.asker === undefined || pending.asker === `${issuer}|${subject}`;
  const visit: Visit = {
    ...tokens,
    issuer,
    subject,
    providerSession: session,
    tenant,
    principal,
    name: nameOf(idTokenClaims),
    asked: [],
    draft: isAskers ? pending.question : undefined,
    stayedWeak: pending.needs !== undefined && !meets(pending.needs, verified, now()),
  };
  await visitors.signIn(c, visit, { tenant, issuer, subject, session, principal });
}

/** What a provider returns is its own decision; asking again and again would change nothing. */
function meets(needs: StepUpNeed, { acr, authTime }: VerifiedCaller, now: number): boolean {
  if (needs.acr !== undefined && (acr === undefined || !needs.acr.includes(acr))) return false;
  if (needs.maxAuthAgeSeconds === undefined) return true;
  return authTime !== undefined && now <= authTime + needs.maxAuthAgeSeconds * 1000;
}

function isTrouble(error: unknown): error is BulkheadError {
  return isBulkheadError(error) && error.code === 'identity_unavailable';
}

function troubleOr(error: unknown, c: Context<Env>, { choices }: Needed, issuer: string): Response {
  if (!isTrouble(error)) throw error;
  const page = providerTroublePage({ issuer, choices, requestId: c.get('requestId') });
  return c.body(page, 503, { ...problemHeaders(error), 'content-type': 'text/html; charset=UTF-8' });
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

function nameOf({ name, preferred_username: username, sub }: SignedIn['idTokenClaims']): string {
  const named = [name, username].find((claim) => typeof claim === 'string' && claim.trim() !== '');
  return String(named ?? sub).slice(0, LONGEST_NAME);
}
