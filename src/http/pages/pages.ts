/** The pages: sign in, ask, see what may be seen and why. They call the same services as the API. */
import { type Context, Hono } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { BulkheadError } from '../../errors.ts';
import type { LogoutTokens } from '../../identity/logout-token.ts';
import { checkCsrf, type Session } from '../../identity/sessions.ts';
import type { SignIn } from '../../identity/sign-in.ts';
import type { StepUpNeed } from '../../policy/decide.ts';
import type { Answer } from '../../retrieve/answer.ts';
import { askPage } from '../../ui/ask-page.tsx';
import { type Asset, ICON, STYLES } from '../../ui/assets.ts';
import { errorPage } from '../../ui/error-page.tsx';
import { providerTroublePage } from '../../ui/provider-trouble-page.tsx';
import { type SignInChoice, signInPage } from '../../ui/sign-in-page.tsx';
import { whyPage } from '../../ui/why-page.tsx';
import type { Env } from '../env.ts';
import { problemHeaders, toProblem } from '../problem.ts';
import { MAX_QUESTION, question as questionSchema } from '../routes/retrieve.ts';
import type { Services } from '../services.ts';
import { Callers } from './callers.ts';
import { FORM_BYTES, readForm } from './form.ts';
import { providerLogoutRoutes, type SessionEnding } from './provider-logout.ts';
import { Renewal } from './renewal.ts';
import { signInRoutes } from './sign-in.ts';
import { signedInAs, type Visit, type VisitorOptions, Visitors } from './visitors.ts';

export interface PageOptions extends VisitorOptions {
  /** Level names, lowest first. */
  readonly levels: readonly string[];
  readonly signIn: SignIn | undefined;
  readonly signInChoices: readonly SignInChoice[];
  /** Whether `/why` is served here: pages link to nothing that is not. */
  readonly explains: boolean;
  /** Absent: providers tell nobody here that somebody has signed out. */
  readonly logoutTokens?: LogoutTokens | undefined;
  /** Absent: the end of a session here ends nothing else. */
  readonly sessionEnding?: SessionEnding | undefined;
}

const PASSAGES = 10;

export interface Pages {
  readonly routes: Hono<Env>;
  errorPage(c: Context<Env>, error: BulkheadError): Response | Promise<Response>;
}

export function pages(services: Services, options: PageOptions): Pages {
  const visitors = new Visitors(options);
  const { publicUrl, signInChoices: choices, signIn, sessionEnding: ending, logoutTokens, now } = options;
  const renewal = new Renewal({ visitors, services, signIn, now });
  const callers = new Callers({ services, visitors, renewal });
  const routes = new Hono<Env>();
  const limit = bodyLimit({
    maxSize: FORM_BYTES,
    onError: () => {
      throw new BulkheadError('payload_too_large', 'The form is too large.');
    },
  });
  routes.on('POST', ['/ask', '/signout', '/backchannel-logout/:issuer'], limit);
  routes.route('/', signInRoutes(services, visitors, { publicUrl, choices, signIn, ending, now }));
  if (logoutTokens !== undefined && ending !== undefined) {
    const { store } = visitors;
    routes.route('/', providerLogoutRoutes({ services, store, tokens: logoutTokens, ending, now }));
  }
  routes.route('/', askRoutes(services, visitors, callers, options));
  for (const asset of [STYLES, ICON]) routes.get(asset.path, () => serve(asset));
  return { routes, errorPage: (c, error) => showError(c, error, visitors, choices) };
}

async function showError(
  c: Context<Env>,
  error: BulkheadError,
  visitors: Visitors,
  choices: readonly SignInChoice[],
): Promise<Response> {
  // the store of the sessions may be what is wrong
  const session = await visitors.session(c).catch(() => undefined);
  const requestId = c.get('requestId');
  const { title, detail, code, status } = toProblem(error, requestId);
  const page =
    code === 'identity_unavailable' && session !== undefined
      ? providerTroublePage({ issuer: session.data.issuer, choices, requestId })
      : errorPage({ signedIn: session && signedInAs(session), title, detail, code, requestId });
  // a browser has no bearer token to be challenged for
  const { 'www-authenticate': _, ...headers } = problemHeaders(error);
  return new Response(page, {
    status,
    headers: { ...headers, 'content-type': 'text/html; charset=UTF-8' },
  });
}

function askRoutes(
  services: Services,
  visitors: Visitors,
  callers: Callers,
  { levels, signInChoices: choices, explains }: PageOptions,
) {
  const routes = new Hono<Env>();
  const asking = { maxLength: MAX_QUESTION, levels, explains };

  routes.get('/', async (c) => {
    const session = await visitors.session(c);
    if (session === undefined) return c.html(signInPage({ choices, keptQuestion: false }));
    const { draft = '', stayedWeak } = session.data;
    if (draft !== '' || stayedWeak === true)
      await visitors.change(session, (visit) => ({ ...visit, draft: undefined, stayedWeak: undefined }));
    return c.html(askPage({ ...asking, signedIn: signedInAs(session), question: draft, stayedWeak }));
  });

  // The question stays out of URLs, which browsers and proxies keep: it is remembered here under an id.
  routes.post('/ask', async (c) => {
    const form = await readForm(c);
    const question = form.get('question') ?? '';
    const session = await visitors.session(c);
    if (session === undefined) return callers.signInAgain(c, question);
    checkCsrf(session, form.get('csrf'));
    const checked = questionSchema.safeParse(question);
    if (checked.success) return c.redirect(`/ask?id=${await visitors.remember(session, question)}`, 303);
    const problem =
      question.trim() === ''
        ? 'Please type a question.'
        : `A question has at most ${MAX_QUESTION} plain characters.`;
    const page = { signedIn: signedInAs(session), question: question.slice(0, MAX_QUESTION), problem };
    return c.html(askPage({ ...asking, ...page }), 400);
  });

  routes.get('/ask', async (c) => {
    const id = c.req.query('id') ?? '';
    const asked = ({ data }: Session<Visit>) => data.asked.find((one) => one.id === id)?.question;
    return callers.serve(c, asked, async ({ caller: { identity, requestId }, session }) => {
      const question = asked(session);
      if (question === undefined) return c.redirect('/', 303);
      const request = { requestId, query: question, limit: PASSAGES, filters: {} };
      const answer = await services.retrieve(identity, request);
      const { step_up: stepUp } = answer.content;
      await rememberNeed(visitors, session, stepUp && needOf(stepUp));
      const stepUpHref = stepUp === null ? undefined : `/step-up?id=${encodeURIComponent(id)}`;
      return c.html(askPage({ ...asking, signedIn: signedInAs(session), question, answer, stepUpHref }));
    });
  });

  routes.get('/why/:document', async (c) =>
    callers.serve(
      c,
      () => undefined,
      async ({ caller, session }) => {
        const document = c.req.param('document');
        const { decision, label, steps } = await services.explain(caller, { document });
        return c.html(whyPage({ signedIn: signedInAs(session), document, decision, label, steps, levels }));
      },
    ),
  );
  return routes;
}

function needOf({ acr_values: acr, max_age: maxAge }: NonNullable<Answer['step_up']>): StepUpNeed {
  return { acr: acr ?? undefined, maxAuthAgeSeconds: maxAge ?? undefined };
}

/** Kept on the server, so that no link says how strongly to sign in. */
async function rememberNeed(visitors: Visitors, session: Session<Visit>, need: StepUpNeed | null) {
  const stepUp = need ?? undefined;
  if (JSON.stringify(stepUp) !== JSON.stringify(session.data.stepUp))
    await visitors.change(session, (visit) => ({ ...visit, stepUp }));
}

function serve({ content, mediaType }: Asset): Response {
  return new Response(content, {
    headers: { 'content-type': mediaType, 'cache-control': 'public, max-age=31536000, immutable' },
  });
}
