/** @jsxRuntime automatic @jsxImportSource hono/jsx */
import type { Child } from 'hono/jsx';
import { ICON, STYLES } from './assets.ts';

/** Who is signed in, and the token that their forms repeat. */
export interface SignedInAs {
  readonly name: string;
  readonly issuer: string;
  readonly csrfToken: string;
}

interface PageProps {
  readonly title: string;
  readonly signedIn: SignedInAs | undefined;
  readonly children: Child;
}

/** One whole page. Every value in it is escaped by hono/jsx; no page uses raw HTML, a script or an inline style. */
export function renderPage(props: PageProps): string {
  return `<!doctype html>${String(<Page {...props} />)}`;
}

function Page({ title, signedIn, children }: PageProps) {
  return (
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="color-scheme" content="light dark" />
        <title>{`${title} · Bulkhead`}</title>
        <link rel="stylesheet" href={STYLES.path} />
        <link rel="icon" href={ICON.path} type="image/svg+xml" />
      </head>
      <body>
        <a class="skip" href="#main">
          Skip to content
        </a>
        <header class="top">
          <a class="brand" href="/">
            <img src={ICON.path} alt="" width="26" height="26" />
            Bulkhead
          </a>
          {signedIn && <Account signedIn={signedIn} />}
        </header>
        <main id="main">{children}</main>
      </body>
    </html>
  );
}

function Account({ signedIn }: { readonly signedIn: SignedInAs }) {
  return (
    <form class="account" method="post" action="/signout">
      <span class="who">
        <span class="name">{signedIn.name}</span> <span class="issuer">{signedIn.issuer}</span>
      </span>
      <input type="hidden" name="csrf" value={signedIn.csrfToken} />
      <button class="quiet" type="submit">
        Sign out
      </button>
    </form>
  );
}
