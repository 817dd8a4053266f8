/** @jsxRuntime automatic @jsxImportSource hono/jsx */
import type { Released } from '../retrieve/6-release.ts';
import type { Answer } from '../retrieve/answer.ts';
import { renderPage, type SignedInAs } from './layout.tsx';
import { PassageCard } from './passage-card.tsx';
import { dateTime } from './words.ts';

interface AskPage {
  readonly signedIn: SignedInAs;
  readonly question: string;
  readonly maxLength: number;
  /** What is wrong with the question, if anything. */
  readonly problem?: string | undefined;
  readonly answer?: Released<Answer> | undefined;
  /** Level names, lowest first. */
  readonly levels: readonly string[];
  /** Whether there is a page that says why a passage may be seen. */
  readonly explains: boolean;
  /** Where a stronger sign-in is begun; absent = none would show more. */
  readonly stepUpHref?: string | undefined;
  /** A stronger sign-in was tried just now, and this one is not. */
  readonly stayedWeak?: boolean | undefined;
}

export function askPage(page: AskPage): string {
  return renderPage({
    // never the question: browsers keep titles
    title: page.answer === undefined ? 'Ask' : 'Answer',
    signedIn: page.signedIn,
    children: (
      <>
        <AskForm {...page} />
        {page.stayedWeak === true && <StayedWeak />}
        {page.stepUpHref !== undefined && <StepUpNotice href={page.stepUpHref} />}
        {page.answer === undefined ? <Welcome /> : <Results {...page} answer={page.answer} />}
      </>
    ),
  });
}

function AskForm({ signedIn, question, maxLength, problem }: AskPage) {
  return (
    <form class="ask" method="post" action="/ask">
      <label for="question">Your question</label>
      <div class="field">
        <input
          id="question"
          name="question"
          type="search"
          value={question}
          maxlength={maxLength}
          required
          autocomplete="off"
          autofocus={question === ''}
          {...(problem === undefined ? {} : { 'aria-invalid': 'true', 'aria-describedby': 'problem' })}
        />
        <button type="submit">Ask</button>
      </div>
      {problem !== undefined && (
        <p class="problem" id="problem" role="alert">
          {problem}
        </p>
      )}
      <input type="hidden" name="csrf" value={signedIn.csrfToken} />
    </form>
  );
}

/** The same for every question: it comes from the person's classes, and not from what was found. */
function StepUpNotice({ href }: { readonly href: string }) {
  return (
    <aside class="notice">
      <p>Some of what you may read needs a stronger sign-in.</p>
      <a class="button quiet" href={href}>
        Sign in more strongly
      </a>
    </aside>
  );
}

function StayedWeak() {
  return (
    <p class="problem" role="alert">
      You are signed in, but not as strongly as was asked for: your identity provider decided so. You can go
      on with what this sign-in reaches.
    </p>
  );
}

function Welcome() {
  return (
    <section class="empty">
      <h1>Ask your company’s documents.</h1>
      <p>
        You get the passages that answer, from documents you may read and no others. What you are not cleared
        for takes no part in the search, and every answer leaves a receipt.
      </p>
    </section>
  );
}

interface ResultsProps extends AskPage {
  readonly answer: Released<Answer>;
}

function Results({ answer, levels, explains }: ResultsProps) {
  const { passages, complete } = answer.content;
  return (
    <section aria-labelledby="results">
      <h1 id="results" class="count">
        {countOf(passages.length)}
      </h1>
      {passages.length > 0 && (
        <ol class="passages">
          {passages.map((passage) => (
            <PassageCard passage={passage} levels={levels} explains={explains} />
          ))}
        </ol>
      )}
      {!complete && <p class="note">Not everything could be fetched just now. Ask again for the rest.</p>}
      <Receipt answer={answer} />
    </section>
  );
}

/** The same words whether or not there is more that the caller may not see. */
function countOf(passages: number): string {
  if (passages === 0) return 'Nothing you may read answers this.';
  return passages === 1 ? 'One passage' : `${passages} passages`;
}

function Receipt({ answer: { content, receipt } }: { readonly answer: Released<Answer> }) {
  const { freshness, ceiling } = content;
  return (
    <dl class="receipt">
      <div>
        <dt>Receipt</dt>
        <dd>
          <code>{receipt.id}</code>
        </dd>
      </div>
      <div>
        <dt>Directory as of</dt>
        <dd>{freshness.directory_as_of === null ? 'never' : dateTime(freshness.directory_as_of)}</dd>
      </div>
      <div>
        <dt>Index</dt>
        <dd>{freshness.index === 'current' ? 'current' : `${freshness.index} behind`}</dd>
      </div>
      <div>
        <dt>This sign-in reaches</dt>
        <dd>{ceiling.level ?? 'no level'}</dd>
      </div>
    </dl>
  );
}
