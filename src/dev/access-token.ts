/** What an access token of the development identity provider looks like, however it was issued. */
import type { DevIssuerName } from './load-directory.ts';

/** The client of Bulkhead's own pages: public, so protected by PKCE. */
export const DEV_CLIENT_ID = 'bulkhead-page';
export const ACCESS_TOKEN_SECONDS = 3600;
/** Where the provider is mounted. */
export const DEV_MOUNT = '/dev/idp';

/** @param baseUrl of the server, without a path */
export function devIssuerUrl(baseUrl: string, name: DevIssuerName): string {
  return `${new URL(baseUrl).origin}${DEV_MOUNT}/${name}`;
}

/** Claims of an access token that the provider does not set itself (RFC 9068 §2.2.1). */
export function authenticationClaims(acr: string | undefined, authTimeSeconds: number | undefined) {
  return {
    ...(acr === undefined ? {} : { acr }),
    ...(authTimeSeconds === undefined ? {} : { auth_time: authTimeSeconds }),
  };
}
