/** @jsxRuntime automatic @jsxImportSource hono/jsx */
import { renderPage } from './layout.tsx';
import { problemReference } from './problem-reference.tsx';
import type { SignInChoice } from './sign-in-page.tsx';

interface ProviderTroublePage {
  /** Name of the issuer profile. */
  readonly issuer: string;
  readonly choices: readonly SignInChoice[];
  readonly requestId: string;
}

/** A provider that is down, slow or answers garbage: whose fault it is, and what can be done. */
export function providerTroublePage({ issuer, choices, requestId }: ProviderTroublePage): string {
  const title = choices.find(({ name }) => name === issuer)?.title ?? issuer;
  const others = choices.filter(({ name }) => name !== issuer);
  return renderPage({
    title: 'Signing in is not possible just now',
    signedIn: undefined,
    children: (
      <section class="empty">
        <h1>{title} does not answer.</h1>
        <p>
          Signing in needs {title}, and it is down, too slow, or answered something that makes no sense.
          Nothing is wrong with your account. Your question, if you asked one, is kept.
        </p>
        <ul class="choices">
          <li>
            <a class="button" href={`/signin/${encodeURIComponent(issuer)}`}>
              Try {title} again
            </a>
          </li>
          {others.map((other) => (
            <li>
              <a class="button quiet" href={`/signin/${encodeURIComponent(other.name)}`}>
                Sign in with {other.title}
              </a>
            </li>
          ))}
        </ul>
        {problemReference('identity_unavailable', requestId)}
      </section>
    ),
  });
}
