/** The pages: sign in, ask, see what may be seen and why. They call the same services as the API. */
import { type Context, Hono } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { BulkheadError, isBulkheadError } from '../../errors.ts';
import { checkCsrf, type Session } from '../../identity/sessions.ts';
import type { SignIn } from '../../identity/sign-in.ts';
import { askPage } from '../../ui/ask-page.tsx';
import { type Asset, ICON, STYLES } from '../../ui/assets.ts';
import { errorPage } from '../../ui/error-page.tsx';
import { type SignInChoice, signInPage } from '../../ui/sign-in-page.tsx';
import { whyPage } from '../../ui/why-page.tsx';
import { toIdentity } from '../authenticate.ts';
import type { Env } from '../env.ts';
import { problemHeaders, toProblem } from '../problem.ts';
import { MAX_QUESTION, question as questionSchema } from '../routes/retrieve.ts';
import type { Caller, Services } from '../services.ts';
import { FORM_BYTES, readForm } from './form.ts';
import { signInRoutes } from './sign-in.ts';
import { signedInAs, type Visit, Visitors } from './visitors.ts';

export interface PageOptions {
  /** As browsers see this server. With https, cookies are bound to it. */
  readonly publicUrl: URL;
  /** Level names, lowest first. */
  readonly levels: readonly string[];
  /** Milliseconds since 1970. */
  readonly now: () => number;
  readonly randomBytes: (size: number) => Uint8Array;
  readonly signIn: SignIn | undefined;
  readonly signInChoices: readonly SignInChoice[];
  /** Whether `/why` is served here: pages link to nothing that is not. */
  readonly explains: boolean;
}

const PASSAGES = 10;

export interface Pages {
  readonly routes: Hono<Env>;
  errorPage(c: Context<Env>, error: BulkheadError): Response | Promise<Response>;
}

export function pages(services: Services, options: PageOptions): Pages {
  const visitors = new Visitors(options);
  const { publicUrl, signInChoices: choices, signIn } = options;
  const routes = new Hono<Env>();
  const limit = bodyLimit({
    maxSize: FORM_BYTES,
    onError: () => {
      throw new BulkheadError('payload_too_large', 'The form is too large.');
    },
  });
  routes.on('POST', ['/ask', '/signout'], limit);
  routes.route('/', signInRoutes(services, visitors, { publicUrl, choices, signIn }));
  routes.route('/', askRoutes(services, visitors, options));
  for (const asset of [STYLES, ICON]) routes.get(asset.path, () => serve(asset));
  return {
    routes,
    errorPage: (c, error) => {
      const session = visitors.session(c);
      const { title, detail, code, status } = toProblem(error, c.get('requestId'));
      const page = errorPage({
        signedIn: session && signedInAs(session),
        title,
        detail,
        code,
        requestId: c.get('requestId'),
      });
      // a browser has no bearer token to be challenged for
      const { 'www-authenticate': _, ...headers } = problemHeaders(error);
      return new Response(page, {
        status,
        headers: { ...headers, 'content-type': 'text/html; charset=UTF-8' },
      });
    },
  };
}

function askRoutes(
  services: Services,
  visitors: Visitors,
  { levels, signInChoices: choices, explains }: PageOptions,
) {
  const routes = new Hono<Env>();
  const asking = { maxLength: MAX_QUESTION, levels, explains };

  routes.get('/', (c) => {
    const session = visitors.session(c);
    if (session === undefined) return c.html(signInPage({ choices, keptQuestion: false }));
    const { draft = '' } = session.data;
    session.data.draft = undefined;
    return c.html(askPage({ ...asking, signedIn: signedInAs(session), question: draft }));
  });

  // The question stays out of URLs, which browsers and proxies keep: it is remembered here under an id.
  routes.post('/ask', async (c) => {
    const form = await readForm(c);
    const question = form.get('question') ?? '';
    const session = visitors.session(c);
    if (session === undefined) return signInAgain(c, visitors, question);
    checkCsrf(session, form.get('csrf'));
    const checked = questionSchema.safeParse(question);
    if (checked.success) return c.redirect(`/ask?id=${visitors.remember(session, question)}`, 303);
    const problem =
      question.trim() === ''
        ? 'Please type a question.'
        : `A question has at most ${MAX_QUESTION} plain characters.`;
    const page = { signedIn: signedInAs(session), question: question.slice(0, MAX_QUESTION), problem };
    return c.html(askPage({ ...asking, ...page }), 400);
  });

  routes.get('/ask', async (c) => {
    const session = visitors.session(c);
    if (session === undefined) return signInAgain(c, visitors, undefined);
    const question = session.data.asked.get(c.req.query('id') ?? '');
    if (question === undefined) return c.redirect('/', 303);
    const caller = await callerOf(c, services, session);
    if (caller === undefined) return signInAgain(c, visitors, question, session);
    const { identity, requestId } = caller;
    const answer = await services.retrieve(identity, {
      requestId,
      query: question,
      limit: PASSAGES,
      filters: {},
    });
    return c.html(askPage({ ...asking, signedIn: signedInAs(session), question, answer }));
  });

  routes.get('/why/:document', async (c) => {
    const session = visitors.session(c);
    const caller = session && (await callerOf(c, services, session));
    if (session === undefined || caller === undefined) return signInAgain(c, visitors, undefined, session);
    const document = c.req.param('document');
    const { decision, label, steps } = await services.explain(caller, { document });
    return c.html(whyPage({ signedIn: signedInAs(session), document, decision, label, steps, levels }));
  });
  return routes;
}

/** Verified anew for each page; `undefined` when the token no longer holds. */
async function callerOf(
  c: Context<Env>,
  services: Services,
  session: Session<Visit>,
): Promise<Caller | undefined> {
  try {
    const identity = toIdentity(await services.verifyToken(session.data.accessToken));
    const caller = { identity, requestId: c.get('requestId') };
    c.set('caller', caller);
    return caller;
  } catch (error) {
    if (isBulkheadError(error) && error.code === 'invalid_token') return undefined;
    throw error;
  }
}

/** The question waits on the server, and is shown again but not asked until its person asks it. */
function signInAgain(
  c: Context<Env>,
  visitors: Visitors,
  question: string | undefined,
  ended?: Session<Visit>,
): Response {
  if (ended !== undefined) visitors.signOut(c, ended);
  const kept = question?.slice(0, MAX_QUESTION);
  visitors.begin(c, { question: kept === '' ? undefined : kept, signIn: undefined });
  return c.redirect('/signin', 303);
}

function serve({ content, mediaType }: Asset): Response {
  return new Response(content, {
    headers: { 'content-type': mediaType, 'cache-control': 'public, max-age=31536000, immutable' },
  });
}
