/** @jsxRuntime automatic @jsxImportSource hono/jsx */
import { renderPage } from './layout.tsx';

/** An issuer to sign in with. */
export interface SignInChoice {
  /** Name of the issuer profile. */
  readonly name: string;
  readonly title: string;
}

interface SignInPage {
  readonly choices: readonly SignInChoice[];
  /** A question waits to be asked. */
  readonly keptQuestion: boolean;
  /** There was a session, and it is over: its time is up, or the identity provider renews it no more. */
  readonly hasEnded?: boolean | undefined;
}

export function signInPage({ choices, keptQuestion, hasEnded }: SignInPage): string {
  return renderPage({
    title: 'Sign in',
    signedIn: undefined,
    children: (
      <section class="empty">
        <h1>{hasEnded === true ? 'Your sign-in has ended.' : 'Ask your company’s documents.'}</h1>
        <p>{invitation(keptQuestion, hasEnded === true)}</p>
        {choices.length === 0 ? (
          <p class="note">No way to sign in is configured on this server.</p>
        ) : (
          <ul class="choices">
            {choices.map(({ name, title }) => (
              <li>
                <a class="button" href={`/signin/${encodeURIComponent(name)}`}>
                  Sign in with {title}
                </a>
              </li>
            ))}
          </ul>
        )}
      </section>
    ),
  });
}

function invitation(keptQuestion: boolean, hasEnded: boolean): string {
  if (keptQuestion) return 'Please sign in again. Your question is kept.';
  if (hasEnded) return 'Its time was up, or the identity provider ended it. Please sign in again.';
  return 'Sign in to search what you, and only you, are cleared to read.';
}

/** @param providerUrl where to sign out of the identity provider too */
export function signedOutPage(providerUrl: string | undefined): string {
  return renderPage({
    title: 'Signed out',
    signedIn: undefined,
    children: (
      <section class="empty">
        <h1>You are signed out.</h1>
        <ul class="choices">
          <li>
            <a class="button" href="/">
              Sign in again
            </a>
          </li>
          {providerUrl !== undefined && (
            <li>
              <a class="button quiet" href={providerUrl}>
                Sign out of the identity provider too
              </a>
            </li>
          )}
        </ul>
      </section>
    ),
  });
}
