/** @jsxRuntime automatic @jsxImportSource hono/jsx */
import { renderPage, type SignedInAs } from './layout.tsx';

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
        <dl class="receipt">
          <div>
            <dt>Code</dt>
            <dd>
              <code>{code}</code>
            </dd>
          </div>
          <div>
            <dt>Request</dt>
            <dd>
              <code>{requestId}</code>
            </dd>
          </div>
        </dl>
      </section>
    ),
  });
}
