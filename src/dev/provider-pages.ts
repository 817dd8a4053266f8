import { createHash } from 'node:crypto';
import { html, raw } from 'hono/html';
import type { DevUser } from './load-directory.ts';

const STYLE = `
:root { color-scheme: light dark; font: 100%/1.5 system-ui, sans-serif; }
body { margin: 0 auto; padding: 1.5rem 1rem 3rem; max-width: 60rem; }
h1 { font-size: 1.4rem; margin: 0 0 .25rem; }
p { margin: 0 0 1rem; }
.accounts { display: grid; gap: .5rem; grid-template-columns: repeat(auto-fill, minmax(min(17rem, 100%), 1fr)); padding: 0; list-style: none; }
button { font: inherit; width: 100%; min-height: 3.5rem; padding: .5rem .9rem; text-align: left; color: inherit; background: color-mix(in srgb, currentColor 4%, transparent); border: 1px solid color-mix(in srgb, currentColor 30%, transparent); border-radius: .5rem; cursor: pointer; }
button:hover, button:focus-visible { background: color-mix(in srgb, currentColor 12%, transparent); }
button strong, button span { display: block; overflow-wrap: anywhere; }
button span { font-size: .875rem; opacity: .75; }
`;

const STYLE_HASH = createHash('sha256').update(STYLE).digest('base64');

/**
 * Content security policy of these pages: no script, nothing from another host. The form may lead to
 * `clientOrigin`, because browsers apply `form-action` to the redirects that follow as well.
 */
export function pagePolicy(clientOrigin: string): string {
  return [
    "default-src 'none'",
    `style-src 'sha256-${STYLE_HASH}'`,
    `form-action 'self' ${clientOrigin}`,
    "base-uri 'none'",
    "frame-ancestors 'none'",
  ].join('; ');
}

interface SignInPage {
  readonly issuer: string;
  readonly users: readonly DevUser[];
  /** The authentication strength that was asked for, if any. */
  readonly acr: string | undefined;
  /** Where a chosen account is posted to. */
  readonly action: (account: string) => string;
}

/** The account chooser. There are no passwords: whoever reaches this page may be anybody, in development only. */
export async function signInPage(page: SignInPage): Promise<string> {
  const strength =
    page.acr === undefined ? '' : html`<p>A stronger sign-in was asked for: <b>${page.acr}</b>.</p>`;
  return layout(
    `Sign in · ${page.issuer}`,
    html`<h1>Sign in as</h1>
      <p>Development identity provider, issuer <b>${page.issuer}</b>. No password is needed.</p>
      ${strength}
      <form method="post"><ul class="accounts">${page.users.map((user) => accountButton(user, page))}</ul></form>`,
  );
}

function accountButton(user: DevUser, page: SignInPage) {
  return html`<li><button formaction="${page.action(user.account)}">
    <strong>${user.name}</strong><span>${user.title}</span><span>${user.account} · ${page.acr ?? user.acr}</span>
  </button></li>`;
}

/** @param form oidc-provider's form, whose id the button names */
export async function signOutPage(form: string): Promise<string> {
  return layout(
    'Sign out',
    html`<h1>Sign out?</h1>
      ${raw(form)}
      <p><button form="op.logoutForm" name="logout" value="yes" autofocus><strong>Sign out</strong></button></p>
      <p><button form="op.logoutForm"><strong>Stay signed in</strong></button></p>`,
  );
}

export async function messagePage(title: string, message: string): Promise<string> {
  return layout(title, html`<h1>${title}</h1><p>${message}</p>`);
}

async function layout(title: string, body: unknown): Promise<string> {
  const page = await html`<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <title>${title}</title>
    <style>${raw(STYLE)}</style>
  </head>
  <body><main>${body}</main></body>
</html>`;
  return page.toString();
}
