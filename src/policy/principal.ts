/**
 * What a right is given to. The text form is stable across restarts and never merges two issuers:
 * `user:<issuer>|<id>`, `group:<source>|<id>`, `service:<issuer>|<client>`, `everyone`.
 */
export type Principal =
  | { readonly kind: 'user'; readonly issuer: string; readonly id: string }
  | { readonly kind: 'group'; readonly issuer: string; readonly id: string }
  | { readonly kind: 'service'; readonly issuer: string; readonly id: string }
  | { readonly kind: 'everyone' };

const FORM = /^(user|group|service):([a-z0-9][a-z0-9._-]{0,62})\|([^\s|\p{Cc}][^|\p{Cc}]{0,254})$/u;

/** Reads the text form; `undefined` when it is not one. Nothing is trimmed, folded or guessed. */
export function parsePrincipal(text: string): Principal | undefined {
  if (text === 'everyone') return { kind: 'everyone' };
  const match = FORM.exec(text);
  const [, kind, issuer, id] = match ?? [];
  if (kind === undefined || issuer === undefined || id === undefined) return undefined;
  return { kind: kind as 'user' | 'group' | 'service', issuer, id };
}

export function formatPrincipal(principal: Principal): string {
  return principal.kind === 'everyone' ? 'everyone' : `${principal.kind}:${principal.issuer}|${principal.id}`;
}
