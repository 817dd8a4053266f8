/** @jsxRuntime automatic @jsxImportSource hono/jsx */
import { renderPage, type SignedInAs } from './layout.tsx';
import { problemReference } from './problem-reference.tsx';

interface ErrorPage {
  readonly signedIn: SignedInAs | undefined;
  readonly title: string;
  readonly detail: string;
  readonly code: string;
  readonly requestId: string;
}

export function errorPage({ signedIn, title, detail, code, requestId }: ErrorPage): string {
  return renderPage({
    title,
    signedIn,
    children: (
      <section class="empty">
        <h1>{title}</h1>
        <p>{detail}</p>
        <p>
          <a class="button" href="/">
            Back to the question
          </a>
        </p>
        {problemReference(code, requestId)}
      </section>
    ),
  });
}
