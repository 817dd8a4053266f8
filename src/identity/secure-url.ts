import { BulkheadError } from '../errors.ts';

const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/;

/**
 * Reads the URL of an identity provider. Plain http is accepted for this machine only: keys and codes fetched over
 * a network without TLS are anybody's.
 * @throws BulkheadError `config_invalid`
 */
export function parseProviderUrl(text: string, what: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol === 'https:') return url;
  if (url !== undefined && isLoopbackHttp(url)) return url;
  throw new BulkheadError('config_invalid', `The ${what} must be an https URL (http only on this machine).`);
}

export function isLoopbackHttp(url: URL): boolean {
  return url.protocol === 'http:' && LOOPBACK.test(url.hostname);
}
